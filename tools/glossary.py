"""Write docs/glossary.md from assets/glossary.toml, which the app shows where the terms stand.

python -m tools.glossary
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "glossary.md"
CAPITALS = {"arm": "ARM", "mdm": "MDM", "k": "K", "gini": "Gini coefficient", "split_half": "Split-half overlap"}


def page() -> str:
    terms = tomllib.loads((ROOT / "assets" / "glossary.toml").read_text(encoding="utf-8"))
    names = {key: CAPITALS.get(key, key.replace("_", " ").capitalize()) for key in terms}
    rows = [f"| {names[key]} | {sentence.replace('|', chr(92) + '|')} |" for key, sentence in terms.items()]
    intro = "The terms of the app and of these documents, from assets/glossary.toml by `python -m tools.glossary`."
    return "\n".join(["# Glossary", "", intro, "", "| Term | |", "|---|---|", *rows, ""])


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
