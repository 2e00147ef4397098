"""Show how an example's answer is found: its trajectory and its lens in tabs, and beside them one answer position."""

from __future__ import annotations

import streamlit as st

from pages.panels.denoising_columns import side_by_side
from pages.panels.denoising_data import SAMPLERS, Examined
from pages.panels.position_lens import choose_position, lens_maps, lenses_of, position_panel
from pages.panels.trajectory import samplers_of, trajectory
from pages.shared import state, widgets
from pages.shared.synced import synced

TABS = TRAJECTORY, MAPS = "What is revealed when", "Lens at every position"


@st.fragment
@widgets.user_errors()
def answer(examined: Examined, step: int) -> None:
    """The example's answer at a denoising step. Another position, sampler or tab draws nothing else anew."""
    left, right = side_by_side("answer")
    with right:
        sampler = choose_example(examined)
        lenses = lenses_of(examined)
        position = choose_position(examined)
        if lenses:
            position_panel(examined, lenses, step, position)
    with left:
        revealed, maps = st.tabs(TABS, key="tabs of the answer", on_change="rerun")
        if revealed.open:
            with revealed:
                trajectory(examined, sampler, position)
        if maps.open:
            with maps:
                lens_maps(examined, lenses, step, position)


def choose_example(examined: Examined) -> str | None:
    """The example, of which the whole page is drawn anew, and the sampler of its trajectory, where there are any."""
    known = samplers_of(examined)
    of_example, of_sampler = st.columns(2) if known else (st.container(), None)
    with of_example:
        st.selectbox(
            "Example",
            examined.kept,
            format_func=str,
            key=synced(state.EXAMPLE, examined.kept[0], examined.kept),
            on_change=st.rerun,
            help="Trajectories and lenses are kept for the first examples of a run.",
        )
    if of_sampler is None:
        return None
    with of_sampler:
        return str(
            st.selectbox(
                "Sampler",
                known,
                format_func=str,
                key=synced(state.SAMPLER, known[0], known),
                help="Which masked positions a step of the trajectory reveals.\n\n"
                + "\n".join(f"- {name}: {SAMPLERS[name]}" for name in known),
            )
        )
