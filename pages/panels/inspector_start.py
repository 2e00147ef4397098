"""With no node chosen: what can be done here, and the components in which both circuits differ or agree most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from engine.circuits.node_differences import NodeShares, differ_most, share_most
from pages.panels.inspector_knockouts import knockouts_of, total_changes
from pages.shared import cached_reads
from pages.shared.glossary import meaning
from pages.shared.sides import Sides
from pages.shared.widgets import plain

COUNT = 5  # components a list
EFFECT_WIDTH = 96  # pixels
Effects = Sequence[tuple[str, Mapping[int, float]]]  # of knockouts: a model's label, and the metric's change by node
WITHOUT_IT = f"How much the metric changes without the component. {meaning('knockout')}"
HINTS = (
    "- **Slide K** on the overlap curve: both circuits grow and shrink.\n"
    "- **Click a node**, or walk with the arrow keys, to see here what it writes.\n"
    "- **Shift-click** pins several nodes; **Escape** in the graphs lets go."
)


def start(sides: Sides, select: Callable[[str], None]) -> None:
    """What can be done, and ten components to begin with; `select` chooses one."""
    st.markdown(HINTS)
    arm, mdm = (cached_reads.edges(side.run.key, side.part, sides.k) for side in sides)
    apart, common = (measure(sides.graph, arm, mdm, COUNT) for measure in (differ_most, share_most))
    if not apart and not common:
        st.info(f"No head and no MLP is in either circuit at K = {sides.k:,}: choose a larger K.")
        return
    effects = [(side.label, total_changes(stored)) for side, stored in knockouts_of(sides)]
    told = (
        f"{meaning('importance')} The percentage is the component's share of the importance of all heads and MLPs of "
        f"that circuit, here at K = {sides.k:,}."
    )
    for key, title, listed in (("differ", "They differ most in", apart), ("common", "They share most of", common)):
        with st.container(gap="xsmall"):
            with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
                st.markdown(f"**{title}** (importance)", help=told, width="stretch")
                if effects:
                    labels = " / ".join(label for label, _ in effects)
                    st.caption("Knockout", help=f"{WITHOUT_IT} Here: {plain(labels)}.", width=EFFECT_WIDTH)
            component_buttons(sides, listed, key, select, effects)


def component_buttons(
    sides: Sides, listed: Sequence[NodeShares], key: str, select: Callable[[str], None], effects: Effects
) -> None:
    """A button for every component, with its share of the importance of both circuits; beside it the knockouts."""
    if not listed:
        st.caption("None at this K.")
    arm, mdm = (side.label for side in sides)
    for place, entry in enumerate(listed):
        name = sides.graph.node_names[entry.node]
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.button(
                f"**{name}** · {arm} {entry.arm:.1%} · {mdm} {entry.mdm:.1%}",
                key=f"{key} {place}",
                width="stretch",
                on_click=select,
                args=(name,),
            )
            if effects:
                st.caption(effect_words(effects, entry.node), width=EFFECT_WIDTH)


def effect_words(effects: Effects, node: int) -> str:
    """How much the metric of both models changes without a node, as in "-5.80 / -2.10"."""
    return plain(" / ".join(f"{of_node[node]:+.2f}" if node in of_node else "?" for _, of_node in effects))
