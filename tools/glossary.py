"""Write the glossary table of README.md from assets/glossary.toml, which the app shows where the terms stand.

python -m tools.glossary
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BEGIN = "<!-- glossary: written by `python -m tools.glossary` from assets/glossary.toml -->"
END = "<!-- end of glossary -->"
CAPITALS = {"arm": "ARM", "mdm": "MDM", "k": "K", "gini": "Gini coefficient", "split_half": "Split-half overlap"}


def table() -> str:
    terms = tomllib.loads((ROOT / "assets" / "glossary.toml").read_text(encoding="utf-8"))
    names = {key: CAPITALS.get(key, key.replace("_", " ").capitalize()) for key in terms}
    rows = [f"| {names[key]} | {sentence.replace('|', chr(92) + '|')} |" for key, sentence in terms.items()]
    return "\n".join(["| Term | |", "|---|---|", *rows])


def main() -> None:
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
