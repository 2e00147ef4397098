"""The tasks by name. To add one: write a module like its neighbours and list it here. Own prompts are tasks too."""

from __future__ import annotations

from engine.errors import UserError
from engine.models.example import Example
from engine.tasks import base, own_prompts
from engine.tasks.base import Listed, Split, Task, WordTask
from engine.tasks.countdown import problem_file
from engine.tasks.countdown.embedded import Countdown
from engine.tasks.greater_than import GreaterThan
from engine.tasks.ioi import IOI
from engine.tasks.sudoku import Sudoku

TASKS: dict[str, WordTask] = {task.name: task for task in (IOI(), GreaterThan(), Countdown(), Sudoku())}


def task_named(name: str) -> Task:
    """The task of that name; UserError when its rows are gone, or one that lists the names there are."""
    if own_prompts.is_own(name):
        return own_prompts.load(name)
    if problem_file.is_problem_file(name):
        return problem_file.load(name)
    if name not in TASKS:
        raise UserError(f"There is no task called {name!r}. Choose one of: {', '.join(task_names())}.")
    return TASKS[name]


def task_names() -> list[str]:
    """The tasks there are, then the own prompts and the files of problems that were kept, newest last."""
    kept = (*own_prompts.saved_sets(), *problem_file.saved_files())
    return [*TASKS, *(task.name for task in kept)]


def measured_on(name: str) -> str:
    """What the accuracy of a task of that name is measured on."""
    if own_prompts.is_own(name):
        return "own prompts"
    return "problems of a file" if problem_file.is_problem_file(name) else "held-out problems"


def available(task: Task, n: int) -> int:
    """How many of `n` examples a task can give: own prompts and problems of a file have only their rows."""
    return min(n, len(task)) if isinstance(task, Listed) else n


def examples(task: Task, n: int, seed: int, split: Split = "heldout") -> list[Example]:
    """The first `n` distinct examples that `seed` draws from a task's split; of listed ones, the first `n` rows.

    Raises:
        UserError: the split has too few distinct examples, or the list too few rows, or they do not align.
    """
    return task.first(n) if isinstance(task, Listed) else base.examples(task, n, seed, split)
