"""Searching neurons: places and tokens as people type them, promoters of both models, similar tokens."""

from __future__ import annotations

import numpy as np
import pytest

from engine.runs.token_search import neuron_place, promoters, similar_tokens, spellings


def test_a_place_is_read_from_a_text() -> None:
    assert neuron_place("3:117") == neuron_place("m3.117") == neuron_place(" 3 : 117 ") == (3, 117)
    assert neuron_place("117", 4) == (4, 117)
    assert neuron_place("117") is None
    for text in ("", "m3", "3:", ":5", "-1:5", "3:1e5", "Mary", "3:5:7"):
        assert neuron_place(text, 1) is None


def test_spellings_leave_what_was_typed_first() -> None:
    assert spellings(" Mary")[0] == " Mary"
    assert set(spellings("Mary")) == {"Mary", " Mary", "ĠMary", "▁Mary"}
    assert set(spellings("ĠMary")) == {"Mary", " Mary", "ĠMary", "▁Mary"}
    assert spellings(" ") == [" "]
    assert "\n" in spellings("⏎")


def test_promoters_of_both_models_are_one_row_each_the_strongest_first() -> None:
    def row(layer: int, neuron: int, logit: float) -> dict[str, object]:
        return {"layer": layer, "neuron": neuron, "promoted": ["other", "Mary"], "promoted_logit": [9.0, logit]}

    attribution = {"arm": np.array([0.1, 0.0, -5.0, 0.0]), "mdm": np.array([0.2, 7.0, 0.0, 0.0])}
    rows = [("arm", "Mary", row(0, 0, 1.5)), ("mdm", "Mary", row(0, 0, 2.5)), ("arm", "Mary", row(1, 0, 3.5))]
    strongest, weakest = promoters(rows, attribution, 2)
    assert (strongest.place, strongest.logit) == ((1, 0), {"arm": 3.5})
    assert strongest.attribution == {"arm": -5.0, "mdm": 0.0}
    assert (weakest.place, weakest.token, weakest.logit) == ((0, 0), "Mary", {"arm": 1.5, "mdm": 2.5})
    assert promoters([], attribution, 2) == []


@pytest.mark.parametrize(
    ("text", "tokens"), [("Marie", ["Mary", " Mary"]), ("ohn", ["John", " Johnson"]), ("zzz", []), ("", [])]
)
def test_similar_tokens_are_near_spellings_and_those_that_contain_the_text(text: str, tokens: list[str]) -> None:
    known = ["Mary", " Mary", "John", " Johnson", "the", "a"]
    assert set(similar_tokens(known, text)) == set(tokens)


def test_at_most_so_many_similar_tokens_are_named() -> None:
    assert len(similar_tokens([f"name{i}" for i in range(20)], "name", 8)) == 8
