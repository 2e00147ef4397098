"""What a reader chooses in the circuit component, whichever page it is on: read, kept, and told to it where needed.

Each page mounts the component under a key of its own, but a choice is under one key of pages/shared/state.py on all.
"""

from __future__ import annotations

import streamlit as st

from engine.circuits.filters import CLASSES, KINDS, SIGNS
from engine.circuits.graph import Graph
from pages.components.circuit import component
from pages.panels.circuit_content import Told
from pages.shared import choices, state

SHOWN = "shown by "  # session only: what a component was told last, and what it shows; the component's key follows
OF_COMPONENT = {  # what the component calls a choice -> its key
    "k": state.K, "node": state.NODE, "pins": state.NODES, "view": state.GRAPHS, "kinds": state.KINDS,
    "sign": state.SIGN, "show": state.SHOW, "prune": state.PRUNE, "tau": state.TAU,
    "site": state.ARM_PART, "denoising": state.MDM_PART,
}  # fmt: skip


def chosen_k(n_edges: int) -> int:
    """K, as chosen in a component or on another page."""
    return int(str(choices.held(state.K, state.default_k(n_edges), range(1, n_edges + 1))))


def choices_of(graph: Graph) -> dict[str, object]:
    """What is chosen, by the component's names."""
    names = [state.kind_name(kind) for kind in KINDS]
    return {
        "k": chosen_k(graph.n_edges),
        "node": choices.held(state.NODE, None, graph.node_names),
        "pins": choices.held(state.NODES, [], graph.node_names),
        "view": choices.held(state.GRAPHS, "side", state.GRAPH_VIEWS),
        "kinds": choices.held(state.KINDS, names, names),
        "sign": choices.held(state.SIGN, "both", SIGNS),
        "show": choices.held(state.SHOW, "all", CLASSES),
        "prune": choices.held(state.PRUNE, False, (True, False)),
        "tau": choices.held(state.TAU, state.DEFAULT_TAU, state.TAU_OPTIONS),
    }


def told(chosen: dict[str, object], key: str = component.KEY) -> Told:
    """What to tell the component is chosen.

    What it shows already is not told it again: its data would change with every choice and be sent anew.
    """
    last, shown = st.session_state.get(SHOWN + key, (Told({}, 0), {}))
    if not component.chosen(key):
        shown = last.chosen  # it begins with that
    if chosen != shown:
        last = Told(chosen, last.serial + 1)
        shown = chosen
    st.session_state[SHOWN + key] = last, shown
    return last


def take(key: str = component.KEY) -> None:
    """The component's callback: keep what the reader has chosen in it."""
    chosen = component.chosen(key)  # a slide's value only where the reader has just moved it
    choices.choose({OF_COMPONENT[name]: value for name, value in chosen.items() if name in OF_COMPONENT})
    last, _ = st.session_state.get(SHOWN + key, (Told({}, 0), {}))
    st.session_state[SHOWN + key] = last, {name: chosen.get(name) for name in last.chosen}
