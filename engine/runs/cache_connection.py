"""The open cache of this process, and closing it, so that another program can open it."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path

from cache.opening import StoreError
from cache.store import Store
from engine import settings
from engine.errors import UserError

_opening = threading.Lock()


def store() -> Store:
    """The open cache of this process.

    Raises:
        UserError: another program holds the file, or it cannot be written.
    """
    try:
        with _opening:
            return _store_at(settings.database_path())
    except StoreError as error:
        raise UserError(f"{error} (CIRCUITS_DB names the path.)") from error


def close() -> None:
    """Close this process's cache, so that another program can open it; the next read opens it again."""
    with _opening:
        if _store_at.cache_info().currsize:
            _store_at(settings.database_path()).close()
            _store_at.cache_clear()


@cache
def _store_at(path: Path) -> Store:
    return Store(path)
