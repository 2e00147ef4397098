"""What a pair's overlap is read against on the circuits page: the step-0 control, and halves of the prompts."""

from __future__ import annotations

from engine.circuits import comparison
from engine.runs import read
from engine.runs.records import Run
from pages.figures import charts
from pages.shared import cached_reads
from pages.shared.sides import Sides
from pages.shared.state import TOTAL

Tile = tuple[str, str, str, str | None]  # label, value, note, help

CONTROL_SAID = (
    "Overlap of the ARM's circuit with that of the step-0 control: the ARM's own weights, read as the MDM is (masks, "
    "both directions), without any post-training. It is what the change of attention and of input does alone."
)
HALVES_SAID = (
    "Found on half of the prompts each: the ARM's with the MDM's on the other half (mean of both ways); below, each "
    "model's own two. Compare these three with each other, not with the overlap on all prompts."
)


def control_at(sides: Sides, control: Run | None) -> comparison.Comparison | None:
    """The ARM's circuit and the step-0 control's of the same part; None where the control has no such part."""
    part = sides.mdm.part
    if control is None or part not in (TOTAL, *control.meta.parts):
        return None
    return cached_reads.comparison(sides.arm.run.key, control.key, sides.arm.part, part, sides.k)


def control_tile(at: comparison.Comparison | None, control: Run | None) -> Tile:
    note = "not computed yet" if control is None else f"control solves {control.meta.accuracy:.0%}"
    return (
        "ARM with its control",
        f"{at.jaccard:.3f}" if at else "none",
        note if at or control is None else "has no such step",
        CONTROL_SAID,
    )


def halves_tile(sides: Sides) -> Tile:
    """The three like-with-like overlaps; always of the whole answer, as halves are not stored by site or step."""
    halves = cached_reads.split_half(sides.arm.run, sides.mdm.run, sides.k)
    whole = "" if sides.arm.part == sides.mdm.part == TOTAL else " For the whole answer."
    return (
        "ARM with MDM, on halves",
        f"{halves.pair:.3f}" if halves else "none",
        f"ARM {halves.arm:.3f}, MDM {halves.mdm:.3f}" if halves else "needs two prompts",
        HALVES_SAID + whole,
    )


def overlap_lines(sides: Sides, control: Run | None) -> list[charts.Curve]:
    """The curves of overlap over K: the pair and the control on all prompts, then the three on halves."""
    arm, mdm, (a, b) = sides.arm, sides.mdm, read.HALVES
    found = cached_reads.overlap_curve(arm.run.key, mdm.run.key, arm.part, mdm.part)
    lines = [charts.curve("ARM with MDM", "pair", found)]
    if control and not mdm.run.spec.is_control and mdm.part in (TOTAL, *control.meta.parts):
        of_control = cached_reads.overlap_curve(arm.run.key, control.key, arm.part, mdm.part)
        lines.append(charts.curve("control", "control", of_control))
    if arm.run.has_halves and mdm.run.has_halves:
        ways = [cached_reads.overlap_curve(arm.run.key, mdm.run.key, *way) for way in ((a, b), (b, a))]
        own = [cached_reads.overlap_curve(side.run.key, side.run.key, a, b) for side in (arm, mdm)]
        lines.append(charts.curve("halves: pair", "half-pair", *ways))
        lines += [charts.curve("halves: ARM", "half-arm", own[0]), charts.curve("halves: MDM", "half-mdm", own[1])]
    return lines
