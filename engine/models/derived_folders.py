"""Folders of models that are made from other files once and kept beside the cache; they can be deleted at any time.

A folder is called after what it is made from. It is written under a temporary name and renamed when it is whole:
whoever is interrupted leaves nothing that is taken for a model, and of two processes that make the same one the first
to be done is kept.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from engine import settings
from engine.errors import UserError, one_line

WRITING = ".writing-"
ABANDONED = 24 * 3600.0  # seconds without a change, after which what was being written is taken for left behind
VERSION = 1  # of how they are made; another one gets other folders


def derived_folder(made_from: str) -> Path:
    """Where the folder of a model is, or would be, that is made from what `made_from` identifies."""
    return settings.derived_models_dir() / f"{made_from[:32]}-{VERSION}"


def make_once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """A derived folder; where it is not there, `fill` writes what is in it.

    Raises:
        UserError: `fill` raises one, or nothing can be written.
    """
    from safetensors import SafetensorError

    if folder.is_dir():
        return folder
    place = folder.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(place)
        with tempfile.TemporaryDirectory(dir=place, prefix=WRITING, ignore_cleanup_errors=True) as temporary:
            part = Path(temporary) / folder.name
            part.mkdir()
            fill(part)
            try:
                part.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process made it meanwhile
                    raise
    except (OSError, SafetensorError) as error:  # a full disk is the second's, where tensors are written
        reason = (error.strerror if isinstance(error, OSError) else None) or one_line(error)
        raise UserError(f"No model can be made in {place}: {reason}.") from error
    return folder


def _remove_left_behind(place: Path) -> None:
    """Remove what processes that were killed had begun to write."""
    for folder in place.glob(f"{WRITING}*"):
        with suppress(OSError):
            changed = max(entry.lstat().st_mtime for entry in (folder, *folder.rglob("*")))
            if time.time() - changed > ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)
