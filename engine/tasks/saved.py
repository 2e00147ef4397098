"""Saved tasks: each a JSON file in settings.prompts_dir(), found again by a name that is a digest of its content.

The name stands for the numbers that come of a task, so a file whose content gives another name is refused. Own prompts
are `<digest>.json`, files of COUNTDOWN problems `countdown-<digest>.json`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from engine import settings
from engine.errors import UserError
from engine.files.reading import read_json, read_text
from engine.files.writing import write_whole

DIGEST = re.compile(r"[0-9a-f]{12}")


class Named(Protocol):
    """A task that can be saved. `saved`: when it was, in ISO 8601."""

    name: str
    saved: str


T = TypeVar("T", bound=Named)


@dataclass(frozen=True)
class SavedTasks(Generic[T]):
    """The saved tasks of one kind.

    `prefix`: how their names begin; `file_prefix`: how their files do. `task_of` makes a task of a file's JSON.
    `noun` ("own prompts") and `again` ("Save the same prompts again") are words of the errors.
    """

    prefix: str
    file_prefix: str
    noun: str
    again: str
    task_of: Callable[[Any, Path], T]

    def is_name(self, name: str) -> bool:
        return name.startswith(self.prefix) and DIGEST.fullmatch(name.removeprefix(self.prefix)) is not None

    def file_of(self, name: str) -> Path:
        """Where the task of that name is kept, whether it is there or not.

        Raises:
            UserError: it is no name of this kind, so that no name leads out of the folder.
        """
        if not self.is_name(name):
            raise UserError(f"{name!r} is not the name of {self.noun}, which looks like {self.prefix}0123456789ab.")
        return settings.prompts_dir() / f"{self.file_prefix}{name.removeprefix(self.prefix)}.json"

    def write(self, name: str, content: str) -> None:
        """Write a task's file, whole or not at all.

        Raises:
            UserError: the folder cannot be written.
        """
        file = self.file_of(name)
        try:
            write_whole(file, content)
        except OSError as error:
            raise UserError(f"The {self.noun} cannot be saved in {file.parent}: {error.strerror}.") from error

    def load(self, name: str) -> T:
        """The saved task of that name.

        Raises:
            UserError: it is gone, or its file is not what was saved.
        """
        file = self.file_of(name)
        try:
            stat = file.stat()
        except OSError as error:
            raise UserError(f"The {self.noun} {name} are gone: there is no {file}. {self.again}.") from error
        task: T = _read(self, file, stat.st_size, stat.st_mtime_ns)
        return task

    def delete(self, name: str) -> None:
        """Remove a task; what was computed for it stays in the cache."""
        self.file_of(name).unlink(missing_ok=True)

    def all(self) -> list[T]:
        """Every task that can be read, newest last."""
        tasks = []
        for file in settings.prompts_dir().glob(f"{self.file_prefix}*.json"):
            name = self.prefix + file.stem.removeprefix(self.file_prefix)
            if self.is_name(name):
                with suppress(UserError):  # a damaged file hides no other; asked for by name, it says what it is
                    tasks.append(self.load(name))
        return sorted(tasks, key=lambda task: (task.saved, task.name))


@lru_cache(maxsize=64)
def _read(kind: SavedTasks[Any], file: Path, size: int, modified: int) -> Any:
    """A task's file, read again only when its size or time of change is another."""
    try:
        task = kind.task_of(read_json(read_text(file, str(file)), str(file)), file)
    except (UserError, ValueError, OverflowError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"The {kind.noun} in {file} cannot be read. Delete the file. {kind.again}.") from error
    if kind.file_of(task.name) != file:
        raise UserError(f"The {kind.noun} in {file} were changed. Delete the file. {kind.again}.")
    return task
