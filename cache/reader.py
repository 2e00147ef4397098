"""Read artifact files: each is attached, to be read only, to one database in memory that all threads share.

1. `reading` attaches the files of some keys and lends a cursor; they stay attached for the next reader.
2. Beyond MOST_ATTACHED the ones that nobody reads any more are detached, the longest unused first.
3. What DuckDB says of a file is told apart: a file that is damaged or of somebody else is reported as Unsound; want of
   memory or a file that is gone is no fault of the file.
"""

from __future__ import annotations

import re
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cache.errors import Missing, StoreError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_ATTACHED = 200  # files; each takes a descriptor
LONGEST_REASON = 300  # characters of what DuckDB says
NOT_THE_FILE = re.compile(r"Permission denied|Too many open files|Out of Memory|Cannot allocate memory", re.IGNORECASE)


class Unsound(Exception):
    """The file of a key cannot be read as what it should be; `reason` is what DuckDB says."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key, self.reason = key, reason


class Reader:
    """Attached files of a folder."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._db: DuckDBPyConnection | None = None
        self._attached: OrderedDict[str, str] = OrderedDict()  # key -> name of the attached database
        self._used: dict[str, int] = {}  # key -> how many readers it has at this moment
        self._count = 0

    @contextmanager
    def reading(self, files: Mapping[str, Path]) -> Iterator[tuple[DuckDBPyConnection, dict[str, str]]]:
        """A cursor, and under which name the file of each key is attached to it.

        Raises:
            Missing: one of the files is gone.
            Unsound: one of them is damaged, or holds something else than was asked for.
            StoreError: there is not enough memory, or the system keeps a file from being read.
        """
        names: dict[str, str] = {}
        try:
            cursor = None
            for key, path in files.items():
                with self._telling(key, path):
                    names[key] = self._attach(key, path)
            with self._lock:
                cursor = self._connection().cursor()
            try:
                with self._telling_one(files):
                    yield cursor, names
            finally:
                cursor.close()
        finally:
            with self._lock:
                for key in names.keys() & self._used.keys():
                    self._used[key] -= 1

    def forget(self, key: str) -> None:
        """Detach a file that was deleted or set aside, unless somebody reads it at this moment."""
        with self._lock:
            if not self._used.get(key):
                self._detach(key)

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db, self._used = None, {}
            self._attached.clear()

    def _connection(self) -> DuckDBPyConnection:
        if self._db is None:
            import duckdb

            self._db = duckdb.connect(":memory:")
        return self._db

    def _attach(self, key: str, path: Path) -> str:
        with self._lock:
            if key not in self._attached:
                if not stat.S_ISREG(path.lstat().st_mode):
                    raise Unsound(key, "it is not a regular file")
                self._make_room()
                self._count += 1
                name = f"artifact_{self._count}"
                with self._connection().cursor() as cursor:
                    cursor.execute(f"ATTACH ? AS {name} (READ_ONLY)", [str(path)])
                self._attached[key] = name
            self._attached.move_to_end(key)
            self._used[key] = self._used.get(key, 0) + 1
            return self._attached[key]

    def _make_room(self) -> None:
        for key in list(self._attached):
            if len(self._attached) < MOST_ATTACHED:
                return
            if not self._used.get(key):
                self._detach(key)

    def _detach(self, key: str) -> None:
        import duckdb

        name = self._attached.pop(key, None)
        self._used.pop(key, None)
        if name is not None and self._db is not None:
            with suppress(duckdb.Error), self._db.cursor() as cursor:
                cursor.execute(f"DETACH {name}")

    @contextmanager
    def _telling_one(self, files: Mapping[str, Path]) -> Iterator[None]:
        """Errors of a query over several files: of the one that DuckDB names, else of the first."""
        import duckdb

        try:
            yield
        except (duckdb.Error, MemoryError) as error:
            named = [key for key in files if key in str(error)]
            key = named[0] if named else next(iter(files))
            raise self._told(key, files[key], error) from error

    @contextmanager
    def _telling(self, key: str, path: Path) -> Iterator[None]:
        import duckdb

        try:
            yield
        except (duckdb.Error, MemoryError, OSError) as error:
            raise self._told(key, path, error) from error

    def _told(self, key: str, path: Path, error: BaseException) -> Exception:
        import duckdb

        if isinstance(error, duckdb.FatalException | duckdb.InternalException):
            self.close()  # after such an error DuckDB answers nothing more
        if isinstance(error, FileNotFoundError) or not path.exists():
            return Missing(f"The artifact {key} is not in the cache any more: somebody deleted it meanwhile.")
        if isinstance(error, MemoryError | duckdb.OutOfMemoryException):
            return StoreError("There is not enough memory to read the cache: close other programs and try again.")
        reason = str(error).partition("\n")[0].rstrip(".")[:LONGEST_REASON]
        if isinstance(error, OSError | duckdb.IOException) and NOT_THE_FILE.search(str(error)):
            return StoreError(f"The file {path} of the cache cannot be read now: {reason}.")
        return Unsound(key, reason)
