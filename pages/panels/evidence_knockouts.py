"""Show what both models lose without single components, and without many of them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st

from engine.runs.evidence import Evidence
from engine.schema.evidence_tables import REPLACEMENTS
from engine.schema.vocabulary import TOTAL
from pages.figures.evidence_scatter import Knocked, knockouts_figure
from pages.figures.faithfulness import Removal, removal_figure
from pages.panels.denoising_columns import side_by_side
from pages.panels.evidence_data import chosen_part
from pages.shared import clicks, downloads, evidence, state, widgets
from pages.shared.glossary import meaning
from pages.shared.run_selector import Asked
from pages.shared.sides import Side
from pages.shared.synced import synced
from pages.shared.words import counted

Known = list[tuple[Side, Evidence]]
CHART = "knockouts"
BY = {"corrupted": "that on the corrupted prompt", "mean": "its mean over the task"}


def knockouts(asked: Asked) -> None:
    """The section: a scatter of components, the chosen one in numbers, and groups of them."""
    st.header("What breaks without a component", "knockouts", divider="gray", help=meaning("knockout"))
    known = evidence.of_sides(asked.sides, asked.steps, "knockouts")
    evidence.offer("knockouts", asked.runs, asked.steps, "knockouts")
    if not known:
        return
    single(asked, known)
    together(asked, known)


@st.fragment
@widgets.user_errors()
def single(asked: Asked, known: Known) -> None:
    """One component at a time. A click draws nothing else anew."""
    replaced, part = replacement(), chosen_part(asked)
    changes = {side.model: changes_of(side, there, replaced, part) for side, there in known}
    left, right = side_by_side("knockouts-and-numbers")
    with right:
        numbers(asked, known, changes)
    with left:
        if len(known) == 2:
            scatter(asked, changes, replaced, part)
        else:
            st.caption("The scatter of both models appears when the knockouts of both are computed.")
    with st.container(horizontal=True):
        for side, there in known:
            downloads.table_button(
                f"Knockouts, {side.title}", lambda there=there, side=side: named(asked, there),  # type: ignore[misc]
                side.origin(), "knockouts", key=f"download knockouts {side.model}",
            )  # fmt: skip


def replacement() -> str:
    """What a component's output is replaced by."""
    return str(
        st.segmented_control(
            "A component's output is replaced by", REPLACEMENTS, format_func=BY.__getitem__, required=True,
            key=synced(state.REPLACED, REPLACEMENTS[0], REPLACEMENTS), help=meaning("knockout"),
        )
    )  # fmt: skip


def changes_of(side: Side, there: Evidence, replaced: str, part: str) -> dict[int, Mapping[str, Any]]:
    """By node: the row of knockouts; of the ARM always that of all sites."""
    own = part if side.model == "mdm" else TOTAL
    return {int(row["node"]): row for row in evidence.rows(there, CHART, replaced_by=replaced, part=own)}


def scatter(asked: Asked, changes: dict[str, dict[int, Mapping[str, Any]]], replaced: str, part: str) -> None:
    names = asked.graph.node_names
    both = sorted(changes["arm"].keys() & changes["mdm"].keys())
    points = [
        Knocked(names[node], names[node].startswith("a"), *(float(changes[m][node]["change"]) for m in ("arm", "mdm")))
        for node in both
    ]
    about = [f"output replaced by {BY[replaced]}", *([] if part == TOTAL else [part])]
    widgets.chart(
        knockouts_figure(points, state.chosen_node(), widgets.palette()), CHART,
        "Change of the metric without each component, ARM against MDM", CHART,
        asked.sides.origin(*about, with_k=False), on_click=lambda: clicks.take(CHART, state.NODE),
    )  # fmt: skip
    st.caption(
        "How to read it: each point is a head or an MLP that was replaced alone. Far to the left: the ARM needs it; "
        "far down: the MDM needs it; on the dashed line: both alike. Click a point for its numbers."
    )


def numbers(asked: Asked, known: Known, changes: dict[str, dict[int, Mapping[str, Any]]]) -> None:
    """The chosen component, and what either model is without it."""
    names = asked.graph.node_names
    node = st.selectbox(
        "Component", names, index=None, placeholder="Click one, or choose", key=synced(state.NODE, None, names),
        help=meaning("node"),
    )  # fmt: skip
    if node is None:
        st.markdown("Choose a component: here stands what both models are without it.")
        return
    for side, there in known:
        row = changes[side.model].get(names.index(str(node)))
        st.markdown(f"**{widgets.plain(side.title)}** " + (without(there, row) if row else "is not run without it."))


def without(there: Evidence, row: Mapping[str, Any]) -> str:
    """As in "without it: metric 7.9 → 2.1, right tokens 100 % → 43 %" (Markdown)."""
    interval = ""
    if row["change_low"] is not None and row["change_high"] is not None:
        interval = f" ({row['change_low']:+.2f} to {row['change_high']:+.2f})"
    text = f"without it: metric {row['change']:+.2f}{interval}"
    if row["part"] == TOTAL:
        full = float(there.meta["full"])
        text = f"without it: metric {full:.2f} → {full + row['change']:.2f}, change {row['change']:+.2f}{interval}"
    if row["right"] is not None:
        text += f"; right tokens {float(there.meta['right_full']):.0%} → {row['right']:.0%}"
    return text


def named(asked: Asked, there: Evidence) -> list[dict[str, Any]]:
    """The table with the names of components."""
    return [{"component": asked.graph.node_names[row["node"]], **row} for row in evidence.rows(there, CHART)]


def together(asked: Asked, known: Known) -> None:
    """Many components at a time: the strongest against random ones, those of both models against those of one."""
    st.subheader("Many components together")
    rows = {side.model: evidence.rows(there, "group_knockouts") for side, there in known}
    removals = [removal_of(model, of_model) for model, of_model in rows.items()]
    widgets.chart(
        removal_figure(removals, widgets.palette()), "removals",
        "Share of right tokens over the number of components removed together", "group-knockouts",
        asked.sides.origin(with_k=False),
    )  # fmt: skip
    sentences = [sentence for side, _ in known for sentence in of_heads(side, rows[side.model])]
    st.markdown("\n".join(f"- {sentence}" for sentence in sentences))
    st.caption(
        "How to read it: if the strongest components carry the task, few of them are enough to break it, while as many "
        "random ones (dotted, with the range of the draws) hardly matter. Heads of both models are those that are "
        "important in both."
    )
    with st.container(horizontal=True):
        for side, _ in known:
            downloads.table_button(
                f"Groups, {side.title}", lambda side=side: rows[side.model], side.origin(), "group-knockouts",  # type: ignore[misc]
                key=f"download groups {side.model}",
            )  # fmt: skip


def removal_of(model: str, rows: list[dict[str, Any]]) -> Removal:
    strongest = sorted((int(row["removed"]), float(row["right"])) for row in rows if row["selection"] == "strongest")
    random = []
    for removed in sorted({int(row["removed"]) for row in rows if row["selection"] == "random"}):
        right = [row["right"] for row in rows if row["selection"] == "random" and row["removed"] == removed]
        random.append((removed, float(np.mean(right)), min(right), max(right)))
    return Removal(model, strongest, random)


def of_heads(side: Side, rows: list[dict[str, Any]]) -> list[str]:
    """What a model still gets right without the heads of both models, and without its own alone (Markdown)."""
    words = {"shared": "important in both models", "only": "important in it alone"}
    return [
        f"**{widgets.plain(side.title)}** without the {counted(row['removed'], 'head')} that "
        f"{'is' if row['removed'] == 1 else 'are'} {words[row['selection']]}: "
        f"{row['right']:.0%} of tokens right, metric {row['metric']:.2f}."
        for row in rows
        if row["selection"] in words
    ]
