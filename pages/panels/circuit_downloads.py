"""Files of the two circuits as the filters leave them."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from engine.circuits.filters import Filters
from engine.exchange.export import FORMATS, Other, file_name
from pages.panels.circuit_graphs import chosen_of
from pages.shared import cached_reads
from pages.shared.downloads import file_button
from pages.shared.sides import Side, Sides

LABELS = {"graphml": "GraphML", "parquet": "Parquet"}  # kinds of files that are not written in capitals


def circuit_downloads(sides: Sides, filters: Filters) -> None:
    """Files of what is shown: the filtered circuits, which say so in their names and within."""
    st.header("Download", divider="gray")
    st.caption("The edges drawn above, filters included. The camera on every figure saves it as an SVG picture.")
    chosen = f" ({', '.join(filters.words)})" if filters.active else ""
    for side, edges in sides.classified:
        count = f"{sides.k:,}"
        if filters.active:
            count = f"{len(chosen_of(sides, edges, filters)):,} of {count}"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{side.title}, {count} edges{chosen}:")
            for kind in FORMATS:
                file_button(
                    LABELS.get(kind, kind.upper()),
                    _exporter(sides, side, kind, filters),
                    file_name(side.run, sides.k, kind, side.part, filters),
                    key=f"download {side.model} {kind}",
                )


def _exporter(sides: Sides, side: Side, kind: str, filters: Filters) -> Callable[[], bytes]:
    other = sides.mdm if side.model == "arm" else sides.arm
    return lambda: cached_reads.exported(
        side.run.key, sides.k, kind, side.part, filters, Other(other.run.key, other.part)
    )
