"""The open cache of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from cache.errors import StoreError
from cache.folder import ArtifactFolder
from cache.layout import Record
from cache.owners import remove_left_behind
from engine import settings
from engine.errors import UserError

_opening = threading.Lock()


def store() -> ArtifactFolder:
    """The open cache folder of this process; other processes may have it open as well.

    Raises:
        UserError: it cannot be made or read.
    """
    try:
        with _opening:
            return _folder_at(settings.cache_dir())
    except StoreError as error:
        raise UserError(f"{error} (CIRCUITS_CACHE names the folder.)") from error


def records() -> list[Record]:
    """The records of all artifacts in the cache, newest first.

    Raises:
        UserError: the folder cannot be opened or read.
    """
    try:
        return store().records()
    except StoreError as error:
        raise UserError(f"{error} (CIRCUITS_CACHE names the folder.)") from error


@contextmanager
def errors_of_cache() -> Iterator[None]:
    """What is wrong with the cache or a file of it, as a UserError."""
    try:
        yield
    except StoreError as error:
        raise UserError(str(error)) from error


def close() -> None:
    """Let go of the cache's files; the next read opens it again."""
    with _opening:
        _folder_at.cache_clear()


@cache
def _folder_at(path: Path) -> ArtifactFolder:
    remove_left_behind(settings.scratch_dir())
    return ArtifactFolder(path)
