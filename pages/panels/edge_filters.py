"""The choice of edges that are drawn and downloaded, and of the part of the answer whose scores are shown."""

from __future__ import annotations

import streamlit as st

from engine.circuits.filters import CLASSES, KINDS, SIGNS, Filters
from engine.runs.records import Run
from pages.shared import address, state
from pages.shared.glossary import meaning
from pages.shared.state import TOTAL


def choose_filters(arm: Run, mdm: Run) -> tuple[tuple[str, str], Filters]:
    """Which edges are drawn, and of which part of the answer."""
    with st.popover("Filters", icon=":material/filter_alt:"):
        show = st.segmented_control(
            "Edges", CLASSES, default="all", required=True, key=state.SHOW, bind=state.URL,
            help="shared: edges in both circuits; only: edges in one circuit alone.",
        )  # fmt: skip
        sign = st.segmented_control(
            "Sign", SIGNS, default="both", required=True, key=state.SIGN, bind=state.URL,
            help=meaning("attribution"),
        )  # fmt: skip
        kinds = st.pills(
            "Read as", KINDS, selection_mode="multi", default=KINDS, format_func=state.kind_name, key=state.KINDS,
            bind=state.URL,
            help="What the edge leads to: a head's query, key or value (q, k, v), an MLP, or the logits. "
            + meaning("query_key"),
        )  # fmt: skip
        pruned = st.toggle(
            "Prune dead ends", key=state.PRUNE, bind=state.URL,
            help=meaning("pruning"),
        )  # fmt: skip
        parts = (
            part_box("ARM: site", arm, state.ARM_PART, "site"),
            part_box("MDM: denoising step", mdm, state.MDM_PART, "denoising_step"),
        )
    return parts, Filters(tuple(kinds), str(sign), str(show), bool(pruned))


def part_box(label: str, run: Run, key: str, term: str) -> str:
    """Which part of a run's scores is shown; `term`: what the glossary calls a part."""
    address.check(key, (TOTAL, *run.meta.parts))
    return str(
        st.selectbox(
            label, [TOTAL, *run.meta.parts], format_func=str, key=key, bind=state.URL,
            help=f"Scores of one part instead of the whole answer. {meaning(term)}",
        )
    )  # fmt: skip
