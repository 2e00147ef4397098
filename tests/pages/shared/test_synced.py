"""A widget and the address: the link goes first, a choice is written, a default is not."""

from __future__ import annotations

import pytest
from streamlit.runtime.state.query_params import QueryParams
from streamlit.testing.v1 import AppTest


def _page() -> None:
    """A script of its own: AppTest runs its text."""
    import streamlit as st

    from pages.shared import state
    from pages.shared.synced import synced

    layers = range(int(st.session_state.get("many", 4)))
    default = int(st.session_state.get("first", 0))
    st.selectbox("Layer", layers, format_func=str, key=synced(state.LAYER, default, layers))
    st.selectbox("Bin", range(3), index=None, key=synced(state.BIN, None, range(3), lambda b: f"bin {b}"))
    st.text_input("Search", key=synced(state.SEARCH, ""))
    st.toggle("Prune", key=synced(state.PRUNE, False, (False, True)))

    def both() -> None:
        st.session_state.update({state.LAYER: 2, state.SEARCH: "Mary"})

    st.button("Both", key="both", on_click=both)


def opened(**link: str) -> AppTest:
    page = AppTest.from_function(_page, default_timeout=30)
    page.query_params.update(link)
    page.run()
    assert not page.exception
    return page


def test_a_link_is_shown_and_left_as_it_is() -> None:
    page = opened(layer="0", bin="bin 1", search="x", prune="true")
    assert (page.selectbox[0].value, page.selectbox[1].value, page.text_input[0].value) == (0, 1, "x")
    assert page.toggle[0].value is True
    assert page.query_params == {"layer": "0", "bin": "bin 1", "search": "x", "prune": "true"}
    assert opened().query_params == {}


def test_a_choice_is_written_and_a_default_is_taken_out_again() -> None:
    page = opened(layer="1")
    page.selectbox[1].set_value(2).run()
    assert page.query_params == {"layer": "1", "bin": "bin 2"}
    page.selectbox[1].set_value(None).run()
    page.selectbox[0].set_value(0).run()
    assert page.query_params == {}


def test_what_code_chooses_is_written_for_all_widgets_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened()
    sent: list[str] = []
    send = QueryParams._send_query_param_msg
    monkeypatch.setattr(QueryParams, "_send_query_param_msg", lambda self: (sent.append(str(self)), send(self))[1])
    page.button(key="both").click().run()
    assert page.query_params == {"layer": "2", "search": "Mary"}
    assert len(sent) == 1, "each message is one step of Back"


def test_a_value_that_is_not_there_any_more_gives_way_to_the_default() -> None:
    page = opened(layer="3")
    page.session_state["many"] = 2
    page.run()
    assert page.selectbox[0].value == 0
    assert page.query_params == {}


def test_another_default_is_followed_where_nothing_is_chosen() -> None:
    page = opened()
    page.session_state["first"] = 3
    page.run()
    assert page.selectbox[0].value == 3 and page.query_params == {}
