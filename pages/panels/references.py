"""What a pair's overlap is compared with: the step-0 control, and circuits of one half of the examples each."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.circuits import comparison
from engine.runs.records import Run
from engine.schema.vocabulary import HALVES
from engine.tasks.registry import measured_on
from pages.shared import cached_reads
from pages.shared.glossary import meaning
from pages.shared.sides import Sides
from pages.shared.state import TOTAL


@dataclass(frozen=True)
class Line:
    """An overlap over K: the mean of the overlaps of pairs of circuits, each pair as (key, part, key, part)."""

    name: str
    style: str  # "pair", "control"; on half of the examples each "half-pair", "half-arm", "half-mdm"
    pairs: tuple[tuple[str, str, str, str], ...]


Tile = tuple[str, str, str, str | None]  # label, value, note, help

CONTROL_HELP = f"{meaning('overlap')} {meaning('control')}"
SPLIT_HALF_HELP = (
    f"{meaning('split_half')} Large: the ARM's circuit on one half with the MDM's on the other (mean of both ways); "
    "below: each model's own two. Compare these three with each other, not with the overlap on all prompts."
)


def control_at(sides: Sides, control: Run | None) -> comparison.Comparison | None:
    """The ARM's circuit and the step-0 control's of the same part; None where the control has no such part."""
    part = sides.mdm.part
    if control is None or part not in (TOTAL, *control.meta.parts):
        return None
    return cached_reads.comparison(sides.arm.run.key, control.key, sides.arm.part, part, sides.k)


def control_tile(sides: Sides, control: Run | None) -> Tile:
    """The control's overlap with the ARM and the MDM; with the MDM alone where it stands for that one."""
    if sides.mdm.run.spec.is_control:
        return _control_with_mdm(sides)
    label, at = "Overlap of ARM and control", control_at(sides, control)
    if control is None:
        return label, "none", "not computed yet", CONTROL_HELP
    if at is None:
        return label, "none", "the control has no such step", CONTROL_HELP
    part = sides.mdm.part
    with_mdm = cached_reads.overlap(sides.mdm.run.key, control.key, part, part, sides.k)
    solves = f" The control solves {control.accuracy.accuracy:.0%} of the problems." if control.accuracy else ""
    return label, f"{at.jaccard:.3f}", f"{sides.mdm.label} with control {with_mdm:.3f}", f"{CONTROL_HELP}{solves}"


def _control_with_mdm(sides: Sides) -> Tile:
    label, control, part = "Overlap of control and MDM", sides.mdm.run, sides.mdm.part
    mdm = cached_reads.run_of(replace(control.spec, model="mdm"))
    if mdm is None:
        return label, "none", "the MDM is not computed yet", CONTROL_HELP
    if part not in (TOTAL, *mdm.meta.parts):
        return label, "none", "the MDM has no such step", CONTROL_HELP
    overlap = cached_reads.overlap(control.key, mdm.key, part, part, sides.k)
    return label, f"{overlap:.3f}", "after all post-training", CONTROL_HELP


def halves_tile(sides: Sides) -> Tile:
    """The three like-with-like overlaps; always of the whole answer, as halves are not stored by site or step."""
    halves = cached_reads.split_half(sides.arm.run, sides.mdm.run, sides.k)
    whole = "" if sides.arm.part == sides.mdm.part == TOTAL else " For the whole answer."
    return (
        "Split-half overlap",
        f"{halves.pair:.3f}" if halves else "none",
        f"ARM {halves.arm:.3f}, {sides.mdm.label} {halves.mdm:.3f}" if halves else "needs two prompts or more",
        SPLIT_HALF_HELP + whole,
    )


def overlap_pairs(sides: Sides, control: Run | None) -> list[Line]:
    """The lines of overlap over K: on all examples of the pair and of the control, then the three split-half ones."""
    arm, mdm, (a, b) = sides.arm, sides.mdm, HALVES
    arm_key, mdm_key = arm.run.key, mdm.run.key
    lines = [Line(f"ARM with {mdm.label}", "pair", ((arm_key, arm.part, mdm_key, mdm.part),))]
    if control and not mdm.run.spec.is_control and mdm.part in (TOTAL, *control.meta.parts):
        lines.append(Line("ARM with control", "control", ((arm_key, arm.part, control.key, mdm.part),)))
    if arm.run.has_halves and mdm.run.has_halves:
        ways = ((arm_key, a, mdm_key, b), (arm_key, b, mdm_key, a))
        lines.append(Line(f"split-half: ARM with {mdm.label}", "half-pair", ways))
        lines.append(Line("split-half: ARM", "half-arm", ((arm_key, a, arm_key, b),)))
        lines.append(Line(f"split-half: {mdm.label}", "half-mdm", ((mdm_key, a, mdm_key, b),)))
    return lines


def solved(sides: Sides) -> tuple[str, str]:
    """How many problems both models solve, as far as it is measured, and which problems these are."""
    problems = measured_on(sides.arm.run.spec.task).removesuffix(" problems")
    measured = [side.run.accuracy for side in sides]
    if not any(measured):
        return "not yet", f"ARM / {sides.mdm.label}, to be measured"
    shares = " / ".join(f"{accuracy.accuracy:.0%}" if accuracy else "?" for accuracy in measured)
    note = problems if all(measured) else "to be measured"
    return shares, f"ARM / {sides.mdm.label}, {note}"
