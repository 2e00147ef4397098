"""Files of the two circuits as the filters leave them."""

from __future__ import annotations

import streamlit as st

from engine.circuits.filters import Filters
from engine.exchange.circuit import Other
from pages.panels.circuit_graphs import chosen_of
from pages.shared.circuit_files import Row, circuit_files, show_files
from pages.shared.sides import Sides


def circuit_downloads(sides: Sides, filters: Filters) -> None:
    """Files of what is shown: the filtered circuits, which say so in their names and within."""
    st.header("Download", divider="gray")
    st.caption("The edges drawn above, filters included. The camera on every figure saves it as an SVG picture.")
    words = f" ({', '.join(filters.words)})" if filters.active else ""
    rows = []
    for side, edges in sides.classified:
        chosen, count = sides.k, f"{sides.k:,}"
        if filters.active:
            chosen = len(chosen_of(sides, edges, filters))
            count = f"{chosen:,} of {count}"
        others = sides.mdm if side.model == "arm" else sides.arm
        other = Other(others.run.key, others.part)
        key = f"download {side.model}"
        files = circuit_files(side.run, sides.k, side.part, key, chosen, filters, other)
        rows.append(Row(f"{side.title}, {count} edges{words}:", files))
    show_files(rows)
