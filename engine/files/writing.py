"""Files that are written whole or not at all; those that commands write for their users, never over another one."""

from __future__ import annotations

import filecmp
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from engine.errors import UserError


def refuse_existing(path: Path) -> None:
    """Refuse a place that cannot take a new file, before anything is computed for it.

    Raises:
        UserError: something is there already, or there is no such folder.
    """
    try:
        if path.exists() or path.is_symlink():
            raise UserError(f"{path} is there already. Choose another name, or remove it first.")
        if not path.parent.is_dir():
            raise UserError(f"{path} cannot be written: there is no folder {path.parent}.")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {_reason(error)}.") from error


def make_empty(folder: Path) -> None:
    """Make a new folder, or take one that is empty.

    Raises:
        UserError: it holds something, which would be overwritten, or cannot be made.
    """
    try:
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise UserError(f"{folder} is there already and not an empty folder. Choose another one.")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise UserError(f"The folder {folder} cannot be made: {error}.") from error


def write_new(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; the same content again changes nothing.

    Raises:
        UserError: something else is there already, or it cannot be written.
    """
    with new_file(path) as file:
        file.write(content)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that is at `path` once it is whole; the same content again changes nothing.

    Raises:
        UserError: something else is there already, or it cannot be written; nothing is left of what was written.
    """
    try:
        if not path.is_file():  # a file may turn out to be the same
            refuse_existing(path)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
            part = Path(folder) / "part"
            with part.open("wb") as file:
                yield file
            if path.is_file() and filecmp.cmp(part, path, shallow=False):
                return
            refuse_existing(path)
            part.rename(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {_reason(error)}.") from error


def write_whole(file: Path, text: str) -> None:
    """A file of ours whole or not at all, in the place of an older one: a reader never sees half a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        part = Path(folder) / file.name
        part.write_text(text, encoding="utf-8")
        part.replace(file)


def put_back(path: Path) -> Callable[[], None]:
    """A small file as it is now, for later: calling the result leaves it as it was, and no empty folder."""
    before = path.read_bytes() if path.is_file() else None

    def undo() -> None:
        if before is not None:
            path.write_bytes(before)
            return
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()

    return undo


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
