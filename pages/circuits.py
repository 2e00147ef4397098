"""The two circuits of a task side by side: slide K, watch the overlap, click a node and see its lens in both models."""

from __future__ import annotations

import streamlit as st

from engine.models.pair import CONTROL
from pages.panels.checkpoints import checkpoint_drift
from pages.panels.circuit_downloads import circuit_downloads
from pages.panels.circuit_graphs import graphs_and_node
from pages.panels.circuit_numbers import number_tiles
from pages.panels.edge_filters import choose_filters
from pages.panels.overlap_curves import overlap_and_profile
from pages.shared import artifacts, cached_reads, run_selector, widgets
from pages.shared.entry import show
from pages.shared.run_selector import Asked
from pages.shared.sides import Side, Sides


def page() -> None:
    st.title("Two circuits, side by side")
    with widgets.user_errors():
        asked = run_selector.both_runs()
        if asked:
            explore(asked)


def explore(asked: Asked) -> None:
    """Everything below the selectors, for two computed runs."""
    parts, filters = choose_filters(asked.arm, asked.mdm)
    sides = Sides(asked.graph, asked.k, Side("arm", asked.arm, parts[0]), Side("mdm", asked.mdm, parts[1]))
    control = cached_reads.run_of(asked.question.spec(CONTROL))
    artifacts.watch_runs([asked.question.spec(CONTROL)], artifacts.SELDOM)
    number_tiles(sides, control)
    with st.container():
        if control is None:
            run_selector.offer_control(asked.question, asked.pair)
        elif not asked.mdm.spec.is_control:
            run_selector.mark_runs(control)
    graphs_and_node(sides, filters)
    overlap_and_profile(sides, control)
    checkpoint_drift(sides, asked.question, asked.pair)
    circuit_downloads(sides, filters)


show(page)
