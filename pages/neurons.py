"""Single neurons: an MLP's neurons in both models, one of them in detail, search, pins."""

from __future__ import annotations

import streamlit as st

from pages.panels import neuron_data, neuron_overview
from pages.panels.neuron import neuron_panel
from pages.panels.neuron_choosers import choosers
from pages.panels.neuron_search import matching, results
from pages.panels.pinned_neurons import pinned
from pages.shared import run_selector, widgets
from pages.shared.entry import show
from pages.shared.run_selector import Asked

COLUMN = 480  # pixels: the narrowest of two columns; a narrower window has the neuron below the figure


def page() -> None:
    with widgets.user_errors():
        asked = run_selector.both_runs("Neurons")
        if asked:
            explore(asked)


@st.fragment
def explore(asked: Asked) -> None:
    """Everything below the selectors. One fragment: a click reruns this and nothing else."""
    with widgets.user_errors():
        layer, chosen = choosers(asked)
        grid = st.grid(2, min_column_width=COLUMN, gap=24)
        left, right = grid.cell(), grid.cell()
        neurons = neuron_data.layer(asked.arm.key, asked.mdm.key, layer)
        with right:  # what a click asks for comes first, the rest of the page after it
            matches, panel = st.container(), st.container()
        with panel:
            neuron_panel(asked.sides, neurons, chosen)
        with left:
            neuron_overview.scatter(asked, neurons, chosen)
        with matches:
            results(asked, layer)
        matching(asked)
        neuron_overview.all_neurons(asked, neurons, chosen)
        pinned(asked)
        st.caption("  \n".join(widgets.provenance(side.title, side.run) for side in asked.sides))


show(page)
