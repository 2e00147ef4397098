"""Two columns that lie below each other where a window is too narrow for both."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

WIDTHS = [2.1, 1]  # of what is clicked in, and of what is shown of it
NARROW = 1100  # pixels of a window


def side_by_side(key: str) -> tuple[DeltaGenerator, DeltaGenerator]:
    """The two columns; `key`: of the container around them."""
    with st.container(key=key):
        st.html(
            f"<style>@media (max-width: {NARROW}px) {{ .st-key-{key} > [data-testid=stLayoutWrapper] > "
            "[data-testid=stHorizontalBlock] { flex-direction: column; } "
            f".st-key-{key} > [data-testid=stLayoutWrapper] > [data-testid=stHorizontalBlock] > "
            "[data-testid=stColumn] { width: 100%; flex: 1 1 auto; } }</style>"
        )
        left, right = st.columns(WIDTHS, gap="medium")
    return left, right
