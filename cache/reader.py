"""Read artifact files: each is attached, to be read only, to one database in memory that all threads share.

1. `reading` attaches the files of some keys and lends a cursor; they stay attached for the next reader.
2. Beyond MOST_ATTACHED the ones that nobody reads any more are detached, the longest unused first. So is a file that
   was deleted or replaced, as soon as its last reader is done.
3. When reading fails, each file is read alone (cache/soundness.py): one that is damaged, or of somebody else, is
   reported as Unsound. Want of memory, or a disk that does not answer, is no fault of a file.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cache.errors import Missing, StoreError
from cache.layout import NoRecord
from cache.soundness import NOT_THE_FILE, damage_of, reason_of, record_inside, refuse_irregular

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_ATTACHED = 100  # files; each takes a descriptor

Stamp = tuple[int, int, int]


class Unsound(Exception):
    """The file of a key cannot be read as what it should be; `reason` says why, `stamp` which file that was."""

    def __init__(self, key: str, reason: str, stamp: Stamp | None) -> None:
        super().__init__(reason)
        self.key, self.reason, self.stamp = key, reason, stamp


def stamp_of(path: Path) -> Stamp | None:
    """What changes when another file is moved to a path; None where there is none."""
    try:
        stat = path.lstat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


@dataclass
class _Attached:
    """A file that is attached under `name`."""

    name: str
    stamp: Stamp | None
    readers: int = 0  # at this moment
    is_forgotten: bool = False  # it is detached after its last reader


class Reader:
    """Attached files of a folder."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._db: DuckDBPyConnection | None = None
        self._attached: OrderedDict[str, _Attached] = OrderedDict()  # by key, the longest unused first
        self._count = 0

    @contextmanager
    def reading(self, files: Mapping[str, Path]) -> Iterator[tuple[DuckDBPyConnection, dict[str, str]]]:
        """A cursor, and under which name the file of each key is attached to it.

        Raises:
            Missing: one of the files is gone.
            Unsound: one of them is damaged, or holds something else than was asked for.
            StoreError: there is not enough memory, the system keeps a file from being read, or what was asked for is
                not in it.
        """
        import duckdb

        lent: list[_Attached] = []
        try:
            cursor = self._lend(files, lent)
            try:
                yield cursor, {key: attached.name for key, attached in zip(files, lent, strict=True)}
            finally:
                cursor.close()
        except (duckdb.Error, MemoryError, OSError, NoRecord) as error:
            raise self._explained(files, error) from error
        finally:
            self._take_back(lent)

    def forget(self, key: str) -> None:
        """Detach a file that was deleted or set aside; whoever reads it at this moment reads it to the end."""
        with self._lock:
            self._forget(key)

    def close(self) -> None:
        """Let go of all files, each as soon as its last reader is done."""
        with self._lock:
            self._db = None  # closing it would end the readers' cursors
            self._attached.clear()

    def _lend(self, files: Mapping[str, Path], lent: list[_Attached]) -> DuckDBPyConnection:
        """A cursor; what it reads is added to `lent`."""
        with self._lock:
            for key, path in files.items():
                attached = self._attach(key, path)
                attached.readers += 1
                lent.append(attached)
            return self._connection().cursor()

    def _take_back(self, lent: Sequence[_Attached]) -> None:
        with self._lock:
            for attached in lent:
                attached.readers -= 1
                if attached.is_forgotten and not attached.readers:
                    self._detach(attached)

    def _connection(self) -> DuckDBPyConnection:
        if self._db is None:
            import duckdb

            self._db = duckdb.connect(":memory:")
        return self._db

    def _attach(self, key: str, path: Path) -> _Attached:
        stamp = stamp_of(path)
        if key in self._attached and self._attached[key].stamp != stamp:  # deleted and computed again, say
            self._forget(key)
        if key not in self._attached:
            refuse_irregular(path)
            self._make_room()
            self._count += 1
            attached = _Attached(f"artifact_{self._count}", stamp)
            with self._connection().cursor() as cursor:
                cursor.execute(f"ATTACH ? AS {attached.name} (READ_ONLY)", [str(path)])
                try:
                    record_inside(cursor, attached.name, key)
                except BaseException:
                    self._detach(attached)
                    raise
            self._attached[key] = attached
        self._attached.move_to_end(key)
        return self._attached[key]

    def _make_room(self) -> None:
        for key in list(self._attached):
            if len(self._attached) < MOST_ATTACHED:
                return
            if not self._attached[key].readers:
                self._forget(key)

    def _forget(self, key: str) -> None:
        attached = self._attached.pop(key, None)
        if attached is not None:
            attached.is_forgotten = True
            if not attached.readers:
                self._detach(attached)

    def _detach(self, attached: _Attached) -> None:
        import duckdb

        if self._db is not None:
            with suppress(duckdb.Error), self._db.cursor() as cursor:
                cursor.execute(f"DETACH {attached.name}")

    def _explained(self, files: Mapping[str, Path], error: BaseException) -> Exception:
        """What to say of an error of reading some files."""
        import duckdb

        if isinstance(error, duckdb.FatalException | duckdb.InternalException):
            self.close()  # after such an error DuckDB answers nothing more
        no_memory = StoreError("There is not enough memory to read the cache: close other programs and try again.")
        if isinstance(error, MemoryError | duckdb.OutOfMemoryException):
            return no_memory
        stamps = {key: stamp_of(path) for key, path in files.items()}
        for key, stamp in stamps.items():
            if stamp is None:
                return Missing(f"The artifact {key} is not in the cache any more: somebody deleted it meanwhile.")
        try:
            for key, path in files.items():
                damage = None if NOT_THE_FILE.search(str(error)) else damage_of(path, key)
                if damage:
                    return Unsound(key, damage, stamps[key])
        except (MemoryError, duckdb.OutOfMemoryException):
            return no_memory
        return StoreError(f"The cache cannot be read now: {reason_of(error)}.")
