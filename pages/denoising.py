"""How the MDM fills in an answer: what it reveals when, each step's circuit, when the answer becomes readable."""

from __future__ import annotations

import streamlit as st

from pages.panels import denoising_data, denoising_files, position_lens, step_circuit
from pages.panels.accuracy_by_steps import accuracy
from pages.panels.denoising_steps import step_by_step
from pages.panels.trajectory import trajectory
from pages.shared import address, run_selector, state, widgets
from pages.shared.entry import show
from pages.shared.run_selector import Asked


def page() -> None:
    with widgets.user_errors():
        asked = run_selector.both_runs("Denoising")
        if asked:
            explore(asked)


def explore(asked: Asked) -> None:
    """Everything below the selectors, for two computed runs."""
    kept = denoising_data.examples_of(asked.mdm)
    if not kept:
        st.info("This run keeps no trajectories. Compute it again on the Runs page to see how it denoises.")
        return
    address.check(state.EXAMPLE, kept)
    example = st.selectbox(
        "Example",
        kept,
        format_func=str,
        key=state.EXAMPLE,
        bind=state.URL,
        help="Trajectories and lenses are kept for the first examples of a run.",
    )
    examined = denoising_data.examined(asked, example)
    with st.container():  # what grows has a place of its own, so that nothing below is drawn anew then
        trajectory(examined, kept)
    with st.container():
        step_by_step(examined)
    step_circuit.between_steps(examined)
    with st.container():
        position_lens.readable(examined)
    with st.container():
        accuracy(asked)
    st.header("Download", divider="gray")
    denoising_files.downloads(examined)
    st.caption("  \n".join(widgets.provenance(side.title, side.run) for side in asked.sides))


show(page)
