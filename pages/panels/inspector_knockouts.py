"""What both models lose without a node: its knockouts, where they are computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from engine.circuits.graph import Graph
from engine.runs.evidence import Evidence
from engine.schema.evidence_tables import REPLACEMENTS
from engine.schema.vocabulary import TOTAL
from pages.shared import evidence
from pages.shared.glossary import meaning
from pages.shared.html_table import html_table
from pages.shared.sides import Side, Sides
from pages.shared.widgets import plain

CORRUPTED, MEAN = REPLACEMENTS


@dataclass(frozen=True)
class Change:
    """What replacing a node changes, of the metric, with the ends of its 95 % interval (NaN: there is none)."""

    part: str
    value: float
    low: float
    high: float
    right: float  # share of the scored tokens that are right without it; NaN of one part

    @property
    def words(self) -> str:
        return f"{self.value:+.2f}" + (f" ({self.interval})" if self.interval else "")

    @property
    def interval(self) -> str:
        return "" if math.isnan(self.low) else f"{self.low:+.2f} to {self.high:+.2f}"


def changes(stored: Evidence, node: int, replaced_by: str = CORRUPTED) -> dict[str, Change]:
    """By part, TOTAL first; none of a node that was not knocked out."""
    columns = evidence.columns(stored, "knockouts", replaced_by=replaced_by)
    names = ("part", "change", "change_low", "change_high", "right")
    at = np.flatnonzero(columns["node"] == node)
    of = [Change(*row) for row in zip(*(columns[name][at].tolist() for name in names), strict=True)]
    return {change.part: change for change in sorted(of, key=lambda change: (change.part != TOTAL, change.part))}


def total_changes(stored: Evidence) -> dict[int, float]:
    """By node: how much the metric changes when its output is replaced by that on the corrupted prompts."""
    columns = evidence.columns(stored, "knockouts", replaced_by=CORRUPTED, part=TOTAL)
    return dict(zip(columns["node"].tolist(), columns["change"].tolist(), strict=True))


def knockouts_of(sides: Sides) -> list[tuple[Side, Evidence]]:
    """The sides whose knockouts are computed."""
    return evidence.of_sides(sides, sides.steps, "knockouts")


def is_component(graph: Graph, node: int) -> bool:
    """Whether a node is a head or an MLP: these are knocked out."""
    return graph.node_names[node] not in ("input", "logits")


def knockout_lines(sides: Sides, node: int) -> None:
    """A line for each model on what it loses without a head or MLP, and the steps on demand; a quiet one without."""
    if not is_component(sides.graph, node):
        return
    there = knockouts_of(sides)
    with st.container(key="knockouts", gap="xsmall"):
        for side, stored in there:
            of_node = changes(stored, node)
            if of_node:
                st.caption(sentence(side, stored, of_node[TOTAL]), help=explanation(side, stored, node))
        by_part(there, node)
        computed = [side.model for side, _ in there]
        missing = [side.run for side in sides if side.model not in computed]
        evidence.missing("knockouts", missing, sides.steps, "knockouts")


def sentence(side: Side, stored: Evidence, change: Change) -> str:
    """As in "ARM without it: metric 7.90 → 2.10, right tokens 100% → 43%" (Markdown)."""
    full, right = stored.meta["full"], stored.meta["right_full"]
    return (
        f"**{plain(side.label)}** without it: metric {full:.2f} → **{full + change.value:.2f}**, "
        f"right tokens {right:.0%} → **{change.right:.0%}**"
    )


def explanation(side: Side, stored: Evidence, node: int) -> str:
    """The tooltip of that line: the interval, the other replacement, and what a knockout is (Markdown)."""
    total = changes(stored, node)[TOTAL]
    by_mean = changes(stored, node, MEAN).get(TOTAL)
    full = stored.meta["full"]
    words = [
        f"Change of the metric ({side.run.spec.metric}, 95% interval): {total.words}.",
        f"All of the model on the corrupted prompts: {stored.meta['corrupted']:.2f}.",
    ]
    if by_mean:
        words.append(
            f"Replaced by its mean over the examples instead: {full:.2f} → {full + by_mean.value:.2f}, right tokens "
            f"{by_mean.right:.0%}."
        )
    return plain(" ".join([*words, meaning("knockout")]))


def by_part(there: Sequence[tuple[Side, Evidence]], node: int) -> None:
    """The change at every denoising step of an MDM and every site of an ARM, where they have several."""
    of_side = [(side, list(changes(stored, node).values())[1:]) for side, stored in there]
    several = [(side, parts) for side, parts in of_side if len(parts) > 1]
    if not several:
        return
    with st.popover("By denoising step and site", type="tertiary"):
        for side, parts in several:
            rows = [[change.part, f"{change.value:+.2f}", change.interval] for change in parts]
            caption = f"Change of the metric of the {side.label} without the node, by part"
            st.html(html_table(caption, [side.label, "Change", "95% interval"], rows, texts=(0, 2)))
