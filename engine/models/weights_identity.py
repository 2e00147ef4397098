"""sha256 of large files, remembered beside the cache: weights of 15 GB are read once, not at every start.

A file is read again when its size or its time of change is another. The notes can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from engine import settings
from engine.errors import UserError
from engine.files.writing import write_whole

SAMPLE = 2**16  # bytes that are compared first
WORTH_NOTING = 2**24  # bytes; smaller files are read faster than they are looked up
DIGEST_LENGTH = 64  # hexadecimal digits


def digest_of(file: Path) -> str:
    """sha256 of a file's content, in hexadecimal digits.

    Raises:
        UserError: it cannot be read.
    """
    try:
        stat = file.stat()
        return _digest(file.resolve(), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error


def same_content(first: Path, second: Path) -> bool:
    """Whether two files hold the same bytes; compares a few of them before it reads all.

    Raises:
        UserError: one cannot be read.
    """
    try:
        stats = [file.stat() for file in (first, second)]
        if stats[0].st_size != stats[1].st_size:
            return False
        places = ((file.resolve(), stat.st_mtime_ns) for file, stat in zip((first, second), stats, strict=True))
        if not _alike(*places, size=stats[0].st_size):
            return False
    except OSError as error:
        raise UserError(f"{first} and {second} cannot be compared: {error.strerror}.") from error
    return digest_of(first) == digest_of(second)


@lru_cache(maxsize=256)
def _alike(first: tuple[Path, int], second: tuple[Path, int], size: int) -> bool:
    """Whether the beginning, the middle and the end of two files of one size are the same; names carry their times."""
    if first[0] == second[0]:
        return True
    with first[0].open("rb") as a, second[0].open("rb") as b:
        for place in (0, size // 2, max(0, size - SAMPLE)):
            a.seek(place)
            b.seek(place)
            if a.read(SAMPLE) != b.read(SAMPLE):
                return False
    return True


@cache
def _digest(file: Path, size: int, modified: int) -> str:
    noted = _notes().get(str(file)) if size >= WORTH_NOTING else None
    if isinstance(noted, list) and noted[:2] == [size, modified] and len(str(noted[-1])) == DIGEST_LENGTH:
        return str(noted[-1])
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if size >= WORTH_NOTING:
        _note(str(file), [size, modified, digest])
    return digest


def _notes() -> dict[str, Any]:
    """What was noted by file; nothing where that cannot be read."""
    try:
        notes = json.loads(settings.digests_path().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _note(file: str, entry: list[Any]) -> None:
    """Where nothing can be written, the file is read again next time."""
    with suppress(OSError):
        write_whole(settings.digests_path(), json.dumps({**_notes(), file: entry}))
