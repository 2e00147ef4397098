"""What the components of both models do on a task: importance by layer, activations, norms, and how specialised."""

from __future__ import annotations

import streamlit as st

from pages.panels import activation_files, activation_layers, activation_maps, specialisation
from pages.shared import run_selector, widgets
from pages.shared.entry import show
from pages.shared.run_selector import Asked


def page() -> None:
    with widgets.user_errors():
        asked = run_selector.both_runs("Activations")
        if asked:
            explore(asked)


def explore(asked: Asked) -> None:
    """Everything below the selectors, for two computed runs."""
    region = activation_layers.layers(asked)
    st.header("How active every layer is", divider="gray")
    with st.container():  # what grows has a place of its own, so that nothing below is drawn anew then
        activation_maps.activity(asked, region)
    st.header("Specialised or distributed", divider="gray")
    specialisation.spread_table(asked)
    with st.container():
        activation_maps.lens(asked)
    st.header("Download", divider="gray")
    activation_files.downloads(asked, region)
    st.caption("  \n".join(widgets.provenance(side.title, side.run) for side in asked.sides))


show(page)
