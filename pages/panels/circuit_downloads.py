"""Files of the two circuits as the filters leave them."""

from __future__ import annotations

import streamlit as st

from engine.circuits.filters import Filters, choose
from engine.exchange.circuit import Other
from pages.shared.circuit_files import Row, circuit_files, show_files
from pages.shared.sides import Sides


def circuit_downloads(sides: Sides, filters: Filters) -> None:
    """Files of what is shown: the filtered circuits, which say so in their names and within."""
    with st.popover("Download", icon=":material/download:"):
        st.caption(
            "The circuits that are shown, filters included. Each file says which run, K, filters, method and versions "
            "it comes from, and how many edges the filters leave out. JSON holds all edges of the model and marks "
            "those of the circuit."
        )
        show_files(_rows(sides, filters))


def _rows(sides: Sides, filters: Filters) -> list[Row]:
    words = f" ({', '.join(filters.words)})" if filters.active else ""
    rows = []
    for side, edges in sides.classified:
        chosen, count = sides.k, f"{sides.k:,}"
        if filters.active:
            chosen = len(choose(sides.graph, edges.edge, edges.score, filters, edges.shared))
            count = f"{chosen:,} of {count}"
        others = sides.mdm if side.model == "arm" else sides.arm
        other = Other(others.run.key, others.part)
        files = circuit_files(side.run, sides.k, side.part, f"download {side.model}", chosen, filters, other)
        rows.append(Row(f"{side.title}, {count} edges{words}:", files))
    return rows
