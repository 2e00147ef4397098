"""The glossary: one sentence for every term."""

from __future__ import annotations

import re

import pytest

from pages.shared.glossary import glossary, meaning


def test_every_term_is_explained_in_one_sentence() -> None:
    assert {"circuit", "edge", "k", "overlap", "chance", "split_half", "early_share"} <= set(glossary())
    for term, sentence in glossary().items():
        assert re.fullmatch(r"[a-z_]+", term)
        assert re.fullmatch(r"[A-Z].*\.", sentence) and len(re.findall(r"\.\s", sentence)) == 0, term


def test_a_term_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        meaning("no such term")
