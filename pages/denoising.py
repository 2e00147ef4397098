"""How the MDM fills in an answer: what it reveals when, each step's circuit, when the answer becomes readable."""

from __future__ import annotations

import streamlit as st

from pages.panels import denoising_data
from pages.panels.accuracy_by_steps import accuracy
from pages.panels.denoising_all_steps import all_steps
from pages.panels.denoising_steps import step_by_step
from pages.panels.position_lens import readable
from pages.shared import run_selector, widgets
from pages.shared.entry import show
from pages.shared.run_selector import Asked


def page() -> None:
    with widgets.user_errors():
        asked = run_selector.both_runs("Denoising", with_k=False)
        if asked:
            explore(asked)


def explore(asked: Asked) -> None:
    """Everything below the selectors, for two computed runs."""
    kept = denoising_data.examples_of(asked.mdm)
    if not kept:
        st.info("This run keeps no trajectories. Compute it again on the Runs page to see how it denoises.")
        return
    examined = denoising_data.examined(asked, kept)
    with st.container():  # what grows has a place of its own, so that nothing below is drawn anew then
        step_by_step(examined)
    with st.container():
        readable(examined)
    with st.container():
        accuracy(asked)
    with st.container():
        all_steps(examined)
    st.caption("  \n".join(widgets.provenance(side.title, side.run) for side in asked.sides))


show(page)
