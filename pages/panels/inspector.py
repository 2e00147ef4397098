"""The inspector: what the chosen node does in both models, or with none chosen, which nodes to begin with."""

from __future__ import annotations

import streamlit as st

from engine.circuits.graph import Graph
from pages.panels.attention import attention_panel
from pages.panels.inspector_edges import edges_tab
from pages.panels.inspector_knockouts import knockout_lines
from pages.panels.inspector_lens import lens_tab
from pages.panels.inspector_neurons import neurons_tab
from pages.panels.inspector_paths import forget_drawn_paths
from pages.panels.inspector_place import chosen_example
from pages.panels.inspector_start import start
from pages.shared import choices, state, widgets
from pages.shared.address_keys import quoted
from pages.shared.sides import Sides
from pages.shared.synced import synced

KEY = "inspector"  # of its container
INSIDE = {"a": [state.ATTENTION], "m": [state.NEURONS]}  # by the first letter of a head's and of an MLP's name


def inspector(sides: Sides) -> None:
    """The chosen node's title and tabs; called within the page's fragment."""
    with st.container(key=KEY, gap="small"):
        name = state.chosen_node()
        if name is None:
            start(sides, select)
        elif name not in sides.graph.node_names:
            st.warning(
                widgets.plain(f"This model has no node {quoted(name)}. Choose one in the graph, or one of these."),
                icon=":material/link_off:",
            )
            start(sides, select)
        else:
            node = sides.graph.node_names.index(name)
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown(f"##### {describe(sides.graph, node)} ({name})", width="stretch")
                st.button(
                    "Let go", key="let go of node", icon=":material/close:", type="tertiary", on_click=select,
                    args=(None,), help="Choose no node.",
                )  # fmt: skip
            knockout_lines(sides, node)
            tabs(sides, node)


def select(name: str | None) -> None:
    """Choose a node, or none: the callback of buttons."""
    choices.choose({state.NODE: name})


@st.fragment
@widgets.user_errors()
def tabs(sides: Sides, node: int) -> None:
    """The chosen tab of a node; another tab, example or step draws nothing else anew."""
    tab = choose_tab(sides.graph.node_names[node])
    if tab != state.EDGES:
        forget_drawn_paths()
    if tab == state.LENS:
        lens_tab(sides, node)
    elif tab == state.ATTENTION:
        attention_panel(sides, node, chosen_example(sides))
    elif tab == state.NEURONS:
        neurons_tab(sides, node)
    else:
        edges_tab(sides, node)


def choose_tab(name: str) -> str:
    """The tab of a node that the reader chooses: it stays from node to node, Attention and Neurons in turn."""
    inside = INSIDE.get(name[0], [])
    options = [state.LENS, *inside, state.EDGES]
    before_tabs = state.TAB not in st.query_params and state.INPUT_STEP in st.query_params  # an older link
    default = inside[0] if before_tabs and inside else state.LENS
    before = st.session_state.get(state.TAB)
    if before in (state.ATTENTION, state.NEURONS) and before not in options:
        before = (inside or [state.LENS])[0]
    if before is not None:  # other options make another widget, which would begin anew
        st.session_state[state.TAB] = before
    chosen = st.segmented_control(
        "What to show of the node",
        options,
        key=synced(state.TAB, default, options, _tab_in_address),
        required=True,
        label_visibility="collapsed",
        width="stretch",
    )
    return str(chosen)


def _tab_in_address(tab: str) -> str:
    """Attention and Neurons are one tab there, as one stands for the other at the next node."""
    now = st.query_params.get(state.TAB)
    return now if now is not None and {now, tab} == {state.ATTENTION, state.NEURONS} else tab


def describe(graph: Graph, node: int) -> str:
    """A node in words, as in "Head 3 of layer 2"."""
    name = graph.node_names[node]
    if name == "input":
        return "Token embedding"
    if name == "logits":
        return "Logits"
    layer = int(graph.node_layer[node])
    return f"MLP of layer {layer}" if name.startswith("m") else f"Head {name.partition('.h')[2]} of layer {layer}"
