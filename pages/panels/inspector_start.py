"""With no node chosen: what can be done here, and the components in which both circuits differ or agree most."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from engine.circuits.node_differences import NodeShares, differ_most, share_most
from pages.shared import cached_reads
from pages.shared.glossary import meaning
from pages.shared.sides import Sides

COUNT = 5  # components a list
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
    told = (
        f"{meaning('importance')} The percentage is the component's share of the importance of all heads and MLPs of "
        f"that circuit, here at K = {sides.k:,}."
    )
    with st.container(gap="xsmall"):
        st.markdown("**They differ most in** (share of importance)", help=told)
        component_buttons(sides, apart, "differ", select)
    with st.container(gap="xsmall"):
        st.markdown("**They share most of** (share of importance)", help=told)
        component_buttons(sides, common, "common", select)


def component_buttons(sides: Sides, listed: Sequence[NodeShares], key: str, select: Callable[[str], None]) -> None:
    """A button for every component, with its share of the importance of both circuits."""
    if not listed:
        st.caption("None at this K.")
    arm, mdm = (side.label for side in sides)
    for place, entry in enumerate(listed):
        name = sides.graph.node_names[entry.node]
        st.button(
            f"**{name}** · {arm} {entry.arm:.1%} · {mdm} {entry.mdm:.1%}",
            key=f"{key} {place}",
            width="stretch",
            on_click=select,
            args=(name,),
        )
