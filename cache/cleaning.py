"""Clean a cache folder when it is opened: finish or remove what dead processes left, and give files their records."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cache import leases
from cache.keys import KEY
from cache.owners import is_left_behind

if TYPE_CHECKING:
    from cache.folder import ArtifactFolder

BEING_WRITTEN = 10.0  # seconds for which a file and its record may not belong together yet
READY = "ready"  # in a staged folder: everything in it was checked and is to be published, whoever does it


def clean(folder: ArtifactFolder) -> None:
    """Do what can be done; where the folder cannot be written, it stays as it is."""
    with suppress(OSError):
        for place in list(folder.partial.iterdir()):
            if is_left_behind(place):
                if (place / READY).exists():
                    folder.finish(place)
                shutil.rmtree(place, ignore_errors=True)
    with suppress(OSError):  # as where nothing can be written
        names = {path.name for path in folder.files.iterdir()}
        for name in names:
            key, _, ending = name.partition(".")
            path = folder.files / name
            if ending == "lease":
                leases.remove_stale(path)
            elif ending in (f"lease.{leases.REMOVING}", f"lease.{leases.RENEWING}") and not is_new(path):
                path.unlink(missing_ok=True)  # its process was killed
            elif ending == "duckdb" and KEY.fullmatch(key) and f"{key}.json" not in names and not is_new(path):
                folder.mend(key)
            elif ending == "json" and KEY.fullmatch(key) and f"{key}.duckdb" not in names and not is_new(path):
                path.unlink(missing_ok=True)  # its artifact was being deleted


def is_new(*paths: Path) -> bool:
    """Whether one of some files was moved into its place a moment ago, so that another may still follow."""
    now = time.time()
    for path in paths:
        with suppress(FileNotFoundError):
            if now - path.lstat().st_ctime < BEING_WRITTEN:
                return True
    return False
