"""What the explorer's terms mean: one sentence each, from assets/glossary.toml, shown where the term stands."""

from __future__ import annotations

import tomllib
from functools import cache

from engine.settings import ROOT

FILE = ROOT / "assets" / "glossary.toml"


@cache
def glossary() -> dict[str, str]:
    """Term -> its sentence, in the order of the file."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def meaning(term: str) -> str:
    """The sentence for a term, as in `st.metric("Overlap", value, help=meaning("overlap"))`.

    Raises:
        KeyError: the glossary has no such term; tests call every page.
    """
    return glossary()[term]
