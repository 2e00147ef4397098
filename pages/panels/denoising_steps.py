"""Choose a denoising step, or let the steps play; what depends on the step is redrawn and nothing else."""

from __future__ import annotations

import streamlit as st

from pages.panels.denoising_answer import answer
from pages.panels.denoising_data import Examined
from pages.panels.step_circuit import step_circuit
from pages.shared import address, state, widgets
from pages.shared.glossary import meaning
from pages.shared.synced import synced

PLAY_SECONDS = 1.5
STEPS = "denoising steps"  # the fragment that a step changes

_PLAYS, _SHOWN = "denoising plays", "denoising step shown"  # session only
_START = "start"  # as the step shown: play from the start


@st.fragment(key=STEPS)
def step_by_step(examined: Examined) -> None:
    """All that a step changes. While it plays, an inner fragment reruns by itself and nothing else does."""
    if st.session_state.get(_PLAYS) and examined.steps > 1:
        playing(examined)
    else:
        resting(examined)


@st.fragment
def resting(examined: Examined) -> None:
    """A fragment like `playing`, so that everything keeps its place when playing begins and ends."""
    at_step(examined)


@st.fragment(run_every=PLAY_SECONDS)
def playing(examined: Examined) -> None:
    """Go on by a step, unless the reader has just chosen one; at the end stop the clock."""
    at = st.session_state.get(state.AT, 0)
    shown = st.session_state.pop(_SHOWN, None)
    if shown == _START:
        st.session_state[state.AT] = 0
    elif shown == at:
        if at + 1 >= examined.steps:
            st.session_state[_PLAYS] = False
            st.rerun()  # only a run of what is around this fragment stops its clock
        st.session_state[state.AT] = at + 1
    at_step(examined)
    st.session_state[_SHOWN] = st.session_state.get(state.AT, 0)


def toggle_play(steps: int) -> None:
    """The callback of the play button: play from here, or from the start when this is the end; or pause.

    The step itself is left to `playing`: rerunning a fragment reads the address again, which has the old step.
    """
    starts = not st.session_state.get(_PLAYS)
    at_end = st.session_state.get(state.AT, 0) + 1 >= steps
    st.session_state[_PLAYS] = starts
    st.session_state[_SHOWN] = _START if starts and at_end else None
    st.rerun(STEPS)


@widgets.user_errors()
def at_step(examined: Examined) -> None:
    above = st.container()
    with st.container():
        step = choose_step(examined)
    with above:
        answer(examined, step)
    step_circuit(examined, step)


def choose_step(examined: Examined) -> int:
    """The step that is shown; 0 where there is only one."""
    address.check(state.AT, range(examined.steps))
    if examined.steps == 1:
        return 0
    parts = examined.asked.mdm.meta.parts
    first = int(parts[0].partition("-")[2]) if parts else 0
    title, button, slider = st.columns([2.2, 1, 5], vertical_alignment="bottom")
    at = title.empty()
    plays = bool(st.session_state.get(_PLAYS))
    with button:
        st.button(
            "Pause" if plays else "Play", icon=":material/pause:" if plays else ":material/play_arrow:",
            key="play steps", on_click=toggle_play, args=(examined.steps,), width="stretch",
        )  # fmt: skip
    with slider:
        step = int(
            st.select_slider(
                "Denoising step, in the order in which this run reveals",
                list(range(examined.steps)),
                key=synced(state.AT, first, range(examined.steps), writes=not plays),
                help="Steps count from 0. At each, the answer's tokens revealed before are visible, all others are "
                "masked. The order is the run's setting; the trajectory above may reveal in another.",
            )
        )
    at.subheader(f"The circuit of step {step}", help=f"{meaning('circuit')} {meaning('denoising_step')}")
    return step
