"""The claims about a pair as a table: our number, its interval, what it is compared with, and a verdict on each.

1. The runs of the four tasks are looked up (engine/runs/claim_numbers.py); nothing is computed with a model.
2. Every claim takes its number from there and gives it to its rule (engine/circuits/verdicts.py); the rules are
   METHOD's ("Claims").
3. Whatever the number, a claim can't be told where a model cannot do the task, and where something is missing, which
   is said then (engine/runs/claim.py).

What the paper reports is read from assets/published.toml and stands beside our numbers, never in their place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from engine import settings
from engine.circuits.comparison import printed
from engine.circuits.intervals import Contrast, Estimate, SpecialisationIntervals
from engine.circuits.verdicts import UNKNOWN, Ruling, Side, at_floor, beyond, both_halves, transfers
from engine.files.reading import read_text, read_toml
from engine.runs.claim import NO_NUMBER, Claim, Judged, Subject, Transfer, negative, not_computed, with_interval
from engine.runs.claim_numbers import TaskNumbers, runs_of_task
from engine.runs.spec import RunSpec
from engine.tasks.registry import TASKS

__all__ = ["Claim", "Transfer", "claims", "published"]

LOCAL, GLOBAL = ("ioi", "greater_than"), ("countdown", "sudoku")
DEFAULT_K = 200
PUBLISHED = settings.ROOT / "assets" / "published.toml"


def claims(question: RunSpec, k: int = DEFAULT_K, transfer: Mapping[str, Transfer] | None = None) -> list[Claim]:
    """Every claim about a pair, in the order of the paper.

    `question` says the pair and the settings of its runs (its task, model, template and number of denoising steps do
    not matter); `transfer` by task, where faithfulness is computed.

    Raises:
        UserError: no such pair, or the cache cannot be read.
    """
    numbers = {task: TaskNumbers(runs_of_task(question, task), k) for task in TASKS}
    rows = [_local_keep_more(numbers[local], numbers[world]) for local, world in zip(LOCAL, GLOBAL, strict=True)]
    for task in GLOBAL:
        rows += [_differs(numbers[task]), _abandons(numbers[task]), _moved_by_training(numbers[task])]
    rows += [_early(numbers[task]) for task in GLOBAL]
    for own in numbers.values():
        rows += [_more_components(own), _more_alike(own), _more_diffuse(own)]
    rows += [_weaker_neurons(own) for own in numbers.values()]
    return rows + [_transfer(own, (transfer or {}).get(task)) for task, own in numbers.items()]


def published() -> dict[str, Any]:
    """assets/published.toml: the paper and what it reports."""
    return read_toml(read_text(PUBLISHED, "The published numbers"), "The published numbers")


def _published(value: str, task: str) -> dict[str, float]:
    """By pair: a value that the paper reports of a task."""
    return {row["pair"]: row[value] for row in published()["row"] if row["task"] == task and value in row}


def _local_keep_more(local: TaskNumbers, world: TaskNumbers) -> Claim:
    def judge() -> Judged:
        number = local.overlap.minus_independent(world.overlap).estimate
        parts = [
            f"Overlaps {local.overlap.value:.3f} and {world.overlap.value:.3f}",
            f"of components {printed(local.component_overlap, '.3f')} and {printed(world.component_overlap, '.3f')}",
        ]
        controls = local.overlap_of_control, world.overlap_of_control
        if controls[0] and controls[1]:
            difference = controls[0].minus_independent(controls[1]).estimate
            parts.append(f"with the step-0 control the difference is {with_interval(difference)}")
            parts += _of_control(local, world)
        return Judged(number, [*parts, *_limits(local)], beyond(number, 0, "above"))

    (task, other), (a, b) = ((own.runs.task.name for own in (local, world)), (_title(local), _title(world)))
    first, second = _published("overlap", task), _published("overlap", other)
    reported = {
        pair: f"{value:.3f} - {second[pair]:.3f} = {value - second[pair]:.3f}"
        for pair, value in first.items()
        if pair in second
    }
    claim = f"Circuits of ARM and MDM overlap more on {a} (local) than on {b} (global)."
    measure = f"Overlap on {a} minus overlap on {b}"
    return Subject(f"local {task} {other}", claim, measure, "circuits", (local, world), reported).judged(judge)


def _differs(own: TaskNumbers) -> Claim:
    def judge() -> Judged:
        if own.halves is None:
            return Judged(NO_NUMBER, (), Ruling(UNKNOWN, "There are no two halves of the prompts."))
        number = own.halves.pair_below_own.estimate
        of_each = f"ARM {own.halves.arm.value:.3f}, MDM {own.halves.mdm.value:.3f}"
        parts = [f"Split halves: ARM with MDM {own.halves.pair.value:.3f}, {of_each}", *_limits(own)]
        return Judged(number, parts, beyond(number, 0, "below"))

    claim = f"On {_title(own)} the two models' circuits differ by more than circuits of other prompts do."
    measure = "Split-half overlap of ARM with MDM minus the lower one of the two models' own"
    return Subject(f"differs {own.runs.task.name}", claim, measure, "circuits", (own,)).judged(judge)


def _abandons(own: TaskNumbers) -> Claim:
    def judge() -> Judged:
        number, floor = own.overlap.estimate, own.permuted_heads
        parts = [
            f"Heads permuted: mean {floor.mean:.3f}, {floor.low:.3f} to {floor.high:.3f}",
            f"chance {own.chance:.3f}",
            *_limits(own),
        ]
        return Judged(number, parts, at_floor(number, floor.high))

    name = own.runs.task.name
    reported = {pair: f"{value:.3f}" for pair, value in _published("overlap", name).items()}
    claim = f"On {_title(own)} the MDM abandons the ARM's circuit."
    measure = "Overlap of ARM and MDM"
    return Subject(f"abandons {name}", claim, measure, "circuits", (own,), reported).judged(judge)


def _moved_by_training(own: TaskNumbers) -> Claim:
    def judge() -> Judged:
        control, unable = own.overlap_of_control, own.runs.control_inability()
        if control is None:
            return not_computed("the step-0 control")
        number = own.overlap.minus(control).estimate
        ruling = Ruling(UNKNOWN, unable) if unable else beyond(number, 0, "below")
        overlap = f"Overlap of the ARM with the step-0 control: {with_interval(control.estimate)}"
        return Judged(number, [overlap, *([] if unable else _of_control(own)), *_limits(own)], ruling)

    claim = f"On {_title(own)} post-training itself moved the circuit away from the ARM's."
    measure = "Overlap of ARM with MDM minus that of ARM with step-0 control"
    return Subject(f"post-training {own.runs.task.name}", claim, measure, "circuits", (own,)).judged(judge)


def _early(own: TaskNumbers) -> Claim:
    reported = _published("early_ratio_above", own.runs.task.name)

    def judge() -> Judged:
        number, of_control = own.specialisation.early_ratio, own.specialisation_of_control
        ruling = beyond(number, 1, "above")
        for bound in sorted(set(reported.values())):
            ruling = replace(ruling, reason=f"{ruling.reason} {_against(number, bound)}".rstrip())
        parts = [f"Step-0 control: {with_interval(of_control.early_ratio)}"] if of_control else []
        return Judged(number, [*parts, *_notes(own)], ruling)

    claim = f"On {_title(own)} the early layers have a larger share of importance in the MDM than in the ARM."
    measure = "Early ratio: share of importance in the first third of the layers, MDM / ARM"
    texts = {pair: f"more than {bound:g}" for pair, bound in reported.items()}
    return Subject(f"early {own.runs.task.name}", claim, measure, "activations", (own,), texts).judged(judge)


def _more_components(own: TaskNumbers) -> Claim:
    claim = f"On {_title(own)} the MDM's circuit is spread over more components than the ARM's."
    measure = "Effective number of components, MDM - ARM"
    return _contrasted(own, "effective-number", claim, measure, lambda of: of.effective_number, "above", ".1f")


def _more_alike(own: TaskNumbers) -> Claim:
    claim = f"On {_title(own)} the MDM's components are more alike in importance than the ARM's."
    measure = "Gini coefficient of components, MDM - ARM"
    return _contrasted(own, "gini", claim, measure, lambda of: of.gini, "below", ".3f")


def _contrasted(
    own: TaskNumbers,
    name: str,
    claim: str,
    measure: str,
    contrast: Callable[[SpecialisationIntervals], Contrast],
    side: Side,
    form: str,
) -> Claim:
    """The claim that MDM - ARM of a measure of components is on one side of 0."""

    def judge() -> Judged:
        pair, of_control = contrast(own.specialisation), own.specialisation_of_control
        number = negative(pair.difference)
        parts = [f"ARM {printed(pair.arm.value, form)}, MDM {printed(pair.mdm.value, form)}"]
        parts += [f"step-0 control {printed(contrast(of_control).mdm.value, form)}"] if of_control else []
        return Judged(number, [*parts, *_notes(own)], beyond(number, 0, side))

    return Subject(f"{name} {own.runs.task.name}", claim, measure, "activations", (own,)).judged(judge)


def _more_diffuse(own: TaskNumbers) -> Claim:
    def judge() -> Judged:
        number = own.lens_entropy()
        return (
            Judged(number, (), beyond(number, 0, "above")) if number else not_computed("the logit lens of both models")
        )

    claim = f"On {_title(own)} what components predict by the logit lens is more diffuse in the MDM than in the ARM."
    measure = "Entropy of the components' logit lens, MDM - ARM, nats"
    return Subject(f"lens {own.runs.task.name}", claim, measure, "activations", (own,)).judged(judge)


def _weaker_neurons(own: TaskNumbers) -> Claim:
    def judge() -> Judged:
        spreads = own.neurons
        arm, mdm = spreads[0].effective_number, spreads[1].effective_number
        parts = [f"ARM {arm[0]:,.1f}, MDM {mdm[0]:,.1f}"]
        parts += [f"step-0 control {spreads[2].effective_number[0]:,.1f}"] if spreads[2] else []
        has_halves = own.arm.has_halves and own.mdm.has_halves
        ruling = both_halves(mdm[1:], arm[1:]) if has_halves else both_halves((math.nan,), (math.nan,))
        number = Estimate(mdm[0] / arm[0] if arm[0] else math.nan, None, None)
        return Judged(number, [*parts, *_of_control(own)], ruling)

    claim = f"On {_title(own)} single neurons are weaker in the MDM: attribution is spread over more of them."
    measure = "Effective number of MLP neurons by |attribution|, MDM / ARM"
    return Subject(f"neurons {own.runs.task.name}", claim, measure, "neurons", (own,)).judged(judge)


def _transfer(own: TaskNumbers, measured: Transfer | None) -> Claim:
    def judge() -> Judged:
        if measured is None:
            return not_computed("the faithfulness of both models' circuits at a common size")
        parts = [
            f"measured at K = {measured.k:,}; the MDM's own circuit {printed(measured.own_in_mdm.value, '.2f')}",
            f"random circuits at most {printed(measured.random_in_mdm, '.2f')}",
            f"the other way, in the ARM: the MDM's circuit {printed(measured.mdm_in_arm.value, '.2f')}",
            f"the ARM's own {printed(measured.own_in_arm.value, '.2f')}",
        ]
        ruling = transfers(measured.own_in_mdm, measured.arm_in_mdm, measured.random_in_mdm)
        return Judged(measured.arm_in_mdm, parts, ruling)

    claim = f"On {_title(own)} the ARM's circuit explains the MDM."
    measure = "Faithfulness f of the ARM's circuit run in the MDM"
    return Subject(f"transfer {own.runs.task.name}", claim, measure, "evidence", (own,)).judged(judge)


def _title(own: TaskNumbers) -> str:
    return own.runs.task.title


def _notes(own: TaskNumbers) -> list[str]:
    """Beside numbers of circuits whose edges are held fixed."""
    return [*_of_control(own), *([own.limit_of_scores] if own.limit_of_scores else [])]


def _of_control(*tasks: TaskNumbers) -> list[str]:
    """That the control cannot do a task, so that its circuit explains little there, or that this is not measured."""
    unable = " or ".join(_title(own) for own in tasks if own.runs.control_inability())
    unmeasured = " or ".join(_title(own) for own in tasks if own.runs.control_is_unmeasured)
    remarks = [f"the control cannot do {unable}"] if unable else []
    return remarks + ([f"whether the control can do {unmeasured} is not measured"] if unmeasured else [])


def _limits(own: TaskNumbers) -> list[str]:
    """How far ranks can change, beside numbers of edges that are ranked anew."""
    return [own.limit] if own.limit else []


def _against(number: Estimate, bound: float) -> str:
    """How an interval stands to a published bound."""
    if number.low is None or number.high is None:
        return ""
    if number.low > bound:
        return f"It lies above the published {bound:g} too."
    return f"It lies below the published {bound:g}." if number.high < bound else f"It holds the published {bound:g}."
