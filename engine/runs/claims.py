"""The claims about a pair as a table: our number, its interval, what it is compared with, and a verdict on each.

1. The runs of the four tasks are looked up (engine/runs/claim_numbers.py); nothing is computed with a model.
2. Every claim takes its number from there and gives it to its rule (engine/circuits/verdicts.py); the rules are
   METHOD's ("Claims"), word for word.
3. Whatever the number, a claim can't be told where a model cannot do the task, and where something is missing, which
   is said then.

What the paper reports is read from assets/published.toml and stands beside our numbers, never in their place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine import settings
from engine.circuits.comparison import printed
from engine.circuits.intervals import Estimate
from engine.circuits.verdicts import (
    UNKNOWN,
    Answer,
    Ruling,
    at_floor,
    beyond,
    both_halves,
    transfers,
)  # fmt: skip
from engine.files.reading import read_text, read_toml
from engine.runs.claim_numbers import TaskNumbers, TaskRuns, runs_of_task
from engine.runs.spec import RunSpec
from engine.tasks.registry import TASKS

LOCAL, GLOBAL = ("ioi", "greater_than"), ("countdown", "sudoku")
NO_NUMBER = Estimate(math.nan, None, None)
DEFAULT_K = 200
PUBLISHED = settings.ROOT / "assets" / "published.toml"


@dataclass(frozen=True)
class Transfer:
    """Faithfulness f of circuits of K edges in both models of a pair on a task (METHOD, "Faithfulness")."""

    k: int
    own_in_arm: Estimate
    own_in_mdm: Estimate
    arm_in_mdm: Estimate  # the ARM's circuit run in the MDM
    mdm_in_arm: Estimate
    random_in_arm: float  # the largest f of random circuits
    random_in_mdm: float


@dataclass(frozen=True)
class Claim:
    """A claim about a pair, our number for it, and the verdict."""

    name: str  # "abandons countdown": stays the same, for links
    claim: str
    published: Mapping[str, str]  # by pair: what the paper reports; empty where it gives no number
    measure: str  # what the number is
    number: Estimate  # nan where it is not there
    reference: str  # the floor or the control, in words
    verdict: Answer
    reason: str
    page: str  # where to see it: a page of the app
    address: Mapping[str, str]  # and what its address says
    missing: tuple[RunSpec, ...] = ()  # runs that have to be computed first


@dataclass(frozen=True)
class Judged:
    """A number with what it is compared with, and what the rule says."""

    number: Estimate
    reference: str
    ruling: Ruling


@dataclass(frozen=True)
class Asked:
    """What the claims are asked of: the settings of a pair's runs, K, and how to name a claim's place."""

    question: RunSpec
    k: int

    def claim(self, name: str, text: str, measure: str, page: str, runs: list[TaskRuns],
              judge: Callable[[], Judged], published: Mapping[str, str] | None = None) -> Claim:  # fmt: skip
        """A row, judged where both models' runs on its tasks are stored and both models can do these tasks."""
        missing = tuple(spec for task in runs for spec in task.missing)
        address = {"pair": self.question.pair, "task": runs[0].task.name, "k": str(self.k)}
        row = Claim(name, text, published or {}, measure, NO_NUMBER, "", UNKNOWN, "", page, address, missing)
        if missing:
            models = " and ".join(f"{spec.model.upper()} on {TASKS[spec.task].title}" for spec in missing)
            return replace(row, reason=f"Not computed yet: {models}.")
        judged = judge()
        ruling = judged.ruling
        unable = next(filter(None, (task.inability() for task in runs)), None)
        if unable:
            ruling = Ruling(UNKNOWN, unable)
        return replace(
            row, number=judged.number, reference=judged.reference, verdict=ruling.verdict, reason=ruling.reason
        )  # fmt: skip


def claims(question: RunSpec, k: int = DEFAULT_K, transfer: Mapping[str, Transfer] | None = None) -> list[Claim]:
    """Every claim about a pair, in the order of the paper.

    `question` says the pair and the settings of its runs (its task and model do not matter); `transfer` by task, where
    faithfulness is computed.

    Raises:
        UserError: no such pair, or the cache cannot be read.
    """
    asked = Asked(question, k)
    runs = {task: runs_of_task(question, task) for task in TASKS}
    numbers = {task: TaskNumbers(own, k) for task, own in runs.items() if not own.missing}
    rows = [_local_keep_more(asked, runs, numbers, *tasks) for tasks in zip(LOCAL, GLOBAL, strict=True)]
    for task in GLOBAL:
        rows += _abandons(asked, runs[task], numbers.get(task))
    rows += [_early(asked, runs[task], numbers.get(task)) for task in GLOBAL]
    for task in TASKS:
        rows += _less_specialised(asked, runs[task], numbers.get(task))
    rows += [_neurons(asked, runs[task], numbers.get(task)) for task in TASKS]
    rows += [_transfer(asked, runs[task], (transfer or {}).get(task)) for task in TASKS]
    return rows


def published() -> dict[str, Any]:
    """assets/published.toml: the paper and what it reports."""
    return read_toml(read_text(PUBLISHED, "The published numbers"), "The published numbers")


def _published(value: str, task: str) -> dict[str, float]:
    """By pair: a value that the paper reports of a task."""
    return {row["pair"]: row[value] for row in published()["row"] if row["task"] == task and value in row}


def _local_keep_more(
    asked: Asked, runs: Mapping[str, TaskRuns], numbers: Mapping[str, TaskNumbers], local: str, world: str
) -> Claim:
    def judge() -> Judged:
        first, second = numbers[local], numbers[world]
        number = first.overlap.minus_independent(second.overlap).estimate
        controls = first.overlap_of_control, second.overlap_of_control
        parts = [f"Overlaps {first.overlap.value:.3f} and {second.overlap.value:.3f}"]
        if controls[0] and controls[1]:
            parts.append(f"step-0 control: {_with_interval(controls[0].minus_independent(controls[1]).estimate)}")
        return Judged(
            number, "; ".join([*parts, *_unable_controls(runs[local], runs[world])]), beyond(number, 0, "above")
        )

    of_local, of_world = (_published("overlap", task) for task in (local, world))
    reported = {
        pair: f"{of_local[pair]:.3f} - {of_world[pair]:.3f} = {of_local[pair] - of_world[pair]:.3f}"
        for pair in of_local.keys() & of_world.keys()
    }
    titles = TASKS[local].title, TASKS[world].title
    return asked.claim(
        f"local {local} {world}",
        f"Circuits of ARM and MDM overlap more on {titles[0]} (local) than on {titles[1]} (global).",
        f"Overlap on {titles[0]} minus overlap on {titles[1]}",
        "circuits", [runs[local], runs[world]], judge, dict(sorted(reported.items())),
    )  # fmt: skip


def _abandons(asked: Asked, runs: TaskRuns, numbers: TaskNumbers | None) -> list[Claim]:
    title, reported = runs.task.title, _texts(_published("overlap", runs.task.name))

    def moved() -> Judged:
        halves = numbers.halves if numbers else None
        if halves is None:
            return Judged(NO_NUMBER, "", Ruling(UNKNOWN, "There are no two halves of the prompts."))
        number, own = halves.pair_below_own.estimate, f"ARM {halves.arm.value:.3f}, MDM {halves.mdm.value:.3f}"
        reference = f"Split halves: ARM with MDM {halves.pair.value:.3f}; {own}"
        return Judged(number, reference, beyond(number, 0, "below"))

    def left() -> Judged:
        assert numbers
        number, floor = numbers.overlap.estimate, numbers.permuted_heads
        reference = (
            f"Heads permuted: mean {floor.mean:.3f}, {floor.low:.3f} to {floor.high:.3f}; chance {numbers.chance:.3f}"
        )
        return Judged(number, reference, at_floor(number, floor.high))

    def by_training() -> Judged:
        control = numbers.overlap_of_control if numbers else None
        if numbers is None or control is None:
            return Judged(NO_NUMBER, "", Ruling(UNKNOWN, "Not computed yet: the step-0 control."))
        number, unable = numbers.overlap.minus(control).estimate, runs.control_inability()
        ruling = Ruling(UNKNOWN, unable) if unable else beyond(number, 0, "below")
        return Judged(number, f"Overlap of the ARM with the step-0 control: {_with_interval(control.estimate)}", ruling)

    name = runs.task.name
    return [
        asked.claim(
            f"differs {name}", f"On {title} the models' circuits differ by more than circuits of other prompts do.",
            "Split-half overlap of ARM with MDM minus the lower one of the two models' own", "circuits", [runs], moved,
        ),
        asked.claim(
            f"abandons {name}", f"On {title} the MDM abandons the ARM's circuit.",
            "Overlap of ARM and MDM", "circuits", [runs], left, reported,
        ),
        asked.claim(
            f"post-training {name}", f"On {title} post-training itself moved the circuit away from the ARM's.",
            "Overlap of ARM with MDM minus that with the step-0 control", "circuits", [runs], by_training,
        ),
    ]  # fmt: skip


def _early(asked: Asked, runs: TaskRuns, numbers: TaskNumbers | None) -> Claim:
    reported = _published("early_ratio_above", runs.task.name)

    def judge() -> Judged:
        assert numbers
        number, of_control = numbers.specialisation.early_ratio, numbers.specialisation_of_control
        ruling = beyond(number, 1, "above")
        for bound in sorted(set(reported.values())):
            ruling = replace(ruling, reason=f"{ruling.reason} {_against(number, bound)}")
        control = f"Step-0 control: {_with_interval(of_control.early_ratio)}" if of_control else ""
        return Judged(number, "; ".join(filter(None, [control, *_unable_controls(runs)])), ruling)

    return asked.claim(
        f"early {runs.task.name}",
        f"On {runs.task.title} the early layers' share of importance is larger in the MDM than in the ARM.",
        "Early ratio: share of importance in the first third of the layers, MDM / ARM",
        "activations", [runs], judge, {pair: f"more than {bound:g}" for pair, bound in reported.items()},
    )  # fmt: skip


def _less_specialised(asked: Asked, runs: TaskRuns, numbers: TaskNumbers | None) -> list[Claim]:
    title, name = runs.task.title, runs.task.name

    def effective_number() -> Judged:
        assert numbers
        contrast, of_control = numbers.specialisation.effective_number, numbers.specialisation_of_control
        number = _negative(contrast.difference)
        parts = [f"ARM {contrast.arm.value:.1f}, MDM {contrast.mdm.value:.1f}"]
        parts += [f"step-0 control {of_control.effective_number.mdm.value:.1f}"] if of_control else []
        return Judged(number, "; ".join([*parts, *_unable_controls(runs)]), beyond(number, 0, "above"))

    def gini() -> Judged:
        assert numbers
        contrast, of_control = numbers.specialisation.gini, numbers.specialisation_of_control
        number = _negative(contrast.difference)
        parts = [f"ARM {printed(contrast.arm.value, '.3f')}, MDM {printed(contrast.mdm.value, '.3f')}"]
        parts += [f"step-0 control {printed(of_control.gini.mdm.value, '.3f')}"] if of_control else []
        return Judged(number, "; ".join([*parts, *_unable_controls(runs)]), beyond(number, 0, "below"))

    def lens() -> Judged:
        number = numbers.lens_entropy() if numbers else None
        if number is None:
            return Judged(NO_NUMBER, "", Ruling(UNKNOWN, "Not computed yet: the logit lens."))
        return Judged(number, "", beyond(number, 0, "above"))

    return [
        asked.claim(
            f"effective number {name}", f"On {title} the MDM's circuit is spread over more components.",
            "Effective number of components, MDM - ARM", "activations", [runs], effective_number,
        ),
        asked.claim(
            f"gini {name}", f"On {title} the MDM's components are more alike in importance.",
            "Gini coefficient of components, MDM - ARM", "activations", [runs], gini,
        ),
        asked.claim(
            f"lens {name}", f"On {title} what the MDM's components predict by the logit lens is more diffuse.",
            "Entropy of the components' logit lens, MDM - ARM, nats", "activations", [runs], lens,
        ),
    ]  # fmt: skip


def _neurons(asked: Asked, runs: TaskRuns, numbers: TaskNumbers | None) -> Claim:
    def judge() -> Judged:
        assert numbers
        arm, mdm, control = (spread and spread.effective_number for spread in numbers.neurons)
        assert arm and mdm
        parts = [f"ARM {arm[0]:,.1f}, MDM {mdm[0]:,.1f}"] + ([f"step-0 control {control[0]:,.1f}"] if control else [])
        has_halves = numbers.arm.has_halves and numbers.mdm.has_halves
        ruling = both_halves(mdm[1:], arm[1:]) if has_halves else both_halves((math.nan,) * 2, (math.nan,) * 2)
        number = Estimate(mdm[0] / arm[0] if arm[0] else math.nan, None, None)
        return Judged(number, "; ".join([*parts, *_unable_controls(runs)]), ruling)

    return asked.claim(
        f"neurons {runs.task.name}",
        f"On {runs.task.title} single neurons are weaker in the MDM: attribution is spread over more of them.",
        "Effective number of MLP neurons by |attribution|, MDM / ARM", "neurons", [runs], judge,
    )  # fmt: skip


def _transfer(asked: Asked, runs: TaskRuns, measured: Transfer | None) -> Claim:
    def judge() -> Judged:
        if measured is None:
            return Judged(NO_NUMBER, "", Ruling(UNKNOWN, "Not computed yet: the faithfulness of both models."))
        reference = (
            f"f of the MDM's own circuit {measured.own_in_mdm.value:.2f}, of random circuits at most "
            f"{measured.random_in_mdm:.2f}; the MDM's circuit in the ARM: {measured.mdm_in_arm.value:.2f}, its own "
            f"{measured.own_in_arm.value:.2f}"
        )
        ruling = transfers(measured.own_in_mdm, measured.arm_in_mdm, measured.random_in_mdm)
        return Judged(measured.arm_in_mdm, reference, ruling)

    at = replace(asked, k=measured.k) if measured else asked
    return at.claim(
        f"transfer {runs.task.name}", f"On {runs.task.title} the ARM's circuit explains the MDM.",
        "Faithfulness f of the ARM's circuit run in the MDM", "evidence", [runs], judge,
    )  # fmt: skip


def _unable_controls(*runs: TaskRuns) -> list[str]:
    """That the control cannot do a task, so that its circuit explains little there."""
    titles = [task.task.title for task in runs if task.control_inability()]
    return [f"the control cannot do {' or '.join(titles)}"] if titles else []


def _against(number: Estimate, bound: float) -> str:
    """How an interval stands to a published bound."""
    if number.low is None or number.high is None:
        return ""
    if number.low > bound:
        return f"It lies above {bound:g} too, as published."
    return f"It lies below the published {bound:g}." if number.high < bound else f"It holds the published {bound:g}."


def _negative(number: Estimate) -> Estimate:
    low, high = number.low, number.high
    if low is None or high is None:
        return Estimate(-number.value, None, None)
    return Estimate(-number.value, -high, -low)


def _with_interval(number: Estimate) -> str:
    value = printed(number.value, ".3f")
    return value if number.low is None or number.high is None else f"{value} ({number.low:.3f} to {number.high:.3f})"


def _texts(values: Mapping[str, float]) -> dict[str, str]:
    return {pair: f"{value:.3f}" for pair, value in values.items()}
