"""Open the file of a cache, and no other file: what is there is checked, read only, before anything is written.

1. What is no file that can be read and written is refused, and so is what does not begin as a DuckDB database.
2. A database is opened to be read only. It is a cache when its table `migrations` names one of ours, and one that
   holds nothing at all becomes a cache. A bundle, or anybody else's database, is refused.
3. A cache that is damaged by DuckDB's own word is set aside under another name, so that a new one can be begun. It must
   still carry our marks. Whatever else keeps a file from being opened (memory, a lock, a damaged log, a later DuckDB)
   is told, and the file stays as it is.
"""

from __future__ import annotations

import os
import re
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from cache.migrations import MIGRATIONS, NewerSchema, migrate

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAGIC, MAGIC_AT = b"DUCK", 8  # what every DuckDB database begins with
HEADERS = 3 * 4096  # bytes; a shorter database was never finished and holds nothing
# Names of ours, which DuckDB writes as they are: one of a cache alone, and one that bundles have as well.
MARKS = ((b"run_ids", b"applied"), (b"overlap_curves", b"edge_blocks"))
LOG_BEGINS = b"d\x00be\x00"  # of every log: a record of its version
DAMAGED = re.compile(r"Corrupt database file|Could not read enough bytes")
LONGEST_REASON = 300  # characters of what DuckDB says
CHUNK = 2**24  # bytes


class StoreError(Exception):
    """The file cannot be used; the message is one sentence for the person who asked."""


def open_cache(path: Path) -> tuple[DuckDBPyConnection, Path | None]:
    """The cache at `path`, begun where there is nothing; and where a damaged one at that path was moved to, or None.

    Raises:
        StoreError: what is there is not a cache, another process holds it, it cannot be written, or a later version
            wrote it. It is as it was before.
    """
    if "?" in str(path):
        raise StoreError(f"The cache {path} cannot be used: DuckDB reads no path with a '?'. Choose another path.")
    moved = None
    if not _exists(path):
        _make_folder(path)
    else:
        try:
            _check(path)
        except (duckdb.Error, MemoryError) as error:
            moved = _set_aside(path, error)
    try:
        return _connect(path), moved
    except (duckdb.Error, MemoryError) as error:
        raise _refusal(path, error) from error


def wal_of(path: Path) -> Path:
    """DuckDB's write-ahead log beside a database."""
    return path.with_name(path.name + ".wal")


def _exists(path: Path) -> bool:
    """Whether there is a file that can be read and written; False where there is nothing."""
    try:
        log = wal_of(path).exists()
        mode = path.stat().st_mode
    except FileNotFoundError:
        if log:
            raise StoreError(
                f"Beside the cache {path} lies {wal_of(path)}, the log of a database that is not there. Move it away, "
                "or choose another path for the cache."
            ) from None
        return False
    except OSError as error:
        raise StoreError(
            f"The cache {path} cannot be reached: {error.strerror}. Choose another path for it."
        ) from error
    if not stat.S_ISREG(mode) or not os.access(path, os.R_OK | os.W_OK):
        raise StoreError(f"The cache {path} is not a file that can be written. Choose another path for it.")
    return True


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The folder {path.parent} of the cache cannot be made: {error.strerror}. Choose another path."
        ) from error


def _check(path: Path) -> None:
    """Refuse what is not a cache; duckdb.Error when DuckDB cannot open it."""
    try:
        with path.open("rb") as file:
            begins = file.read(MAGIC_AT + len(MAGIC))
    except OSError as error:
        raise StoreError(f"The cache {path} cannot be read: {error.strerror}. Choose another path for it.") from error
    if not begins:
        raise StoreError(
            f"The file {path} is empty, so it is no cache. Delete it, or choose another path for the cache."
        )
    if begins[MAGIC_AT:] != MAGIC:
        raise StoreError(
            f"The file {path} is no cache: it is not a database of DuckDB. It is left as it is; choose another path "
            "for the cache."
        )
    with duckdb.connect(str(path), read_only=True) as db:
        _refuse_what_is_not_ours(path, db)
    _refuse_foreign_log(path)


def _refuse_what_is_not_ours(path: Path, db: DuckDBPyConnection) -> None:
    columns: dict[str, set[str]] = {}
    names = db.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND schema_name = 'main'"
    )
    for table, column in names.fetchall():
        columns.setdefault(table, set()).add(column)
    if columns.get("bundle", set()) >= {"header", "migrations"}:
        raise StoreError(
            f"The file {path} is a bundle of runs, not a cache. It is left as it is; choose another path for the "
            "cache, then take the bundle into it with `python -m engine import`."
        )
    if columns.get("migrations") == {"name", "applied"}:
        done = {name for (name,) in db.execute("SELECT name FROM migrations").fetchall()}
        if done & {migration.__name__ for migration in MIGRATIONS} or (not done and len(columns) == 1):
            return
    what = _anything(db)
    if what:
        raise StoreError(
            f"The file {path} is the database of another program (it has {what}), not a cache. It is left as it is; "
            "choose another path for the cache."
        )


def _anything(db: DuckDBPyConnection) -> str | None:
    """Something that a database holds, or None."""
    query = """
        SELECT 'the table ' || table_name FROM duckdb_tables() WHERE NOT internal
        UNION ALL SELECT 'the view ' || view_name FROM duckdb_views() WHERE NOT internal
        UNION ALL SELECT 'the macro ' || function_name FROM duckdb_functions() WHERE NOT internal
        UNION ALL SELECT 'the type ' || type_name FROM duckdb_types() WHERE NOT internal
        UNION ALL SELECT 'the sequence ' || sequence_name FROM duckdb_sequences()
        UNION ALL SELECT 'the schema ' || schema_name FROM duckdb_schemas() WHERE NOT internal AND schema_name <> 'main'
        LIMIT 1"""
    things = db.execute(query).fetchall()
    return str(things[0][0])[:100] if things else None


def _refuse_foreign_log(path: Path) -> None:
    """DuckDB takes a file in its log's place for one that is out of date, and writes over it."""
    try:
        with wal_of(path).open("rb") as file:
            begins = file.read(len(LOG_BEGINS))
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"The log {wal_of(path)} of the cache cannot be read: {error.strerror}.") from error
    if not LOG_BEGINS.startswith(begins):
        raise _damaged_log(path)


def _connect(path: Path) -> DuckDBPyConnection:
    db = duckdb.connect(str(path))
    try:
        migrate(db)
    except NewerSchema as error:
        db.close()
        message = f"The cache {path} was written by a later version of this program (it has {error})."
        raise StoreError(f"{message} Update the program, or choose another path.") from error
    except BaseException:
        db.close()
        raise
    return db


def _set_aside(path: Path, error: Exception) -> Path:
    """Rename a damaged cache and its log, so that nothing in them is lost; the new name is free.

    Raises:
        StoreError: it is not known to be damaged, or not known to be a cache.
    """
    if not DAMAGED.search(str(error)) or "replaying WAL" in str(error):
        raise _refusal(path, error) from error
    if not _is_marked(path):
        raise StoreError(
            f"The file {path} is a damaged database, and nothing in it tells that it is a cache ({_reason(error)}). It "
            "is left as it is; move it away, or choose another path for the cache."
        ) from error
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    moved = path.with_name(f"{path.name}.unreadable-{stamp}")
    try:
        path.rename(moved)
        if wal_of(path).exists():
            wal_of(path).rename(wal_of(moved))
    except OSError as problem:
        raise StoreError(f"The cache {path} is damaged and cannot be set aside: {problem.strerror}.") from problem
    return moved


def _is_marked(path: Path) -> bool:
    """Whether a damaged database was a cache: its bytes hold our names, or it was never finished and holds nothing."""
    if path.stat().st_size < HEADERS:
        return True
    missing, before = set(MARKS), b""
    with path.open("rb") as file:
        while missing and (chunk := file.read(CHUNK)):
            missing -= {names for names in missing if any(name in before + chunk for name in names)}
            before = chunk[-20:]  # a name may lie across two chunks
    return not missing


def _refusal(path: Path, error: Exception) -> StoreError:
    """The sentence for a file that is in the way, and stays as it is."""
    message = str(error)
    held = re.search(r"Conflicting lock is held.*?(?:\(PID (\d+)\)|$)", message)
    if held or "Could not set lock" in message:
        process = f" (process {held[1]})" if held and held[1] else ""
        return StoreError(
            f"The cache {path} is in use by another program{process}: close that one, or choose another path."
        )
    if isinstance(error, MemoryError | duckdb.OutOfMemoryException) or "Out of Memory" in message:
        return StoreError(f"There is not enough memory to open the cache {path}: close other programs and try again.")
    if "replaying WAL" in message:
        return _damaged_log(path)
    if isinstance(error, duckdb.ProgrammingError):
        return StoreError(
            f"The cache {path} is a database with another layout ({_reason(error)}). Choose another path for it."
        )
    return StoreError(f"The cache {path} cannot be opened ({_reason(error)}). Choose another path for it.")


def _damaged_log(path: Path) -> StoreError:
    return StoreError(
        f"The log {wal_of(path)} of the cache is damaged, so what was written last cannot be read. Both files are left "
        "as they are: move the log away to go on without it, or choose another path."
    )


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")[:LONGEST_REASON]
