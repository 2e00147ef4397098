"""Whether a model can do a task at all: the circuit of one that cannot is not informative, and is marked.

A model can do a task when it solves at least half of the problems that its run measured, and more than a guess would:
the 95 % interval of its accuracy (Wilson 1927) lies above the task's level of guessing.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.circuits.intervals import wilson
from engine.runs.records import Accuracy
from engine.tasks.base import Task

ENOUGH = 0.5  # share of problems solved


@dataclass(frozen=True)
class Ability:
    """`reason`: why not, in a sentence for the reader; empty where the model can do the task."""

    can: bool
    reason: str = ""


def can_do(task: Task, measured: Accuracy | None) -> Ability:
    """Whether a model can do a task, by its accuracy; where that is not measured yet, nothing speaks against it."""
    if measured is None:
        return Ability(True)
    accuracy, n = measured.accuracy, measured.accuracy_n
    solved = f"It solves {accuracy:.0%} of {n} problems"
    low, high = wilson(accuracy, n)
    if accuracy < ENOUGH:
        return Ability(False, f"{solved}, less than {ENOUGH:.0%}: its circuit is not informative.")
    if low <= task.guess:
        interval = f"95 % interval {low:.0%} to {high:.0%}"
        return Ability(
            False,
            f"{solved} ({interval}), which is no clear sign of more than guessing ({task.guess:.0%}): its circuit "
            "is not informative.",
        )
    return Ability(True)
