"""Choices without a widget are in the session and in the address, and what the address says wrongly is not taken."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared import state


def script() -> None:
    """Hold every kind of choice; what a test puts under "choose" is chosen first, as by a callback."""
    import streamlit as st

    from pages.shared import choices, state

    changes = st.session_state.pop("choose", None)
    if changes:
        choices.choose(changes)
    st.session_state["held"] = {
        state.K: choices.held(state.K, 200, range(1, 1001)),
        state.NODE: choices.held(state.NODE, None, ["input", "a0.h0", "m0"]),
        state.NODES: choices.held(state.NODES, [], ["input", "a0.h0", "m0"]),
        state.KINDS: choices.held(state.KINDS, ["q", "k"], ["q", "k"]),
        state.SIGN: choices.held(state.SIGN, "both", ("both", "positive")),
        state.PRUNE: choices.held(state.PRUNE, False, (True, False)),
    }


USUAL = {
    state.K: 200,
    state.NODE: None,
    state.NODES: [],
    state.KINDS: ["q", "k"],
    state.SIGN: "both",
    state.PRUNE: False,
}


def opened(**query: str | list[str]) -> AppTest:
    page = AppTest.from_function(script)
    for name, value in query.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


def chosen(page: AppTest, changes: dict[str, object]) -> AppTest:
    page.session_state["choose"] = changes
    page.run()
    assert not page.exception
    return page


def held(page: AppTest) -> dict[str, Any]:
    values: dict[str, Any] = page.session_state["held"]
    return values


def test_an_empty_address_gives_what_is_usual_and_stays_empty() -> None:
    page = opened()
    assert held(page) == USUAL
    assert page.query_params == {}


def test_the_address_is_read_in_the_kind_of_each_choice() -> None:
    page = opened(k="77", node="m0", nodes=["input", "a0.h0"], kinds="k", sign="positive", prune="true")
    assert held(page) == {
        state.K: 77,
        state.NODE: "m0",
        state.NODES: ["input", "a0.h0"],
        state.KINDS: ["k"],
        state.SIGN: "positive",
        state.PRUNE: True,
    }


@pytest.mark.parametrize(
    ("key", "text"),
    [("k", "0"), ("k", "1001"), ("k", "1e3"), ("k", ""), ("node", "a9.h9"), ("sign", "zzz"), ("sign", ""),
     ("prune", "perhaps"), ("nodes", "a9.h9"), ("nodes", "")],
)  # fmt: skip
def test_what_is_none_of_the_options_is_not_taken(key: str, text: str) -> None:
    page = opened(**{key: text})
    assert held(page) == USUAL
    page.run()
    assert held(page) == USUAL


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ({"node": "a9.h9", "k": "50"}, {"k": "50"}),
        ({"sign": "zzz"}, {}),
        ({"nodes": ["m0", "a9.h9"]}, {"nodes": "m0"}),
    ],
)
def test_the_address_does_not_go_on_to_name_what_is_not_here(
    query: dict[str, str | list[str]], left: dict[str, str]
) -> None:
    assert opened(**query).query_params == left


def test_no_kind_of_edges_is_a_choice_too() -> None:
    assert held(opened(kinds=""))[state.KINDS] == []
    page = chosen(opened(), {state.KINDS: []})
    assert held(page)[state.KINDS] == [] and page.query_params == {"kinds": ""}


def test_a_choice_is_kept_and_written_into_the_address() -> None:
    page = chosen(opened(), {state.K: 50, state.NODE: "m0", state.NODES: ["input", "m0"], state.PRUNE: True})
    assert held(page) == {**USUAL, state.K: 50, state.NODE: "m0", state.NODES: ["input", "m0"], state.PRUNE: True}
    assert page.query_params == {"k": "50", "node": "m0", "nodes": ["input", "m0"], "prune": "true"}
    page.run()
    assert held(page)[state.K] == 50


def test_letting_go_takes_it_out_of_the_address() -> None:
    page = chosen(opened(k="50", node="m0"), {state.NODE: None})
    assert held(page) == {**USUAL, state.K: 50}
    assert page.query_params == {"k": "50"}


def test_what_was_chosen_already_changes_no_address() -> None:
    """A link keeps its text, and what is usual is not spelt out."""
    page = chosen(opened(k="50"), {**USUAL, state.K: 50})
    assert page.query_params == {"k": "50"}


def test_options_that_are_gone_give_what_is_usual() -> None:
    page = opened()
    page.session_state[state.NODE] = "a9.h9"
    page.session_state[state.NODES] = ["m0", "a9.h9"]
    page.session_state[state.K] = 5000
    page.run()
    assert held(page) == {**USUAL, state.NODES: ["m0"]}
    assert page.session_state[state.NODES] == ["m0"]
