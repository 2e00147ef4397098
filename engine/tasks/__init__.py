"""The tasks by name. To add one: write a module like its neighbours and list it here."""

from __future__ import annotations

from engine.errors import UserError
from engine.tasks.base import Example, Split, Task, examples
from engine.tasks.countdown import Countdown
from engine.tasks.greater_than import GreaterThan
from engine.tasks.ioi import IOI
from engine.tasks.sudoku import Sudoku

__all__ = ["TASKS", "Example", "Split", "Task", "examples", "task_named"]

TASKS: dict[str, Task] = {task.name: task for task in (IOI(), GreaterThan(), Countdown(), Sudoku())}


def task_named(name: str) -> Task:
    """The task of that name, or a UserError that lists the names there are."""
    if name not in TASKS:
        raise UserError(f"There is no task called {name!r}. Choose one of: {', '.join(TASKS)}.")
    return TASKS[name]
