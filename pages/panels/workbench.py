"""The workbench: both circuits in one component, and beside them what the selected node does.

One fragment: what the reader chooses in the component reruns this and nothing else.
"""

from __future__ import annotations

import streamlit as st

from engine.circuits.filters import KINDS, Filters
from engine.models.pair import CONTROL
from engine.runs.records import Run
from pages.components.circuit import component
from pages.panels.checkpoints import checkpoint_drift
from pages.panels.circuit_choices import choices_of, take, told
from pages.panels.circuit_content import Slide, payload_of
from pages.panels.circuit_downloads import circuit_downloads
from pages.panels.circuit_faithfulness import faithful
from pages.panels.inspector import inspector
from pages.panels.inspector_paths import drawn_paths
from pages.shared import artifacts, cached_reads, choices, head, run_selector, state, widgets
from pages.shared.run_selector import Asked
from pages.shared.sides import Side, Sides
from pages.shared.state import TOTAL, model_at

WIDTHS = [2.1, 1]  # of the component and of the inspector
CHECKPOINT_CHANGED = "checkpoint changed"  # session only: the whole page has to run, as another run is shown


@st.fragment
def workbench(asked: Asked) -> None:
    """Everything below the head, for two computed runs."""
    with widgets.user_errors():
        if st.session_state.pop(CHECKPOINT_CHANGED, False):
            st.rerun()
        chosen = choices_of(asked.graph)
        sides = Sides(
            asked.graph,
            int(str(chosen["k"])),
            Side("arm", asked.arm, _part(asked.arm, state.ARM_PART)),
            Side("mdm", asked.mdm, _part(asked.mdm, state.MDM_PART)),
        )
        control = cached_reads.run_of(asked.question.spec(CONTROL))
        with st.container(key="workbench"):
            left, right = st.columns(WIDTHS, gap="medium")
        with left:
            whole = str(component.chosen().get("whole", ""))
            slides = slides_of(asked, sides)
            header, arrays = payload_of(sides, control, widgets.palette(), told(chosen), slides, whole)
            component.circuit(header | {"path": drawn_paths(sides), "faithful": faithful(sides)}, arrays, _take)
        with right:
            inspector(sides)
        artifacts.watch_runs([asked.question.spec(CONTROL)], artifacts.SELDOM)
        if control is None:
            run_selector.offer_control(asked.question, asked.pair)
        elif not asked.mdm.spec.is_control:
            run_selector.mark_runs(control)
        checkpoint_drift(sides, asked.question, asked.pair)
        circuit_downloads(sides, filters_of(chosen))
        st.caption("  \n".join(widgets.provenance(side.title, side.run) for side in sides))


def filters_of(chosen: dict[str, object]) -> Filters:
    kinds = [kind for kind in KINDS if state.kind_name(kind) in list(chosen["kinds"])]  # type: ignore[call-overload]
    return Filters(tuple(kinds), str(chosen["sign"]), str(chosen["show"]), bool(chosen["prune"]))


def _part(run: Run, key: str) -> str:
    return str(choices.held(key, TOTAL, (TOTAL, *run.meta.parts)))


def slides_of(asked: Asked, sides: Sides) -> list[Slide]:
    """What can be slid besides K: checkpoints that are computed, denoising steps, sites; each only where it varies."""
    steps = [step for step in head.states(asked.pair) if cached_reads.run_of(asked.question.spec(model_at(step)))]
    slides = [
        Slide("step", "Steps of post-training", steps, state.step_of(asked.mdm.spec.model)),
        Slide("denoising", "Denoising step", [TOTAL, *asked.mdm.meta.parts], sides.mdm.part),
        Slide("site", "Site of the ARM", [TOTAL, *asked.arm.meta.parts], sides.arm.part),
    ]
    return [slide for slide in slides if len(slide.options) > 2 and slide.value in slide.options]


def _take() -> None:
    """The component's callback."""
    take()
    step = component.chosen().get("step")
    if step and step != st.session_state.get(state.STEP):
        choices.choose({state.STEP: step})
        st.session_state[CHECKPOINT_CHANGED] = True
