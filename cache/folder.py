"""The cache: a folder of artifacts, each one immutable file that any number of processes may read.

    artifacts/KEY.duckdb    the tables of an artifact and its record (cache/artifact_file.py)
    artifacts/KEY.json      the record again, for listing; the artifact is there when this file is
    artifacts/KEY.lease     somebody is computing it (cache/leases.py)
    artifacts/partial/      files that are being written, named after their process (cache/owners.py)

1. A file is written in `partial` and renamed into its place, then its record is; nobody ever changes either.
2. Deleting is unlinking, the record first. Whoever reads the file meanwhile reads it to the end.
3. What a killed process left in `partial` is removed by the next one that opens the folder. A file whose record is
   missing gets it again from the file itself.
4. A file that is damaged, or of somebody else, is renamed to KEY.duckdb.unreadable-TIME; it costs that artifact alone.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cache.artifact_file import RECORD, write_file
from cache.errors import Damaged, Missing, StoreError
from cache.keys import KEY
from cache.layout import SCHEMA, NoRecord, Record, record_of
from cache.owners import is_left_behind, owned_name
from cache.reader import Reader, Unsound

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

MOST_RECORD = 2**22  # bytes of a record
BEING_WRITTEN = 60.0  # seconds for which a file may be without its record


class ArtifactFolder:
    """An open cache folder. `notices`: sentences about files that were set aside or left out, for the user."""

    def __init__(self, path: Path) -> None:
        """Open the folder `path`, or make it, and remove what dead processes left in it.

        Raises:
            StoreError: it is not a folder, or cannot be made or read.
        """
        if "?" in str(path):
            raise StoreError(f"The cache {path} cannot be used: DuckDB reads no path with a '?'. Choose another path.")
        self.path, self.files, self.partial = path, path / "artifacts", path / "artifacts" / "partial"
        self.notices: list[str] = []
        self._reader = Reader()
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, Record]] = {}  # by key: the inode of its record's file, and the record
        try:
            self.partial.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if not os.access(self.files, os.R_OK | os.X_OK):  # else it can be read, as on a disk of somebody else
                raise StoreError(
                    f"The cache {path} cannot be used: {error.strerror}. Choose another folder for it."
                ) from error
        self._clean()

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

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """A new folder on the cache's disk, for files that are to be published; removed afterwards.

        Raises:
            StoreError: it cannot be made, or writing into it fails.
        """
        import duckdb

        place = self.partial / owned_name()
        try:
            place.mkdir(parents=True)
            yield place
        except (OSError, duckdb.Error) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).partition("\n")[0]
            raise StoreError(f"The cache {self.path} cannot be written: {reason.rstrip('.')}.") from error
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def write_staged(self, place: Path, record: Record, tables: Mapping[str, pa.Table]) -> Path:
        """Write an artifact and its record into a folder of `staged`; the record's file."""
        write_file(place / f"{record.key}.duckdb", record, tables)
        return self.write_record(place, record)

    def write_record(self, place: Path, record: Record) -> Path:
        """Write the record of an artifact whose file lies in a folder of `staged`; the record's file."""
        file, about = place / f"{record.key}.duckdb", place / f"{record.key}.json"
        with about.open("w", encoding="utf-8") as stream:
            stream.write(replace(record, size=file.stat().st_size).as_text())
            stream.flush()
            os.fsync(stream.fileno())
        return about

    def publish(self, about: Path) -> None:
        """Move an artifact that was staged into its place: its file first, then its record, which makes it be there."""
        about.with_suffix(".duckdb").replace(self.files / f"{about.stem}.duckdb")
        about.replace(self.files / about.name)

    def record(self, key: str) -> Record | None:
        """The record of an artifact that is there."""
        path = self.record_file_of(key)
        try:
            inode = path.stat().st_ino
        except (OSError, ValueError):
            return None
        return self._record(key, inode)

    def records(self) -> list[Record]:
        """The records of all artifacts, newest first. A record that cannot be read is set aside, and so is its file.

        Raises:
            StoreError: the folder cannot be read.
        """
        try:
            with os.scandir(self.files) as entries:
                there = [(entry.name[:-5], entry.inode()) for entry in entries if entry.name.endswith(".json")]
        except OSError as error:
            raise StoreError(f"The cache {self.path} cannot be read: {error.strerror}.") from error
        records = [record for key, inode in there if (record := self._record(key, inode))]
        return sorted(records, key=lambda record: (record.created, record.key), reverse=True)

    def delete(self, key: str) -> int:
        """Remove an artifact; an unknown key is not an error. How many bytes that freed.

        Raises:
            StoreError: the folder cannot be written.
        """
        freed = 0
        try:
            for path in (self.record_file_of(key), self.file_of(key)):
                with suppress(FileNotFoundError):
                    size = path.lstat().st_size
                    path.unlink()
                    freed += size
        except OSError as error:
            raise StoreError(f"The artifact {key} cannot be deleted: {error.strerror}.") from error
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
        for key in keys:
            if self.record(key) is None:
                raise Missing(f"The artifact {key} is not in the cache.")
        try:
            with self._reader.reading({key: self.file_of(key) for key in keys}) as (cursor, names):
                yield cursor, names
        except Unsound as error:
            raise Damaged(self.set_aside(error.key, error.reason)) from error

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
        where = f"It was set aside as {moved}" if moved else f"It lies in {self.files}"
        sentence = f"A file of the cache cannot be read: {about} ({reason}). {where}; compute it again."
        with self._lock:
            self.notices.append(sentence)
        return sentence

    def size(self) -> int:
        """Bytes of all artifacts on disk."""
        return sum(record.size for record in self.records())

    def _record(self, key: str, inode: int) -> Record | None:
        known = self._known.get(key)
        if known and known[0] == inode:
            return known[1]
        record = self._read_record(key)
        if record is not None:
            self._known[key] = (inode, record)
        return record

    def _read_record(self, key: str) -> Record | None:
        """None where there is none by now, where it cannot be read, or where a later version wrote it."""
        path = self.record_file_of(key)
        if not KEY.fullmatch(key):
            return None
        try:
            with path.open("rb") as file:
                record = record_of(file.read(MOST_RECORD))
            if record.key != key:
                raise NoRecord("it is the record of another artifact")
        except FileNotFoundError:
            return None
        except NoRecord as error:
            self.set_aside(key, f"its record: {error}")
            return None
        except OSError as error:
            self._notice(f"The record {path} cannot be read: {error.strerror}. It is left out.")
            return None
        if record.schema > SCHEMA:
            self._notice(f"The artifact {key} was made by a later version of this program. It is left out.")
            return None
        return record

    def _notice(self, sentence: str) -> None:
        with self._lock:
            if sentence not in self.notices:
                self.notices.append(sentence)

    def _clean(self) -> None:
        """Remove what dead processes left, and give files without a record theirs again."""
        with suppress(OSError):
            for path in self.partial.iterdir():
                if is_left_behind(path):
                    if (path / READY).exists():
                        self.finish(path)
                    shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            for file in self.files.glob("*.duckdb"):
                if not file.with_suffix(".json").exists() and time.time() - file.lstat().st_mtime > BEING_WRITTEN:
                    self._mend(file)

    def finish(self, place: Path) -> None:
        """Publish everything in a staged folder; it is done again from the start where it was interrupted."""
        for about in sorted(place.glob("*.json"), key=lambda path: (is_circuit(path), path.name)):
            file = about.with_suffix(".duckdb")
            if file.exists():
                file.replace(self.files / file.name)
            about.replace(self.files / about.name)

    def _mend(self, file: Path) -> None:
        """Write the record of an artifact again, from its file."""
        key = file.stem
        try:
            with self._reader.reading({key: file}) as (cursor, names):
                query = f"SELECT record FROM {names[key]}.main.{RECORD}"  # noqa: S608
                record = record_of(cursor.execute(query).fetchall()[0][0])
            if record.key != key:
                raise NoRecord("it holds the record of another artifact")
        except (Unsound, NoRecord, IndexError) as error:
            self.set_aside(key, str(error) or "it holds no record")
            return
        except StoreError:
            return
        with suppress(StoreError), self.staged() as place:
            about = place / f"{key}.json"
            about.write_text(replace(record, size=file.stat().st_size).as_text(), encoding="utf-8")
            about.replace(self.record_file_of(key))


READY = "ready"  # in a staged folder: everything in it was checked and is to be published, whoever does it


def is_circuit(about: Path) -> bool:
    """Whether a record's file is that of a circuit; these are published last, as a run is there when its circuit is."""
    try:
        return record_of(about.read_bytes()).kind == "circuit"
    except (OSError, NoRecord):
        return False
