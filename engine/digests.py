"""sha256 of large files, remembered beside the cache: weights of 15 GB are read once, not at every start.

A file is read again when its size or its time of change is another. The notes can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from engine import settings

WORTH_NOTING = 2**24  # bytes; smaller files are read faster than they are looked up
DIGEST_LENGTH = 64  # hexadecimal digits


def digest_of(file: Path) -> str:
    """sha256 of a file's content, in hexadecimal digits."""
    stat = file.stat()
    return _digest(file.resolve(), stat.st_size, stat.st_mtime_ns)


@cache
def _digest(file: Path, size: int, modified: int) -> str:
    noted = _notes().get(str(file)) if size >= WORTH_NOTING else None
    if isinstance(noted, list) and noted[:2] == [size, modified] and len(str(noted[-1])) == DIGEST_LENGTH:
        return str(noted[-1])
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if size >= WORTH_NOTING:
        _note(str(file), [size, modified, found])
    return found


def _notes() -> dict[str, Any]:
    """What was noted by file; nothing where that cannot be read."""
    try:
        found = json.loads(settings.digests_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _note(file: str, entry: list[Any]) -> None:
    """Whole or not at all; where nothing can be written, the file is read again next time."""
    place = settings.digests_path()
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            part = Path(folder) / place.name
            part.write_text(json.dumps({**_notes(), file: entry}), encoding="utf-8")
            part.replace(place)
