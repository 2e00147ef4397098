"""Temporary files, in a folder of ours beside the cache, gone when what needed them ends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine import settings
from engine.errors import UserError


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """A new folder of that name, removed afterwards with whatever is in it.

    Where the name is one of cache/owners.py, the next process removes what a killed one left.

    Raises:
        UserError: it cannot be made.
    """
    place = settings.scratch_dir()
    try:
        place.mkdir(parents=True, exist_ok=True)
        folder = place / name
        folder.mkdir()
    except OSError as error:
        raise UserError(f"No folder for temporary files can be made in {place}: {error.strerror}.") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another is in use
            place.rmdir()
