"""Folders of models that are made from other files once and kept beside the cache; they can be deleted at any time.

A folder is written under a temporary name and renamed when it is whole: whoever is interrupted leaves nothing that is
taken for a model, and of two processes that make the same one the first to be done is kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from engine import settings
from engine.errors import UserError


def derived_folder(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name; where it is not there, `make` fills it.

    Raises:
        UserError: `make` raises one, or nothing can be written.
    """
    place = settings.derived_models_dir()
    folder = place / name
    if folder.is_dir():
        return folder
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place, prefix=".writing-", ignore_cleanup_errors=True) as temporary:
            part = Path(temporary) / name
            part.mkdir()
            make(part)
            try:
                part.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process made it meanwhile
                    raise
    except OSError as error:
        raise UserError(f"No model can be written to {place}: {error.strerror or error}.") from error
    return folder
