"""Show the circuit of one denoising step beside that of the ARM's matching site, and what a chosen node is."""

from __future__ import annotations

import streamlit as st

from engine.circuits import comparison
from engine.circuits.parts import matching_position
from engine.models.pair import CONTROL
from pages.components.circuit import component
from pages.panels import denoising_data as data
from pages.panels.circuit_choices import choices_of, take, told
from pages.panels.circuit_content import payload_of
from pages.panels.denoising_columns import side_by_side
from pages.panels.denoising_data import Examined
from pages.panels.inspector import describe
from pages.shared import cached_reads, state, widgets
from pages.shared.glossary import meaning
from pages.shared.sides import Side, Sides
from pages.shared.state import TOTAL, Question

CIRCUIT = "step circuit"  # the fragment that a choice in the component changes; the component's key in the session
ALL_STEPS = "all steps"  # the fragment of everything else that K changes


@st.fragment(key=CIRCUIT)
@widgets.user_errors()
def step_circuit(examined: Examined, step: int) -> None:
    """Both circuits at one step in the circuit component; what is chosen in it draws nothing else anew."""
    parts = examined.asked.mdm.meta.parts
    if examined.steps == 1:
        st.caption("The whole answer is revealed at one step, so its circuit is the one on the Circuits page.")
        return
    shown = nearest(parts, step)
    if shown is None:
        say_no_contrast(parts, step, shown)
        return
    asked = examined.asked
    site, words = matching_site(examined, shown)
    chosen = choices_of(asked.graph)
    mdm = Side("mdm", asked.mdm, part_of(shown))
    sides = Sides(asked.graph, int(str(chosen["k"])), Side("arm", asked.arm, site or TOTAL), mdm)
    left, right = side_by_side("circuit-of-step")
    with left:
        whole = str(component.chosen(CIRCUIT).get("whole", ""))
        control = cached_reads.run_of(asked.question.spec(CONTROL))
        header, arrays = payload_of(sides, control, widgets.palette(), told(chosen, CIRCUIT), (), whole)
        component.circuit(header | {"guide": {}}, arrays, _take, CIRCUIT)
    with right:
        with st.container():
            if shown != step:
                say_no_contrast(parts, step, shown)
        st.caption(widgets.plain(words), help=meaning("site"))
        st.caption(overlap_words(sides), help=f"{meaning('overlap')} {meaning('chance')}")
        node_words(sides)


def nearest(parts: tuple[str, ...], step: int) -> int | None:
    """The step whose circuit is shown at `step`: itself, or the last one before that has one, or the first one."""
    steps = [int(part.partition("-")[2]) for part in parts]
    return max((known for known in steps if known <= step), default=min(steps, default=None))


def part_of(step: int) -> str:
    return f"step-{step:02d}"


def say_no_contrast(parts: tuple[str, ...], step: int, shown: int | None) -> None:
    there = ", ".join(str(int(part.partition("-")[2])) for part in parts) or "none"
    instead = "" if shown is None else f" Shown instead: the circuit of step {shown}."
    st.info(
        f"At step {step} no token is revealed in which the clean and the corrupted answers differ, so there is no "
        f"contrast to explain. Steps with a circuit: {there}.{instead}",
        icon=":material/compare_arrows:",
    )


def matching_site(examined: Examined, step: int) -> tuple[str | None, str]:
    """The ARM's part for the token that this step reveals, and a sentence about it."""
    match = matching_position(cached_reads.columns(examined.asked.mdm.key, "reveals"), step)
    if match is None:
        return None, "No example reveals anything at this step: beside it stands the ARM's whole answer."
    site = f"site-{match.index:02d}"
    words = f"At step {step}, {match.share:.0%} of the examples reveal answer position {match.index}"
    if match.share < 1:
        words += ", more than any other (each example has its own order)"
    if site not in examined.asked.arm.meta.parts:
        return None, (
            f"{words}; there the answers don't differ, so the ARM has no circuit of it: beside it stands the ARM's "
            "whole answer."
        )
    return site, f"{words}: beside it stands {site}, where the ARM predicts that token."


def overlap_words(sides: Sides) -> str:
    """How much of a step's circuit the step before and the whole run have too."""
    mdm, k = sides.mdm, sides.k
    parts = mdm.run.meta.parts
    before = parts[parts.index(mdm.part) - 1] if parts.index(mdm.part) else None
    values = {
        name: data.overlaps(mdm.run.key, mdm.run.key, (mdm.part,), (part,), k)[0, 0]
        for name, part in ((before, before), ("the MDM's whole run", TOTAL))
        if name and part
    }
    with_others = " and ".join(f"{value:.3f} with {name}" for name, value in values.items())
    chance = comparison.chance(k, sides.graph.n_edges)
    return f"Overlap of {mdm.part} at K = {k:,}: {with_others} (chance {chance:.3f})."


def node_words(sides: Sides) -> None:
    """The chosen node in words, and the way to all that is known of it."""
    name = state.chosen_node()
    with st.container(key="inspector", border=True):
        if name is None or name not in sides.graph.node_names:
            st.markdown("Click a node in either graph: here it says what it is, and leads to its logit lens.")
            label = "Open both circuits on the Circuits page"
        else:
            st.markdown(f"##### {describe(sides.graph, sides.graph.node_names.index(name))} ({name})")
            label = f"Open {name} at this site and step on the Circuits page"
        st.page_link("pages/circuits.py", label=label, icon=":material/hub:", query_params=link(sides, name))


def link(sides: Sides, node: str | None) -> dict[str, str]:
    """The address of the same two circuits on the Circuits page."""
    choices = {state.K: str(sides.k), state.MDM_PART: sides.mdm.part}
    if sides.arm.part != TOTAL:
        choices[state.ARM_PART] = sides.arm.part
    if node:
        choices[state.NODE] = node
    step = state.step_of(sides.mdm.run.spec.model)
    if step != state.FINAL:
        choices[state.STEP] = step
    return Question.of(sides.mdm.run.spec).address | choices


def _take() -> None:
    before = st.session_state.get(state.K)
    take(CIRCUIT)
    if st.session_state.get(state.K) != before:
        st.rerun([CIRCUIT, ALL_STEPS])
