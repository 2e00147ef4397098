"""K, how many edges a circuit has, on pages that show none to slide it on."""

from __future__ import annotations

import streamlit as st

from pages.shared import address, pickers, state
from pages.shared.glossary import meaning


def choose_k(n_edges: int) -> int:
    """Any whole number from 1 to all edges."""
    before = st.session_state.get(state.K)
    if before is not None and not 1 <= before <= n_edges:
        address.note(state.K, f"K = {before:,} is more than all {n_edges:,} edges that there are here.")
    return pickers.number(
        "K", (1, n_edges), state.default_k(n_edges), state.K,
        help=f"{meaning('circuit')} {meaning('k')} From 1 to {n_edges:,}, all edges.",
    )  # fmt: skip
