"""One claim about a pair: what its row says, and how it is made of a number and a rule (engine/runs/claims.py)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.circuits.comparison import printed
from engine.circuits.intervals import Estimate
from engine.circuits.verdicts import UNKNOWN, Answer, Ruling
from engine.runs.claim_numbers import TaskNumbers
from engine.runs.spec import RunSpec

NO_NUMBER = Estimate(math.nan, None, None)


@dataclass(frozen=True)
class Transfer:
    """Faithfulness f of circuits of `k` edges in both models of a pair on a task (METHOD, "Faithfulness")."""

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

    name: str  # as in "abandons countdown": the same in every version, for links
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
    """A number, what it is compared with, in parts of a sentence, and what the rule says."""

    number: Estimate
    references: Sequence[str]
    ruling: Ruling


def not_computed(what: str) -> Judged:
    return Judged(NO_NUMBER, (), Ruling(UNKNOWN, f"Not computed yet: {what}."))


@dataclass(frozen=True)
class Subject:
    """What a claim is about, before it is judged: its texts, its place in the app, and what is read for it."""

    name: str
    claim: str
    measure: str
    page: str
    tasks: Sequence[TaskNumbers]
    published: Mapping[str, str] = field(default_factory=dict)

    def judged(self, judge: Callable[[], Judged]) -> Claim:
        """The row; `judge` is asked where both models' runs on its tasks are stored.

        A claim can't be told where a model cannot do one of the tasks.
        """
        first = self.tasks[0]
        question = first.runs.specs["arm"]
        missing = tuple(spec for task in self.tasks for spec in task.runs.missing)
        address = {"pair": question.pair, "task": question.task, "k": str(first.k)}
        if missing:
            models = ", ".join(f"{spec.model.upper()} on {_title(self.tasks, spec)}" for spec in missing)
            judged = not_computed(models)
        else:
            judged = judge()
        unable = next(filter(None, (task.runs.inability() for task in self.tasks)), None)
        ruling = Ruling(UNKNOWN, unable) if unable and not missing else judged.ruling
        return Claim(
            self.name, self.claim, self.published, self.measure, judged.number, "; ".join(judged.references),
            ruling.verdict, ruling.reason, self.page, address, missing,
        )  # fmt: skip


def with_interval(number: Estimate) -> str:
    """A number to three digits, with its interval where it has one."""
    value = printed(number.value, ".3f")
    return value if number.low is None or number.high is None else f"{value} ({number.low:.3f} to {number.high:.3f})"


def negative(number: Estimate) -> Estimate:
    """The negative of a number, as B - A is of A - B."""
    low, high = number.low, number.high
    if low is None or high is None:
        return Estimate(-number.value, None, None)
    return Estimate(-number.value, -high, -low)


def _title(tasks: Sequence[TaskNumbers], spec: RunSpec) -> str:
    return next(task.runs.task.title for task in tasks if spec in task.runs.missing)
