"""Pairs without stored circuits: those that can be computed here, and those that cannot."""

from __future__ import annotations

import streamlit as st

from engine.models.pairs import Pair, pairs
from pages.panels.computed_pair import links
from pages.panels.findings import Cell
from pages.shared import availability, widgets
from pages.shared.state import DEFAULT_K


def show_waiting(pair: Pair, cells: list[Cell]) -> None:
    """A pair that can be computed here and is not yet."""
    st.header(widgets.plain(pair.title), divider="gray")
    if pair.note:
        st.caption(widgets.plain(pair.note))
    st.info(
        "No task of this pair has the circuits of both models yet. The button above computes them.",
        icon=":material/hourglass_empty:",
    )
    links([cell for cell in cells if not cell.problem], DEFAULT_K)


def show_away(problems: dict[str, str]) -> None:
    """Pairs that cannot be computed here, folded away, with what to do about it; `problems` by name: why not."""
    if not problems:
        return
    st.header("Pairs that cannot be computed here", divider="gray")
    count = f"{len(problems)} more pair" + ("s" if len(problems) > 1 else "")
    st.markdown(
        f"{count} can be shown when their weights are downloaded, or when circuits that were computed elsewhere "
        "are imported as a bundle."
    )
    for name, problem in problems.items():
        pair = pairs()[name]
        with st.expander(widgets.plain(f"{pair.title}{availability.size(pair)}")):
            if availability.weights_missing(pair):
                availability.how_to_get(pair)
            else:
                st.markdown(widgets.plain(problem))
    st.page_link("pages/runs.py", label="Import a bundle on the Runs page", icon=":material/upload:")
