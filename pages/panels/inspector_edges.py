"""The Edges tab: the strongest edges that reach and leave a node, with rank and score in both models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st

from engine.circuits.edges import RankedEdges
from pages.panels.inspector_paths import paths_list
from pages.shared import cached_reads
from pages.shared.downloads import table_button
from pages.shared.glossary import meaning
from pages.shared.html_table import html_table
from pages.shared.sides import Sides

MOST_EDGES = 10  # rows a table
NEITHER = "no"


def edges_tab(sides: Sides, node: int) -> None:
    all_rows: list[dict[str, object]] = []
    for way in ("incoming", "outgoing"):
        edges = {
            side.model: cached_reads.node_edges(side.run.key, side.part, node, way == "outgoing") for side in sides
        }
        st.markdown(
            f"**Strongest {way} edges**",
            help=f"{meaning('edge')} Score: {meaning('attribution')} Rank 1 is the strongest edge of a model.",
        )
        if not len(edges["arm"].edge):
            st.caption(f"This node has no {way} edges.")
            continue
        rows = [edge_row(sides, edges, at) for at in strongest(edges)]
        st.html(edge_table(sides, rows, way))
        all_rows += rows
    st.caption(f"In: whose circuit at K = {sides.k:,} has the edge (“{NEITHER}”: neither).")
    paths_list(sides, node)
    name = sides.graph.node_names[node]
    table_button("Edges (CSV)", lambda: all_rows, sides.origin(), f"edges-{name}", key="download edges of node")


def strongest(edges: Mapping[str, RankedEdges]) -> list[int]:
    """Which of both models' edges, which are the same edges, rank highest in either model."""
    best = np.minimum(edges["arm"].rank, edges["mdm"].rank)
    return [int(at) for at in np.argsort(best, kind="stable")[:MOST_EDGES]]


def edge_row(sides: Sides, edges: Mapping[str, RankedEdges], at: int) -> dict[str, object]:
    """Entry `at` of both models' edges: name, rank from 1 and score in both, and whose circuits have it."""
    row: dict[str, object] = {"edge": sides.graph.edge_name(int(edges["arm"].edge[at]))}
    inside = []
    for side in sides:
        rank = int(edges[side.model].rank[at])
        row |= {f"{side.model}_rank": rank + 1, f"{side.model}_score": float(edges[side.model].score[at])}
        inside += [side.label] if rank < sides.k else []
    row["in_circuit_of"] = "both" if len(inside) == 2 else inside[0] if inside else "neither"
    return row


def edge_table(sides: Sides, rows: list[dict[str, object]], way: str) -> str:
    """Rows of edges that share an end, each called by its other end (HTML)."""
    columns = ["From" if way == "incoming" else "To"]
    columns += [f"{side.label} {what}" for side in sides for what in ("rank", "score")]
    cells = []
    for row in rows:
        inside = str(row["in_circuit_of"]).replace("neither", NEITHER)
        cells.append([other_end(str(row["edge"]), way), *numbers(sides, row), inside])
    return html_table(f"Strongest {way} edges", [*columns, "In"], cells, texts=(0, 5))


def other_end(edge: str, way: str) -> str:
    """The end of an edge that is not the node's: "m0" (and "m0 → q", if a head reads it) or "a3.h1<q>"."""
    source, _, target = edge.partition("->")
    if way == "outgoing":
        return target
    part = target.partition("<")[2].removesuffix(">")
    return f"{source} → {part}" if part else source


def numbers(sides: Sides, row: Mapping[str, object]) -> list[str]:
    return [text for side in sides for text in (f"{row[f'{side.model}_rank']:,}", f"{row[f'{side.model}_score']:+.4f}")]
