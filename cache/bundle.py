"""Read a bundle: runs of a cache in a file, written by cache/store.py, read as data of unknown origin.

1. The file is attached, to be read only, to a database in memory: a macro or a view in it cannot take the place of
   anything that is called here.
2. From then on this database opens no other file, loads no extension and changes no setting. What it can't hold in
   memory it writes to a folder of the caller's.
3. The file must hold exactly the tables of a cache of this version with exactly their columns, and nothing else: no
   views, no macros, no columns that are computed when they are read.
4. How many rows, list entries and characters it holds is read from its directory, before any of them is. A small file
   that would unfold into a huge one is given up there.
5. A table is read in batches, up to a bound, in case the directory is wrong.

What the values mean is for the caller to check (engine/exchange/bundle_checks.py).
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from cache.layout import SORTED_BY, SPEC_COLUMNS, RunRow
from cache.migrations import MIGRATIONS, NOT_IN_BUNDLES, migrate
from cache.opening import LONGEST_REASON

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

MOST_BYTES = 4 * 2**30  # of one table of one run, unpacked
MOST_RECORD_BYTES = 2**27  # of the header, of the list of runs
MOST_RUNS = 10_000
MOST_CURVES = 5_000
MOST_CURVE_ROWS = 5_000_000
UNFOLDS = 64  # times as large as its file a bundle is at most, unpacked; real ones are less than ten times
ALWAYS = 2**26  # bytes, unpacked, that are let through whatever the file's size
BATCH = 20_000  # rows
HEADER = {("bundle", "header", "VARCHAR"), ("bundle", "migrations", "VARCHAR[]")}
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "memory_limit": "2GB",
    "max_temp_directory_size": "32GB",
}
WIDTHS = {"BOOLEAN": 1, "UTINYINT": 1, "INTEGER": 4, "FLOAT": 4, "BIGINT": 8, "DOUBLE": 8, "VARCHAR": 8}  # bytes

Column = tuple[str, str, str]  # table, column, type


class BundleError(Exception):
    """The file is no bundle that can be read; the message says why, for the person who has it."""


class BundleFile:
    """An open bundle. Every method raises BundleError where the file does not hold what it should."""

    def __init__(self, db: DuckDBPyConnection) -> None:
        self._db = db

    def header(self) -> str:
        """What its writer put before the runs."""
        if self._count("bundle") != 1:
            raise BundleError("its table `bundle` does not have one row")
        rows = self._read("SELECT header FROM bundle.main.bundle", most=MOST_RECORD_BYTES).to_pylist()
        if rows[0]["header"] is None:
            raise BundleError("its header lacks a value")
        return str(rows[0]["header"])

    def runs(self) -> dict[int, RunRow]:
        """Every run by its number in this file, the oldest first."""
        count = self._count("runs")
        if count > MOST_RUNS:
            raise BundleError(f"it has {count:,} runs; {MOST_RUNS:,} are the most")
        query = "SELECT id, key, spec, meta, created, seconds, made_with, imported FROM bundle.main.runs ORDER BY id"
        rows = self._read(query, most=MOST_RECORD_BYTES).to_pylist()
        optional = ("made_with", "imported")
        if any(value is None for row in rows for name, value in row.items() if name not in optional):
            raise BundleError("a run in it lacks a value")
        by_number = {row.pop("id"): RunRow(**row) for row in rows}
        if len(by_number) < len(rows) or len({row.key for row in by_number.values()}) < len(rows):
            raise BundleError("it has a run twice")
        return by_number

    def rows(self, run: int, name: str) -> int:
        """How many rows a run has in a table; none of them is read."""
        counted = self._read(f"SELECT count(*) AS rows FROM bundle.main.{name} WHERE run = ?", run)  # noqa: S608
        return int(counted["rows"][0].as_py())

    def refuse_others(self, runs: Collection[int]) -> None:
        """Refuse rows of other runs than these."""
        for name in SORTED_BY:
            query = f"SELECT count(*) AS rows FROM bundle.main.{name} WHERE NOT list_contains(?, run) OR run IS NULL"  # noqa: S608
            if self._read(query, list(runs))["rows"][0].as_py():
                raise BundleError(f"its table {name!r} has rows of a run that is not there")

    def table(self, run: int, name: str) -> pa.Table:
        """The rows of a run's table, in the order in which the cache keeps them."""
        query = f"SELECT * EXCLUDE run FROM bundle.main.{name} WHERE run = ? ORDER BY {SORTED_BY[name]}"  # noqa: S608
        return self._read(query, run)

    def comparisons(self) -> list[tuple[int, str, int, str]]:
        """Both sides, run and part, of every overlap curve."""
        if self._count("overlap_curves") > MOST_CURVE_ROWS:
            raise BundleError(f"its overlap curves have more than {MOST_CURVE_ROWS:,} rows")
        query = "SELECT DISTINCT run_a, part_a, run_b, part_b FROM bundle.main.overlap_curves ORDER BY ALL"
        comparisons = [tuple(row.values()) for row in self._read(query, most=MOST_RECORD_BYTES).to_pylist()]
        if len(comparisons) > MOST_CURVES:
            raise BundleError(f"it has {len(comparisons):,} overlap curves; {MOST_CURVES:,} are the most")
        if any(value is None for sides in comparisons for value in sides):
            raise BundleError("an overlap curve in it lacks a value")
        return comparisons

    def curve(self, run_a: int, part_a: str, run_b: int, part_b: str) -> pa.Table:
        """`k`, `shared` of a comparison."""
        query = (
            "SELECT k, shared FROM bundle.main.overlap_curves "
            "WHERE run_a = ? AND part_a = ? AND run_b = ? AND part_b = ? ORDER BY k"
        )
        return self._read(query, run_a, part_a, run_b, part_b)

    def _count(self, name: str) -> int:
        counted = self._read(f"SELECT count(*) AS rows FROM bundle.main.{name}")  # noqa: S608
        return int(counted["rows"][0].as_py())

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
        except (duckdb.OutOfMemoryException, MemoryError) as error:
            raise BundleError("reading it takes more memory than there is") from error
        except (duckdb.Error, pa.ArrowException) as error:
            raise BundleError(f"it cannot be read ({_reason(error)})") from error
        return pa.Table.from_batches(batches, reader.schema)


@contextmanager
def opened(path: Path, scratch: Path) -> Iterator[BundleFile]:
    """A bundle, to be read; what does not fit in memory is written to the folder `scratch` meanwhile.

    Raises:
        BundleError: there is no such file, it is no database, or it holds something else than a bundle does.
    """
    size = _size(path)
    with duckdb.connect(":memory:", config={**SETTINGS, "temp_directory": str(scratch)}) as db:
        try:
            db.execute("ATTACH ? AS bundle (READ_ONLY)", [str(path.resolve())])
            db.execute("SET enable_external_access = false")
            db.execute("SET lock_configuration = true")
            _refuse_what_is_no_table(db)
            columns = _columns(db, "bundle")
            _refuse_what_unfolds(db, columns, size)
            _refuse_other_columns(columns, lambda: _migrations(db))
        except (duckdb.Error, MemoryError) as error:
            raise BundleError(f"it is not a database that this program can read ({_reason(error, path)})") from error
        yield BundleFile(db)


def _size(path: Path) -> int:
    """Bytes of a file; a folder, a pipe or a device is none."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise BundleError("there is no such file") from error
    except OSError as error:
        raise BundleError(f"it cannot be reached: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise BundleError("it is not a file")
    return status.st_size


@cache
def layout() -> frozenset[Column]:
    """The columns of a bundle: those of the cache's own tables, and the header."""
    with duckdb.connect(":memory:") as db:
        migrate(db)
        own = {"runs", "overlap_curves", *SORTED_BY}
        searched = {("runs", name) for name in SPEC_COLUMNS}
        columns = {column for column in _columns(db, "memory") if column[0] in own and column[:2] not in searched}
        return frozenset(HEADER) | columns


def _columns(db: DuckDBPyConnection, database: str) -> set[Column]:
    query = """
        SELECT table_name, column_name, data_type FROM duckdb_columns()
        WHERE database_name = ? AND NOT internal"""
    return {(table, column, kind) for table, column, kind in db.execute(query, [database]).fetchall()}


def _migrations(db: DuckDBPyConnection) -> set[str]:
    names = db.execute("SELECT unnest(migrations) FROM bundle.main.bundle LIMIT 1000").fetchall()
    return {str(name) for (name,) in names}


def _refuse_what_is_no_table(db: DuckDBPyConnection) -> None:
    for what, function in (
        ("view", "duckdb_views"),
        ("macro", "duckdb_functions"),
        ("type", "duckdb_types"),
        ("schema", "duckdb_schemas"),
    ):
        name = {"duckdb_functions": "function_name"}.get(function, f"{what}_name")
        query = f"SELECT {name} FROM {function}() WHERE database_name = 'bundle' AND NOT internal"  # noqa: S608
        names = db.execute(query).fetchall()
        if names:
            raise BundleError(f"it has a {what} {names[0][0]!r}; a bundle has only tables")
    computed = "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'bundle' AND column_default"
    for table, column in db.execute(f"{computed} IS NOT NULL").fetchall():
        raise BundleError(f"the column {column!r} of its table {table!r} is computed when it is read")


def _refuse_what_unfolds(db: DuckDBPyConnection, columns: set[Column], size: int) -> None:
    """Refuse what would take far more memory than its file has bytes, by what its directory says."""
    ours = {table for table, _, _ in layout()}
    widths = {(table, column): WIDTHS.get(kind.removesuffix("[]"), 0) for table, column, kind in columns}
    total = 0
    for table in ours & {table for table, _, _ in columns}:
        query = """
            SELECT column_name, sum(count), coalesce(sum(CAST(stats.total_string_length AS BIGINT)), 0)
            FROM pragma_storage_info(?) WHERE segment_type <> 'VALIDITY' GROUP BY column_name"""
        for column, values, characters in db.execute(query, [f"bundle.main.{table}"]).fetchall():
            total += int(values) * widths[table, column] + int(characters)
    if total > max(ALWAYS, UNFOLDS * size):
        raise BundleError(f"its {size / 2**20:,.1f} MiB would unfold to {total / 2**20:,.0f} MiB, as no bundle does")


def _reason(error: Exception, path: Path | None = None) -> str:
    """The first line of DuckDB's own words. An upload lies in a folder that tells its sender nothing."""
    message = str(error) if path is None else str(error).replace(str(path.resolve()), path.name)
    return message.partition("\n")[0].rstrip(".")[:LONGEST_REASON]


def _refuse_other_columns(there: set[Column], migrations: Callable[[], set[str]]) -> None:
    if not there >= HEADER:
        raise BundleError("it is not a bundle: it has no table `bundle` with a header")
    done, known = migrations(), {migration.__name__ for migration in MIGRATIONS} - set(NOT_IN_BUNDLES)
    if done - known:
        newer = ", ".join(sorted(done - known))
        raise BundleError(f"a later version of this program made it (it has {newer}). Update the program")
    if known - done:
        older = ", ".join(sorted(known - done))
        raise BundleError(
            f"an earlier version of this program made it (it lacks {older}). Make it again with this version"
        )
    for table, column, kind in sorted(layout() ^ there):
        if (table, column, kind) in there:
            raise BundleError(f"its table {table!r} has a column {column!r} of type {kind}, which a bundle has not")
        raise BundleError(f"it lacks the column {column!r} of type {kind} in the table {table!r}")
