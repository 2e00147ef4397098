"""Single neurons: an MLP's neurons in both models, one of them in detail, search, pins."""

from __future__ import annotations

import streamlit as st

from pages.panels import neuron_data, neuron_overview
from pages.panels.neuron import neuron_panel
from pages.panels.neuron_choosers import choosers, mlps_in_circuits
from pages.panels.neuron_search import results
from pages.panels.pinned_neurons import pinned
from pages.shared import run_selector, widgets
from pages.shared.entry import show
from pages.shared.run_selector import Asked


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
        mlps_in_circuits(asked)
        matches, tiles, overview, panel = st.container(), st.container(), st.container(), st.container()
        neurons = neuron_data.layer(asked.arm.key, asked.mdm.key, layer)
        with panel:  # what a click asks for comes first, the rest of the page after it
            neuron_panel(asked.sides, neurons, chosen)
        with overview:
            neuron_overview.all_neurons(asked, neurons, chosen)
        with tiles:
            neuron_overview.numbers(neurons, asked.arm.has_halves and asked.mdm.has_halves)
        with matches:
            results(asked, layer)
        pinned(asked)
        st.caption("  \n".join(widgets.provenance(side.title, side.run) for side in asked.sides))


show(page)
