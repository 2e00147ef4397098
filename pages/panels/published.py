"""The paper's numbers, and what the terms of the overview mean."""

from __future__ import annotations

import streamlit as st

from engine.tasks.registry import TASKS
from pages.shared import cached_reads, widgets
from pages.shared.glossary import meaning

TERMS = {
    "arm": "ARM",
    "mdm": "MDM",
    "edge": "Edge",
    "attribution": "Attribution",
    "circuit": "Circuit",
    "k": "K",
    "overlap": "Overlap",
    "chance": "Chance",
    "control": "Control",
    "split_half": "Split-half overlap",
    "importance": "Importance",
    "early_share": "Early share",
    "early_ratio": "Early ratio",
    "solved": "Solved",
    "prefix_dominant": "Prefix-dominant",
    "globally_constrained": "Globally constrained",
}


def show_published() -> None:
    published = cached_reads.published()
    st.header("What the paper reports", divider="gray")
    rows = [
        {
            "Pair": row["pair"],
            "Task": TASKS[row["task"]].title,
            "Overlap": row["overlap"],
            "Early ratio": f"more than {row['early_ratio_above']:g}" if "early_ratio_above" in row else "not given",
        }
        for row in published["row"]
    ]
    st.dataframe(
        rows, hide_index=True, column_config={"Overlap": st.column_config.NumberColumn(format="%.3f")},
        alt="Published overlaps",
    )  # fmt: skip
    paper = published["paper"]
    st.caption(
        f"[{widgets.plain(paper['title'])}]({paper['url']}), {widgets.plain(paper['version'])}. Other models, and a K "
        "that is not given: compare the direction, not the digits."
    )


def legend() -> None:
    """The terms of the overview, from the glossary."""
    with st.expander("What the terms mean"):
        st.markdown("\n".join(f"- **{title}**: {meaning(term)}" for term, title in TERMS.items()))
