"""What a pair's overlap is compared with: the step-0 control, and circuits of one half of the examples each."""

from __future__ import annotations

from dataclasses import dataclass

from engine.runs.records import Run
from engine.schema.vocabulary import HALVES
from engine.tasks.registry import measured_on
from pages.shared.glossary import meaning
from pages.shared.sides import Sides
from pages.shared.state import TOTAL


@dataclass(frozen=True)
class Line:
    """An overlap over K: the mean of the overlaps of pairs of circuits, each pair as (key, part, key, part)."""

    name: str
    style: str  # "pair", "control", "control-mdm"; on half of the examples each "half-pair", "half-arm", "half-mdm"
    pairs: tuple[tuple[str, str, str, str], ...]


SPLIT_HALF_HELP = (
    f"{meaning('split_half')} Large: the ARM's circuit on one half with the MDM's on the other (mean of both ways); "
    "below: each model's own two. Compare these three with each other, not with the overlap on all prompts."
)


def overlap_pairs(sides: Sides, control: Run | None) -> list[Line]:
    """The lines of overlap over K: on all examples of the pair and of the control, then the three split-half ones."""
    arm, mdm, (a, b) = sides.arm, sides.mdm, HALVES
    arm_key, mdm_key = arm.run.key, mdm.run.key
    lines = [Line(f"ARM with {mdm.label}", "pair", ((arm_key, arm.part, mdm_key, mdm.part),))]
    if control and not mdm.run.spec.is_control and mdm.part in (TOTAL, *control.meta.parts):
        lines.append(Line("ARM with control", "control", ((arm_key, arm.part, control.key, mdm.part),)))
        lines.append(Line(f"{mdm.label} with control", "control-mdm", ((mdm_key, mdm.part, control.key, mdm.part),)))
    if arm.run.has_halves and mdm.run.has_halves:
        of = "split-half" if arm.part == mdm.part == TOTAL else "split-half of the whole answer"  # no part has halves
        ways = ((arm_key, a, mdm_key, b), (arm_key, b, mdm_key, a))
        lines.append(Line(f"{of}: ARM with {mdm.label}", "half-pair", ways))
        lines.append(Line(f"{of}: ARM", "half-arm", ((arm_key, a, arm_key, b),)))
        lines.append(Line(f"{of}: {mdm.label}", "half-mdm", ((mdm_key, a, mdm_key, b),)))
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
