"""The strongest paths from `input` to `logits` through a node, within both circuits."""

from __future__ import annotations

import streamlit as st

from engine.circuits.paths import BY, Path, strongest_paths
from pages.shared import cached_reads, state
from pages.shared.html_table import html_table
from pages.shared.sides import Side, Sides

COUNT = 5  # paths a model
MOST_EDGES = 5_000  # of a circuit, whose paths are listed at once
COMPARED_BY = "paths compared by"  # session only
DRAWN = "paths drawn"  # session only: the node through which they go, and how they are compared
SHOWN = "paths shown"  # session only: whether the graphs show the paths
MEANINGS = {
    "bottleneck": "by the smallest |score| among their edges",
    "product": "by the product of their edges' |scores|, each divided by the circuit's largest",
}


def paths_list(sides: Sides, node: int) -> None:
    """A table for each model; how paths are compared is the reader's choice."""
    st.markdown(
        "**Strongest paths through this node**",
        help="Paths from input to logits within the circuit. They are compared "
        + ", or ".join(MEANINGS.values())
        + ". Of a head's inputs from one node, the strongest of q, k and v counts.",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        by, name = choose_comparison(), sides.graph.node_names[node]
        st.session_state.setdefault(SHOWN, st.session_state.get(DRAWN) == (name, by))
        if st.toggle("Show in the graphs", key=SHOWN) != (st.session_state.get(DRAWN) == (name, by)):
            st.session_state[DRAWN] = (name, by) if st.session_state[SHOWN] else None
            st.rerun()
    k = min(sides.k, MOST_EDGES)
    for side in sides:
        paths = _paths(side.run.key, side.part, k, node, by)
        if paths:
            st.html(paths_table(sides, side, paths, by))
        else:
            st.caption(f"{side.title}: no path from input to logits within its circuit goes through this node.")
    only = f" The strongest {k:,} edges alone are searched." if k < sides.k else ""
    st.caption(f"Within the circuits at K = {sides.k:,}, compared {MEANINGS[by]}.{only}")


def forget_drawn_paths() -> None:
    """Take the paths out of the graphs, where the tab with their switch is left."""
    if st.session_state.pop(DRAWN, None):
        st.rerun()


def drawn_paths(sides: Sides) -> list[str]:
    """Edges of the paths that the graphs show, as scene.js names edges; empty where none are asked for."""
    name, by = st.session_state.get(DRAWN) or (None, BY[0])
    if name is None or name != state.chosen_node() or name not in sides.graph.node_names:
        return []
    node = sides.graph.node_names.index(name)
    graph, k = sides.graph, min(sides.k, MOST_EDGES)
    edges = {
        int(edge) for side in sides for path in _paths(side.run.key, side.part, k, node, by) for edge in path.edges
    }
    return [
        f"{graph.edge_source[edge]}>{graph.destination_node[graph.edge_destination[edge]]}"
        f":{graph.destination_kind[graph.edge_destination[edge]]}"
        for edge in sorted(edges)
    ]


def choose_comparison() -> str:
    chosen = st.segmented_control(
        "Compare paths by",
        BY,
        default=BY[0],
        key=COMPARED_BY,
        required=True,
        persist_state="page",
        format_func=str.capitalize,
        label_visibility="collapsed",
    )
    return str(chosen)


def paths_table(sides: Sides, side: Side, paths: list[Path], by: str) -> str:
    """Paths by the inputs that their edges end at, strongest first (HTML)."""
    graph = sides.graph
    rows = []
    for path in paths:
        ends = [graph.destination_names[graph.edge_destination[edge]] for edge in path.edges]
        rows.append([" → ".join([graph.node_names[path.nodes[0]], *ends]), f"{path.strength:.3g}"])
    return html_table(f"Strongest paths of the {side.title}", [side.title, by], rows)


@st.cache_data(show_spinner=False, max_entries=256)
def _paths(key: str, part: str, k: int, node: int, by: str) -> list[Path]:
    table = cached_reads.edges(key, part, k)
    return strongest_paths(cached_reads.graph_of(key), table.edge, table.score, (node,), COUNT, by)
