"""What was measured on a pair: sentences, a chart, tables, and what to know of its runs."""

from __future__ import annotations

from typing import Any

import streamlit as st

from engine.models.pairs import Pair
from engine.runs.records import Run
from engine.runs.solvable import can_do
from pages.figures.overview import overview_figure
from pages.panels.findings import Cell, Finding, alike, answers, finding_of, sides
from pages.panels.references import SPLIT_HALF_HELP
from pages.shared import availability, state, widgets
from pages.shared.glossary import meaning
from pages.shared.provenance import origin
from pages.shared.words import listed

# What is explained at a column: words of its name -> term of the glossary; the first that fits.
TERMS = {
    "Split-half": "split_half",
    "Overlap": "overlap",
    "Chance": "chance",
    "Early ratio": "early_ratio",
    "Early share": "early_share",
    "Solved": "solved",
    "control": "control",
}


def show_pair(pair: Pair, cells: list[Cell], k: int) -> None:
    """A pair's numbers in sentences, a chart and tables, and where they come from."""
    findings = [finding_of(cell, k) for cell in cells if cell.arm and cell.mdm]
    st.header(widgets.plain(pair.title), divider="gray")
    if pair.note:
        st.caption(widgets.plain(pair.note))
    availability.say_how_read(pair)
    brought = [run for finding in findings for _, run in sides(finding) if run.imported]
    if brought:
        st.caption(f":material/inventory_2: {widgets.plain(availability.brought(brought, pair))}")
    averaged = alike(findings)
    if averaged:
        st.markdown("\n".join(f"- {sentence}" for sentence in answers(averaged, k)))
    others = [cell.title for cell in cells if cell.settings]
    if others:
        told = f"Shown with other settings, as not all runs with the default ones are stored: {listed(others)}."
        left_out = " The sentences above leave them out." if 0 < len(averaged) < len(findings) else ""
        st.caption(widgets.plain(f"{told}{left_out}"))
    figure = overview_figure([finding.row for finding in findings], widgets.palette())
    widgets.chart(
        figure, f"overview {pair.name}", f"Overlap of ARM and MDM by task at K = {k}", "overview",
        origin([run for finding in findings for _, run in sides(finding)], k),
    )  # fmt: skip
    show_table(findings)
    for sentence in [*unable(findings), *remarks(findings)]:
        st.warning(sentence, icon=":material/report:")
    links([cell for cell in cells if (cell.arm and cell.mdm) or not cell.problem], k)
    missing = [f.cell.title for f in findings if f.control is None]
    if missing:
        st.caption(widgets.plain(f"The step-0 control is not computed yet: {listed(missing)}."))
    lines = {widgets.provenance(f"{f.cell.title}, {name}", run) for f in findings for name, run in sides(f)}
    with st.expander("Where these numbers come from"):
        st.caption("\n\n".join(sorted(lines)))


def unable(findings: list[Finding]) -> list[str]:
    """A sentence for every task that a model cannot do (Markdown)."""
    return [
        f"**{widgets.plain(f.cell.title)}: the {name} cannot do this task.** {widgets.plain(ability.reason)}"
        for f in findings
        for name, run in sides(f)
        if not (ability := can_do(f.cell.task, run.accuracy)).can
    ]


def remarks(findings: list[Finding]) -> list[str]:
    """What is to be said of the runs (Markdown)."""
    return [
        f"**{widgets.plain(f.cell.title)}, {name}:** {widgets.plain(remark)}"
        for f in findings
        for name, run in sides(f)
        for remark in run.meta.remarks
    ]


def show_table(findings: list[Finding]) -> None:
    """Overlaps by task, then what else belongs to them."""
    overlaps = [overlap_row(finding) for finding in findings]
    others = [other_row(finding) for finding in findings]
    task = {"Task": st.column_config.TextColumn(pinned=True)}  # in sight where a narrow screen scrolls the numbers
    columns = task | {name: _column(name, "%.3f") for name in overlaps[0] if name not in task}
    st.dataframe(overlaps, hide_index=True, column_config=columns, placeholder="not yet", alt="Overlaps by task")
    if any(finding.halves is None for finding in findings):
        st.caption("A single prompt has no halves.")
    columns = task | {
        name: _column(name, "%.2f" if name.startswith("Early ratio") else "%.0f %%")
        for name in others[0]
        if name not in task
    }
    st.dataframe(
        others, hide_index=True, column_config=columns, placeholder="not yet", alt="Early shares and accuracies by task"
    )


def overlap_row(finding: Finding) -> dict[str, str | float | None]:
    halves = finding.halves
    return {
        "Task": finding.cell.title,
        "Overlap": finding.at.jaccard,
        "ARM with control": finding.control.jaccard if finding.control else None,
        "MDM with control": finding.mdm_with_control,
        "Chance": finding.at.chance,
        "Split-half: ARM with MDM": halves.pair if halves else None,
        "Split-half: ARM": halves.arm if halves else None,
        "Split-half: MDM": halves.mdm if halves else None,
    }


def other_row(finding: Finding) -> dict[str, str | float | None]:
    control = finding.cell.control
    return {
        "Task": finding.cell.title,
        "Early ratio": finding.at.early_ratio,
        "Early ratio, control": finding.control.early_ratio if finding.control else None,
        "Early share, ARM": 100 * finding.at.arm.early_share,
        "Early share, MDM": 100 * finding.at.mdm.early_share,
        "Solved, ARM": solved(finding.arm),
        "Solved, MDM": solved(finding.mdm),
        "Solved, control": solved(control) if control else None,
    }


def solved(run: Run) -> float | None:
    """In percent; None where it is not measured yet."""
    return 100 * run.accuracy.accuracy if run.accuracy else None


def _column(name: str, form: str) -> Any:
    """A column of numbers with the explanation of its term."""
    term = next(term for words, term in TERMS.items() if words in name)
    return st.column_config.NumberColumn(format=form, help=SPLIT_HALF_HELP if term == "split_half" else meaning(term))


def links(cells: list[Cell], k: int) -> None:
    with st.container(horizontal=True, gap="medium"):
        st.markdown("Show the circuits of:")
        for cell in cells:
            chosen = {**cell.question.address, state.K: str(k)}
            st.page_link(
                "pages/circuits.py", label=widgets.plain(cell.title), icon=":material/hub:", query_params=chosen
            )
    there = [cell for cell in cells if cell.arm and cell.mdm] or cells
    first = next((cell for cell in there if not cell.settings), there[0])
    st.page_link(
        "pages/evidence.py", label="Evidence: are these circuits true, do the claims hold?",
        icon=":material/fact_check:", query_params={**first.question.address, state.K: str(k)},
    )  # fmt: skip
