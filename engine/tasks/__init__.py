"""The tasks by name. To add one: write a module like its neighbours and list it here. Own prompts are tasks too."""

from __future__ import annotations

from engine.errors import UserError
from engine.tasks import base, own
from engine.tasks.base import Example, Split, Task
from engine.tasks.countdown import Countdown
from engine.tasks.greater_than import GreaterThan
from engine.tasks.ioi import IOI
from engine.tasks.own import OwnPrompts
from engine.tasks.sudoku import Sudoku

__all__ = ["TASKS", "Example", "OwnPrompts", "Split", "Task", "available", "examples", "task_named", "task_names"]

TASKS: dict[str, Task] = {task.name: task for task in (IOI(), GreaterThan(), Countdown(), Sudoku())}


def task_named(name: str) -> Task:
    """The task of that name; UserError when own prompts are gone, or one that lists the names there are."""
    if own.is_own(name):
        return own.load(name)
    if name not in TASKS:
        raise UserError(f"There is no task called {name!r}. Choose one of: {', '.join(task_names())}.")
    return TASKS[name]


def task_names() -> list[str]:
    """The tasks there are, then the own prompts that were saved, newest last."""
    return [*TASKS, *(found.name for found in own.saved_sets())]


def available(task: Task, n: int) -> int:
    """How many of `n` examples a task can give: own prompts have only their rows."""
    return min(n, len(task.rows)) if isinstance(task, OwnPrompts) else n


def examples(task: Task, n: int, seed: int, split: Split = "heldout") -> list[Example]:
    """The first `n` distinct examples that `seed` draws from a task's split; of own prompts, the first `n` rows.

    Raises:
        ValueError: the split has too few distinct examples.
        UserError: own prompts have too few rows.
    """
    return task.first(n) if isinstance(task, OwnPrompts) else base.examples(task, n, seed, split)
