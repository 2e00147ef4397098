"""The numbers of two circuits at one K, as tiles."""

from __future__ import annotations

import streamlit as st

from engine.circuits import comparison
from engine.circuits.comparison import Comparison
from engine.runs.records import Run
from engine.tasks.registry import measured_on
from pages.panels import references
from pages.panels.references import Tile
from pages.shared import cached_reads
from pages.shared.glossary import meaning
from pages.shared.sides import Sides

TILE = 200  # pixels: six in a row of a wide window, and in as many rows as it takes of a narrow one


def number_tiles(sides: Sides, control: Run | None) -> None:
    """Overlap and what it is compared with, early ratio, and problems solved, at K."""
    arm, mdm, k = sides.arm, sides.mdm, sides.k
    at = cached_reads.comparison(arm.run.key, mdm.run.key, arm.part, mdm.part, k)
    chance = meaning("chance")[0].lower() + meaning("chance")[1:]
    of_overlap = f"{meaning('overlap')} Here {at.shared:,} edges are in both. The note below is chance, {chance}"
    tiles: tuple[Tile, ...] = (
        (
            f"Overlap at K = {k:,}",
            f"{at.jaccard:.3f}",
            f"chance {at.chance:.3f}",
            of_overlap,
        ),
        references.control_tile(sides, control),
        references.halves_tile(sides),
        (
            "Shared edges",
            f"{at.shared:,}",
            f"of {k:,} in each circuit",
            f"Edges that are among the {k:,} strongest of both models. {meaning('edge')}",
        ),
        early_tile(sides, at, references.control_at(sides, control)),
        solved_tile(sides),
    )
    with st.container(horizontal=True, gap="small"):
        for label, value, note, explanation in tiles:
            st.metric(label, value, note, delta_color="off", delta_arrow="off", help=explanation, width=TILE)


def solved_tile(sides: Sides) -> Tile:
    """How many problems both models solve, as far as it is measured."""
    problems = measured_on(sides.arm.run.spec.task)
    measured = [side.run.accuracy for side in sides]
    known = next(filter(None, measured), None)
    shares = (
        " / ".join(f"{accuracy.accuracy:.0%}" if accuracy else "?" for accuracy in measured) if known else "not yet"
    )
    note = f"ARM / {sides.mdm.label}, {problems.removesuffix(' problems')}"
    if not all(measured):
        note = f"ARM / {sides.mdm.label}, to be measured"
    of = f" Measured on {known.accuracy_n} {problems}." if known else ""
    return "Problems solved", shares, note, f"{meaning('solved')}{of}"


def early_tile(sides: Sides, at: Comparison, of_control: Comparison | None) -> Tile:
    """The early ratio with both early shares; `of_control`: the control compared with the ARM."""
    shares = [
        f"{name} {comparison.printed(side.early_share, '.0%')}"
        for name, side in ((sides.mdm.label, at.mdm), ("ARM", at.arm))
    ]
    explanation = f"{meaning('early_ratio')} {meaning('early_share')}"
    if of_control and not sides.mdm.run.spec.is_control:
        explanation += f" Of the control and the ARM: {comparison.printed(of_control.early_ratio, '.2f')}."
    return "Early ratio", comparison.printed(at.early_ratio, ".2f"), ", ".join(shares), explanation
