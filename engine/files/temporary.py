"""Temporary files, in a folder of ours beside the cache, gone when what needed them ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from engine import settings
from engine.errors import UserError


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder, removed afterwards with whatever is in it.

    Raises:
        UserError: it cannot be made.
    """
    place = settings.scratch_dir()
    try:
        place.mkdir(parents=True, exist_ok=True)
        folder = TemporaryDirectory(dir=place)
    except OSError as error:
        raise UserError(f"No folder for temporary files can be made in {place}: {error.strerror}.") from error
    try:
        with folder as name:
            yield Path(name)
    finally:
        with suppress(OSError):  # another is in use
            place.rmdir()
