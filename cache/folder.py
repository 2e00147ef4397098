"""The cache: a folder of artifacts, each one immutable file that any number of processes may read.

    artifacts/KEY.duckdb    the tables of an artifact and its record (cache/artifact_file.py)
    artifacts/KEY.json      the record again, for listing; the artifact is there when both files are
    artifacts/KEY.lease     somebody is computing it (cache/leases.py)
    artifacts/partial/      files that are being written, named after their process (cache/owners.py)

1. A file is written in `partial` and renamed into its place, then its record is; nobody ever changes either.
2. Deleting is unlinking, the file first, as its record could be written again from it. Whoever reads the file meanwhile
   reads it to the end.
3. What a killed process left in `partial`, and its leases, are removed by the next one that opens the folder. A file
   whose record is missing or cannot be read gets it again from the file itself.
4. A file that is damaged, or of somebody else, is renamed to KEY.duckdb.unreadable-TIME; it costs that artifact alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cache import staging
from cache.artifact_file import write_file
from cache.cleaning import clean, is_new
from cache.errors import Damaged, Missing, StoreError
from cache.keys import KEY
from cache.layout import SCHEMA, NoRecord, Record, record_of
from cache.leases import Lease, held
from cache.reader import Reader, Unsound, stamp_of
from cache.soundness import damage_of, reason_of, record_inside, refuse_irregular

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

MOST_RECORD = 2**22  # bytes of a record

Stamp = tuple[int, int]  # of a record's file, to tell whether it is another


class ArtifactFolder:
    """An open cache folder. `notices`: sentences about files that were set aside or left out, for the user."""

    def __init__(self, path: Path) -> None:
        """Open the folder `path`, or make it, and remove what dead processes left in it.

        Raises:
            StoreError: it is not a folder, or cannot be made or read.
        """
        for character in ("?",) if os.sep == "\\" else ("?", "\\"):
            if character in str(path):
                raise StoreError(
                    f"The cache {path} cannot be used: DuckDB reads no path with a '{character}'. Choose another path."
                )
        self.path, self.files, self.partial = path, path / "artifacts", path / "artifacts" / "partial"
        self.notices: list[str] = []
        self._reader = Reader()
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Stamp, Record]] = {}  # records that were read, by key
        try:
            self.partial.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if not os.access(self.files, os.R_OK | os.X_OK):  # else it can be read, as on a disk of somebody else
                raise StoreError(
                    f"The cache {path} cannot be used: {reason_of(error)}. Choose another folder for it."
                ) from error
        clean(self)

    def close(self) -> None:
        self._reader.close()

    def file_of(self, key: str) -> Path:
        return self.files / f"{key}.duckdb"

    def record_file_of(self, key: str) -> Path:
        return self.files / f"{key}.json"

    def lease_of(self, key: str) -> Path:
        return self.files / f"{key}.lease"

    def write(self, record: Record, tables: Mapping[str, pa.Table]) -> None:
        """Keep an artifact, whole or not at all. One that is there already stays as it is: keys name content.

        Raises:
            StoreError: it cannot be written, as on a full disk; the folder is as it was before.
        """
        if self.record(record.key):
            return
        with self.staged() as place:
            self.publish(self.write_staged(place, record, tables))

    def staged(self) -> AbstractContextManager[Path]:
        """A new folder on the cache's disk, for files that are to be published; removed afterwards.

        Raises:
            StoreError: it cannot be made, or writing into the cache fails. Errors of other files are raised as they
                are.
        """
        return staging.staged(self.path, self.partial)

    def write_staged(self, place: Path, record: Record, tables: Mapping[str, pa.Table]) -> Path:
        """Write an artifact and its record into a folder of `staged`; the record's file."""
        write_file(place / f"{record.key}.duckdb", record, tables)
        return staging.write_record(place, record)

    def publish(self, about: Path) -> None:
        """Move an artifact that was staged into its place: its file first, then its record, which makes it be there.

        One that is there already stays.
        """
        key = about.stem
        if self.record(key) is None:
            about.with_suffix(".duckdb").replace(self.file_of(key))
            about.replace(self.record_file_of(key))

    def finish(self, place: Path) -> None:
        """Publish everything in a staged folder; it is done again from the start where it was interrupted."""
        for about in staging.records_in(place):
            file = about.with_suffix(".duckdb")
            with suppress(FileNotFoundError):  # another process finishes it as well
                if file.exists():
                    self.publish(about)
                elif not self.record_file_of(about.stem).exists():  # interrupted between the two
                    about.replace(self.record_file_of(about.stem))

    def record(self, key: str) -> Record | None:
        """The record of an artifact that is there."""
        if not KEY.fullmatch(key):
            return None
        try:
            stat = self.record_file_of(key).lstat()
            self.file_of(key).lstat()
        except OSError:
            return None
        return self._record(key, (stat.st_ino, stat.st_mtime_ns))

    def records(self) -> list[Record]:
        """The records of all artifacts, newest first. What has none that can be read is set aside.

        Raises:
            StoreError: the folder cannot be read.
        """
        records = []
        try:
            with os.scandir(self.files) as entries:
                there = {entry.name: entry for entry in entries}
        except OSError as error:
            raise StoreError(f"The cache {self.path} cannot be read: {reason_of(error)}.") from error
        for name, entry in there.items():
            key = name.removesuffix(".json")
            if key == name or not KEY.fullmatch(key) or f"{key}.duckdb" not in there:
                continue
            with suppress(FileNotFoundError):  # deleted meanwhile
                stat = entry.stat(follow_symlinks=False)
                record = self._record(key, (stat.st_ino, stat.st_mtime_ns))
                if record is not None:
                    records.append(record)
        return sorted(records, key=lambda record: (record.created, record.key), reverse=True)

    def leases(self) -> list[Lease]:
        """What processes of any machine are computing now, in no order. Raises as `records`."""
        return held(self.files)

    def delete(self, key: str) -> int:
        """Remove an artifact; an unknown key is not an error. How many bytes that freed.

        Raises:
            StoreError: the folder cannot be written.
        """
        freed = 0
        if not KEY.fullmatch(key):
            return freed
        try:
            for path in (self.file_of(key), self.record_file_of(key)):
                with suppress(FileNotFoundError):
                    size = path.lstat().st_size
                    path.unlink()
                    freed += size
        except OSError as error:
            raise StoreError(f"The artifact {key} cannot be deleted: {reason_of(error)}.") from error
        self._known.pop(key, None)
        self._reader.forget(key)
        return freed

    @contextmanager
    def reading(self, *keys: str) -> Iterator[tuple[DuckDBPyConnection, dict[str, str]]]:
        """A cursor to which the files of some artifacts are attached, and the name of each.

        Raises:
            Missing: one of them is not there.
            Damaged: one cannot be read; it was set aside.
            StoreError: there is not enough memory, or the system keeps a file from being read.
        """
        try:
            for key in keys:
                self._refuse_other_size(key)
            with self._reader.reading({key: self.file_of(key) for key in keys}) as (cursor, names):
                yield cursor, names
        except Unsound as error:
            raise self._judged(error) from error

    def set_aside(self, key: str, reason: str) -> str:
        """Rename the file and the record of an artifact that cannot be read; a sentence about it."""
        known = self._known.pop(key, None)
        about = f"the {known[1].kind} artifact {key}" if known else f"the artifact {key}"
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        moved = None
        for path in (self.record_file_of(key), self.file_of(key)):
            target = path.with_name(f"{path.name}.unreadable-{stamp}")
            with suppress(OSError):
                path.rename(target)
                moved = target
        self._reader.forget(key)
        where = f"It was set aside as {moved}" if moved else f"It is {self.file_of(key)}"
        sentence = f"A file of the cache cannot be read: {about} ({reason}). {where}; compute it again."
        self._notice(sentence)
        return sentence

    def mend(self, key: str) -> Record | None:
        """Write the record of an artifact again, from its file; set the file aside where it holds none."""
        file = self.file_of(key)
        try:
            with self._reader.reading({key: file}) as (cursor, names):
                record = replace(record_inside(cursor, names[key], key), size=file.stat().st_size)
        except Unsound as error:
            self._judged(error)
            return None
        except (StoreError, OSError):
            return None
        with suppress(StoreError), self.staged() as place:
            about = place / f"{key}.json"
            about.write_text(record.as_text(), encoding="utf-8")
            about.replace(self.record_file_of(key))
        return record

    def size(self) -> int:
        """Bytes of all artifacts on disk."""
        return sum(record.size for record in self.records())

    def _refuse_other_size(self, key: str) -> None:
        """Refuse an artifact that is not there, and a damaged file of another size than its record says.

        A sound one gets its record again: two processes that computed it may have moved theirs in turns.
        """
        record, stamp = self.record(key), stamp_of(self.file_of(key))
        if record is None or stamp is None:
            raise Missing(f"The artifact {key} is not in the cache.")
        if stamp[1] != record.size:
            if is_new(self.file_of(key), self.record_file_of(key)):
                raise StoreError(f"The artifact {key} is being replaced. Try again.")
            if damage_of(self.file_of(key), key) or self.mend(key) is None:
                raise Unsound(key, f"it has {stamp[1]} bytes, and had {record.size} when it was written", stamp)

    def _judged(self, error: Unsound) -> StoreError:
        """What to say of a file that cannot be read; it is set aside unless another took its place meanwhile."""
        if stamp_of(self.file_of(error.key)) != error.stamp:
            return StoreError(f"The artifact {error.key} was replaced meanwhile. Try again.")
        return Damaged(self.set_aside(error.key, error.reason))

    def _record(self, key: str, stamp: Stamp) -> Record | None:
        known = self._known.get(key)
        if known and known[0] == stamp:
            return known[1]
        record = self._read_record(key)
        if record is not None:
            self._known[key] = (stamp, record)
        return record

    def _read_record(self, key: str) -> Record | None:
        """None where there is none by now, where it cannot be read, or where a later version wrote it."""
        path = self.record_file_of(key)
        record: Record | None = None
        try:
            with suppress(NoRecord):
                refuse_irregular(path)
                with path.open("rb") as file:
                    record = record_of(file.read(MOST_RECORD))
        except FileNotFoundError:
            return None
        except OSError as error:
            self._notice(f"The record {path} cannot be read: {reason_of(error)}. It is left out.")
            return None
        if record is None or record.key != key:
            record = self.mend(key)
        if record is not None and record.schema > SCHEMA:
            self._notice(f"The artifact {key} was made by a later version of this program. It is left out.")
            return None
        return record

    def _notice(self, sentence: str) -> None:
        with self._lock:
            if sentence not in self.notices:
                self.notices.append(sentence)
