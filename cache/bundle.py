"""A bundle as a file: some runs of a cache, written by cache/store.py, read as data of unknown origin.

1. The file is attached, to be read only, to a database in memory: a macro or a view in it cannot take the place of
   anything that is called here.
2. From then on this database opens no other file, loads no extension and changes no setting.
3. The file must hold exactly the tables of a cache of this version with exactly their columns, and nothing else: no
   views, no macros, no columns that are computed when they are read.
4. A table is read in batches, up to a bound; a small file that unfolds into a huge one is given up.

What the values say is for the caller to check (engine/bundle_checks.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from cache.schema import MIGRATIONS, migrate
from cache.store import SORTED_BY, RunRow

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

MOST_BYTES = 4 * 2**30  # of one table of one run, unpacked
MOST_RECORD_BYTES = 2**27  # of the header, of the list of runs
MOST_RUNS = 10_000
BATCH = 20_000  # rows
HEADER = {("bundle", "header", "VARCHAR"), ("bundle", "migrations", "VARCHAR[]")}
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "memory_limit": "4GB",
}

Column = tuple[str, str, str]  # table, column, type


class BundleError(Exception):
    """The file is no bundle that can be read; the message says why, for the person who has it."""


class BundleFile:
    """An open bundle. Every method raises BundleError where the file does not hold what it should."""

    def __init__(self, db: DuckDBPyConnection) -> None:
        self._db = db

    def header(self) -> str:
        """What its writer put before the runs."""
        rows = self._read("SELECT header FROM bundle.main.bundle LIMIT 2", most=MOST_RECORD_BYTES).to_pylist()
        if len(rows) != 1:
            raise BundleError("its table `bundle` does not have one row")
        return str(rows[0]["header"])

    def runs(self) -> dict[int, RunRow]:
        """Every run by its number in this file, the oldest first."""
        query = "SELECT id, key, spec, meta, created, seconds, made_with, imported FROM bundle.main.runs ORDER BY id"
        rows = self._read(query, most=MOST_RECORD_BYTES).to_pylist()
        if len(rows) > MOST_RUNS:
            raise BundleError(f"it has {len(rows)} runs; {MOST_RUNS} are the most")
        optional = ("made_with", "imported")
        if any(value is None for row in rows for name, value in row.items() if name not in optional):
            raise BundleError("a run in it lacks a value")
        found = {row.pop("id"): RunRow(**row) for row in rows}
        if len(found) < len(rows) or len({row.key for row in found.values()}) < len(rows):
            raise BundleError("it has a run twice")
        return found

    def table(self, run: int, name: str) -> pa.Table:
        """The rows of a run's table, in the order in which the cache keeps them."""
        query = f"SELECT * EXCLUDE run FROM bundle.main.{name} WHERE run = ? ORDER BY {SORTED_BY[name]}"  # noqa: S608
        return self._read(query, run)

    def comparisons(self) -> list[tuple[int, str, int, str]]:
        """Both sides, run and part, of every overlap curve."""
        query = "SELECT DISTINCT run_a, part_a, run_b, part_b FROM bundle.main.overlap_curves ORDER BY ALL"
        return [tuple(row.values()) for row in self._read(query, most=MOST_RECORD_BYTES).to_pylist()]

    def curve(self, run_a: int, part_a: str, run_b: int, part_b: str) -> pa.Table:
        """`k`, `shared` of a comparison."""
        query = (
            "SELECT k, shared FROM bundle.main.overlap_curves "
            "WHERE run_a = ? AND part_a = ? AND run_b = ? AND part_b = ? ORDER BY k"
        )
        return self._read(query, run_a, part_a, run_b, part_b)

    def _read(self, query: str, *values: object, most: int | None = None) -> pa.Table:
        import pyarrow as pa

        most = most or MOST_BYTES
        try:
            reader = self._db.sql(query, params=list(values)).to_arrow_reader(BATCH)
            batches, size = [], 0
            for batch in reader:
                size += batch.nbytes
                if size > most:
                    raise BundleError(f"one of its tables is larger than {most:,} bytes")
                batches.append(batch)
        except (duckdb.Error, pa.ArrowException) as error:
            raise BundleError(f"it cannot be read: {error}") from error
        return pa.Table.from_batches(batches, reader.schema)


@contextmanager
def opened(path: Path) -> Iterator[BundleFile]:
    """A bundle, to be read.

    Raises:
        BundleError: there is no such file, it is no database, or it holds something else than a bundle does.
    """
    if not path.is_file():
        raise BundleError("there is no such file")
    with duckdb.connect(":memory:", config=SETTINGS) as db:
        try:
            db.execute("ATTACH ? AS bundle (READ_ONLY)", [str(path.resolve())])
            db.execute("SET enable_external_access = false")
            db.execute("SET lock_configuration = true")
            _refuse_what_is_no_table(db)
            _refuse_other_columns(_columns(db, "bundle"), lambda: _migrations(db))
        except duckdb.Error as error:
            raise BundleError(f"it is not a database that this program can read ({error})") from error
        yield BundleFile(db)


@cache
def layout() -> frozenset[Column]:
    """The columns of a bundle: those of the cache's own tables, and the header."""
    with duckdb.connect(":memory:") as db:
        migrate(db)
        own = {"runs", "overlap_curves", *SORTED_BY}
        return frozenset(HEADER) | {column for column in _columns(db, "memory") if column[0] in own}


def _columns(db: DuckDBPyConnection, database: str) -> set[Column]:
    query = """
        SELECT table_name, column_name, data_type FROM duckdb_columns()
        WHERE database_name = ? AND NOT internal"""
    return {(table, column, kind) for table, column, kind in db.execute(query, [database]).fetchall()}


def _migrations(db: DuckDBPyConnection) -> set[str]:
    found = db.execute("SELECT unnest(migrations) FROM bundle.main.bundle LIMIT 1000").fetchall()
    return {str(name) for (name,) in found}


def _refuse_what_is_no_table(db: DuckDBPyConnection) -> None:
    for what, function in (
        ("view", "duckdb_views"),
        ("macro", "duckdb_functions"),
        ("type", "duckdb_types"),
        ("schema", "duckdb_schemas"),
    ):
        name = {"duckdb_functions": "function_name"}.get(function, f"{what}_name")
        query = f"SELECT {name} FROM {function}() WHERE database_name = 'bundle' AND NOT internal"  # noqa: S608
        found = db.execute(query).fetchall()
        if found:
            raise BundleError(f"it has a {what} {found[0][0]!r}; a bundle has only tables")
    computed = "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'bundle' AND column_default"
    for table, column in db.execute(f"{computed} IS NOT NULL").fetchall():
        raise BundleError(f"the column {column!r} of its table {table!r} is computed when it is read")


def _refuse_other_columns(there: set[Column], migrations: Callable[[], set[str]]) -> None:
    if not there >= HEADER:
        raise BundleError("it is not a bundle: it has no table `bundle` with a header")
    done, known = migrations(), {migration.__name__ for migration in MIGRATIONS}
    if done - known:
        newer = ", ".join(sorted(done - known))
        raise BundleError(f"a later version of this program made it (it has {newer}). Update the program")
    if known - done:
        raise BundleError("an earlier version of this program made it. Make it again with this version")
    for table, column, kind in sorted(layout() ^ there):
        if (table, column, kind) in there:
            raise BundleError(f"its table {table!r} has a column {column!r} of type {kind}, which a bundle has not")
        raise BundleError(f"it lacks the column {column!r} of type {kind} in the table {table!r}")
