"""Write files of a cache beside their place: in a new folder on its disk, named after the process that writes them."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cache.errors import StoreError
from cache.layout import NoRecord, Record, record_of
from cache.owners import owned_name
from cache.soundness import reason_of

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def staged(cache: Path, partial: Path) -> Iterator[Path]:
    """A new folder in `partial`, removed afterwards.

    Raises:
        StoreError: it cannot be made, or writing into the cache fails. Errors of other files are raised as they are.
    """
    import duckdb

    place = partial / owned_name()
    try:
        place.mkdir(parents=True)
        yield place
    except (OSError, duckdb.Error) as error:
        if not _is_of_writing(error, cache):
            raise
        raise StoreError(f"The cache {cache} cannot be written: {reason_of(error)}.") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def write_record(place: Path, record: Record) -> Path:
    """Write the record of an artifact whose file lies in a staged folder; the record's file."""
    file, about = place / f"{record.key}.duckdb", place / f"{record.key}.json"
    with about.open("w", encoding="utf-8") as stream:
        stream.write(replace(record, size=file.stat().st_size).as_text())
        stream.flush()
        os.fsync(stream.fileno())
    return about


def records_in(place: Path) -> list[Path]:
    """The records' files in a staged folder, circuits last, as a run is there when its circuit is."""
    return sorted(place.glob("*.json"), key=lambda path: (_is_circuit(path), path.name))


def _is_circuit(about: Path) -> bool:
    try:
        return record_of(about.read_bytes()).kind == "circuit"
    except (OSError, NoRecord):
        return False


def _is_of_writing(error: Exception, cache: Path) -> bool:
    """Whether an error names a file of the cache, or says that there is no room or no memory."""
    import duckdb

    if isinstance(error, duckdb.OutOfMemoryException):
        return True
    if isinstance(error, OSError):
        named = f"{error.filename} {error.filename2}"
        return error.errno in NO_ROOM or str(cache) in named
    return str(cache) in str(error)
