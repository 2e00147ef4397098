"""Prompt templates by number: a task in one wording only, instead of in the mixture that it is usually asked in.

Templates are numbered from 1; 0 is the usual mixture, on which the embedded pair was trained. A template that is not
part of the mixture is drawn only when it is asked for by its number.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar, cast

from engine.errors import UserError

if TYPE_CHECKING:
    from engine.tasks.base import Task


class Templated:
    """A task with templates; `template` is the number of the one that it draws from, 0 for the mixture."""

    templates: ClassVar[tuple[str, ...]]
    template: int = 0

    def with_template(self, number: int) -> Task:
        """The same task, drawn from the template of that number only, or from the mixture (0)."""
        other = copy.copy(self)
        other.template = number
        return cast("Task", other)


def texts_of(task: Task) -> tuple[str, ...]:
    """A task's templates, with {slots}, from number 1 on; nothing where it has none."""
    return task.templates if isinstance(task, Templated) else ()


def of_template(task: Task, number: int) -> Task:
    """A task in the template of that number; itself for 0.

    Raises:
        UserError: the task has no template of that number, or none at all.
    """
    if number == 0:
        return task
    if not isinstance(task, Templated):
        raise UserError(f"template is {number}, but {task.title} has no templates to choose from. Leave it at 0.")
    count = len(task.templates)
    if not 1 <= number <= count:
        raise UserError(
            f"template is {number}, but {task.title} has templates 1 to {count}. Choose one of these, or 0 "
            "for its usual prompts."
        )
    return task.with_template(number)
