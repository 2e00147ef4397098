"""K, how many edges a circuit has, on pages that show none to slide it on."""

from __future__ import annotations

from pages.shared import pickers, state
from pages.shared.glossary import meaning


def choose_k(n_edges: int) -> int:
    """Any whole number from 1 to all edges."""
    return pickers.number(
        "K", (1, n_edges), state.default_k(n_edges), state.K,
        help=f"{meaning('circuit')} {meaning('k')} From 1 to {n_edges:,}, all edges.",
    )  # fmt: skip
