"""K, how many edges a circuit has: a slider for its usual sizes and a field for any."""

from __future__ import annotations

import streamlit as st

from pages.shared import address, state
from pages.shared.glossary import meaning

SLIDER = "k slider"  # session only; K itself is what the field and the address hold


def choose_k(n_edges: int) -> int:
    """Any whole number from 1 to all edges. The slider goes in steps and shows the one nearest to K."""
    address.check(state.K, range(1, n_edges + 1))
    before = st.session_state.get(state.K)
    if before is not None and not 1 <= before <= n_edges:
        address.note(state.K, f"K = {before:,} is more than all {n_edges:,} edges that there are here.")
        st.session_state[state.K] = state.default_k(n_edges)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        slider = st.container()
        k = int(
            st.number_input(
                "or any K", 1, n_edges, state.default_k(n_edges), key=state.K, bind=state.URL, width=130,
                help=f"From 1 to {n_edges:,}, all edges.",
            )
        )  # fmt: skip
        options = state.k_options(n_edges)
        nearest = min(options, key=lambda option: abs(option - k))
        if st.session_state.get(SLIDER) != nearest:
            st.session_state[SLIDER] = nearest
        slider.select_slider(
            "K, the strongest edges of each model", options, key=SLIDER, on_change=_slide,
            help=f"{meaning('circuit')} {meaning('k')} Here of {n_edges:,} edges.",
        )  # fmt: skip
    return k


def _slide() -> None:
    st.session_state[state.K] = st.session_state[SLIDER]
