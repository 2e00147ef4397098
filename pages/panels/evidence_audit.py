"""Show which estimator of edge scores agrees with patching edges for real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from engine.circuits.comparison import printed
from engine.runs.evidence import Evidence
from engine.runs.evidence_lines import AUDITED_NAMES, SCORED_WORDS
from engine.runs.evidence_summary import agreements, estimator_of
from engine.runs.spec import RunSpec
from engine.schema.evidence_tables import ESTIMATORS
from pages.figures.evidence_scatter import audit_figure
from pages.panels.evidence_faithfulness import COLUMN
from pages.shared import downloads, evidence, pickers, state, widgets
from pages.shared.glossary import meaning
from pages.shared.run_selector import Asked
from pages.shared.sides import Side
from pages.shared.widgets import METHOD_NAMES

NAMES = {
    "eap": METHOD_NAMES["eap"],
    "eap_ig_5": f"{METHOD_NAMES['eap-ig']}, m = 5",
    "eap_ig_20": f"{METHOD_NAMES['eap-ig']}, m = 20",
    "clean_corrupted": METHOD_NAMES["clean-corrupted"],
    "relp": METHOD_NAMES["relp"],
}


def audit(asked: Asked) -> None:
    """The section: exact scores against an estimator's, and the correlations of all estimators."""
    st.header("Which estimator to believe", "audit", divider="gray", help=meaning("audit"))
    known = evidence.of_sides(asked.sides, asked.steps, "audit")
    evidence.offer("audit", asked.runs, asked.steps, "audit")
    if not known:
        return
    estimator = pickers.select(
        "Estimator", of_method_first(asked.mdm.spec), state.ESTIMATOR, NAMES.__getitem__, width=240
    )
    grid = st.grid(2, min_column_width=COLUMN, gap=24)
    for side, there in known:
        with grid.cell():
            st.subheader(side.title)
            scatter(side, there, estimator)
    st.caption(
        "How to read it: each point is an edge that was patched to the corrupted prompt, alone; up: what the metric "
        "really loses, across: what the estimator says. On the dashed line the estimate is exact."
    )
    st.dataframe(rows_of_agreement(known), hide_index=True, alt="Agreement of estimators with exact scores")
    st.caption(
        "Pearson: of the values themselves. Spearman: of their ranks, which is what the choice of a circuit depends "
        "on. Signs: share of edges whose estimate has the sign of the exact score. "
        f"{SCORED_WORDS}: the last rows leave out what an estimator does not score."
    )
    with st.container(horizontal=True):
        for side, there in known:
            downloads.table_button(
                f"Audited edges, {side.title}", lambda there=there, side=side: named(side, there), side.origin(),  # type: ignore[misc]
                "audited-edges", key=f"download audited {side.model}",
            )  # fmt: skip


def of_method_first(spec: RunSpec) -> list[str]:
    """The estimators, that of the run's own method first where it is one of them."""
    return sorted(ESTIMATORS, key=lambda name: name != estimator_of(spec))


def scatter(side: Side, there: Evidence, estimator: str) -> None:
    rows = named(side, there)
    figure = audit_figure(
        [row["exact"] for row in rows], [row[estimator] for row in rows], [row["name"] for row in rows],
        [row["selection"] == "strongest" for row in rows], widgets.palette().of(side.model), widgets.palette(),
    )  # fmt: skip
    widgets.chart(
        figure, f"audit {side.model}", f"Exact edge scores against those of {NAMES[estimator]}, {side.title}",
        f"audit-{estimator}", side.origin(NAMES[estimator]),
    )  # fmt: skip


def named(side: Side, there: Evidence) -> list[dict[str, Any]]:
    """The table with the names of edges."""
    graph = side.run.meta.graph
    return [{"name": graph.edge_name(row["edge"]), **row} for row in evidence.rows(there, "audited_edges")]


def rows_of_agreement(known: Sequence[tuple[Side, Evidence]]) -> list[dict[str, str]]:
    """A row for every estimator on every selection of edges that a model has."""
    by_key = [(side, {(a.selection, a.estimator): a for a in agreements(there)}) for side, there in known]
    rows = []
    for selection, edges in AUDITED_NAMES.items():
        for estimator, name in NAMES.items():
            row = {"Edges": edges, "Estimator": name}
            for side, agreed in by_key:
                of = agreed.get((selection, estimator))
                if of is not None:
                    row |= {
                        f"Pearson, {side.label}": printed(of.pearson, ".3f"),
                        f"Spearman, {side.label}": printed(of.spearman, ".3f"),
                        f"Signs, {side.label}": printed(of.signs, ".0%"),
                    }
            if len(row) > 2:
                rows.append(row)
    return rows
