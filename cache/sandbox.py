"""Read a DuckDB file that may come from anybody, as data: an artifact of a bundle, or an earlier version's database.

1. The file is attached, to be read only, to a database in memory: a macro or a view in it cannot take the place of
   anything that is called here.
2. From then on this database opens no other file, loads no extension and changes no setting. What it can't hold in
   memory it writes to a folder of the caller's.
3. The file may hold plain tables, and nothing else: no views, no macros, no columns that are computed when they are
   read. Which tables and columns is for the caller to say (`refuse_other_columns`).
4. How many rows, list entries and characters it holds is read from its directory, before any of them is. A small file
   that would unfold into a huge one is given up there.
5. A table is read in batches, up to a bound, in case the directory is wrong.

What the values mean is for the caller to check.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cache.artifact_file import RECORD
from cache.soundness import reason_of

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

MOST_BYTES = 4 * 2**30  # of one table, unpacked
MOST_RECORD_BYTES = 2**27  # of a record, a header, a list of runs
MOST_TABLES = 100
UNFOLDS = 64  # times as large as its file the content is at most, unpacked; ours is less than ten times
ALWAYS = 2**26  # bytes, unpacked, that are let through whatever the file's size
BATCH = 20_000  # rows
LOG_BEGINS = b"d\x00be\x00"  # of every log of DuckDB: a record of its version
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "memory_limit": "2GB",
    "max_temp_directory_size": "32GB",
}
WIDTHS = {"BOOLEAN": 1, "UTINYINT": 1, "INTEGER": 4, "FLOAT": 4}  # bytes of a value; of every other type, 8
RECORD_COLUMNS = {RECORD: {"record": "VARCHAR"}}

Columns = Mapping[str, Mapping[str, str]]  # table -> column -> DuckDB's type


class Refused(Exception):
    """The file cannot be read, or holds what it should not; the message says why, for the person who has it."""


class ForeignFile:
    """An open file. `columns`: its tables. Every method raises Refused where the file does not hold what it should."""

    def __init__(self, db: DuckDBPyConnection, columns: Columns, unfolded: int) -> None:
        self._db, self.columns, self.unfolded = db, columns, unfolded  # unfolded: bytes, by its directory

    def refuse_other_columns(self, expected: Columns) -> None:
        """Refuse a file that has not exactly these tables, each with exactly these columns."""
        wanted, there = _flat(expected), _flat(self.columns)
        for table, column, kind in sorted(wanted ^ there):
            if (table, column, kind) in there:
                raise Refused(f"its table {table!r} has a column {column!r} of type {kind}, which should not be there")
            raise Refused(f"it lacks the column {column!r} of type {kind} in the table {table!r}")

    def record(self) -> str:
        """The text of an artifact's record."""
        if self.columns.get(RECORD) != RECORD_COLUMNS[RECORD]:
            raise Refused(f"it is not an artifact: it has no table {RECORD!r} with a record")
        return self.text(RECORD, "record")

    def text(self, table: str, column: str) -> str:
        """The one value of a table of one row."""
        if self.count(table) != 1:
            raise Refused(f"its table `{table}` does not have one row")
        (value,) = self.rows(table, [column], "1", most=MOST_RECORD_BYTES)[column].to_pylist()
        if value is None:
            raise Refused(f"its {column} lacks a value")
        return str(value)

    def count(self, table: str, where: str = "true", *values: object) -> int:
        """How many rows a table has; none of them is read."""
        query = f"SELECT count(*) AS rows FROM foreign_file.main.{table} WHERE {where}"  # noqa: S608
        return int(self.read(query, *values)["rows"][0].as_py())

    def rows(
        self, table: str, columns: Sequence[str], order: str, where: str = "true", *values: object, most: int = 0
    ) -> pa.Table:
        """Rows of a table; names and conditions are the program's own, values are parameters.

        `most`: bytes that they may take (0: MOST_BYTES).
        """
        wanted = ", ".join(f'"{column}"' for column in columns)
        query = f"SELECT {wanted} FROM foreign_file.main.{table} WHERE {where} ORDER BY {order}"  # noqa: S608
        return self.read(query, *values, most=most)

    def read(self, query: str, *values: object, most: int = 0) -> pa.Table:
        import duckdb
        import pyarrow as pa

        most = most or MOST_BYTES
        try:
            reader = self._db.sql(query, params=list(values)).to_arrow_reader(BATCH)
            batches, size = [], 0
            for batch in reader:
                size += batch.nbytes
                if size > most:
                    raise Refused(f"one of its tables is larger than {most:,} bytes")
                batches.append(batch)
        except (duckdb.OutOfMemoryException, MemoryError) as error:
            raise Refused("reading it takes more memory than there is") from error
        except (duckdb.Error, pa.ArrowException) as error:
            raise Refused(f"it cannot be read ({reason_of(error)})") from error
        return pa.Table.from_batches(batches, reader.schema)


@contextmanager
def opened(path: Path, scratch: Path) -> Iterator[ForeignFile]:
    """A file, to be read; what does not fit in memory is written to the folder `scratch` meanwhile.

    Raises:
        Refused: there is no such file, it is no database, or it holds something else than plain tables.
    """
    import duckdb

    size = size_of(path)
    _refuse_foreign_log(path)
    with duckdb.connect(":memory:", config={**SETTINGS, "temp_directory": str(scratch)}) as db:
        try:
            db.execute("ATTACH ? AS foreign_file (READ_ONLY)", [str(path.resolve())])
            db.execute("SET enable_external_access = false")
            db.execute("SET lock_configuration = true")
            _refuse_what_is_no_table(db)
            columns = _columns(db)
            unfolded = _unfolded(db, columns, size)
        except (duckdb.Error, MemoryError) as error:
            raise Refused(
                f"it is not a database that this program can read ({reason_of(error, hidden=path)})"
            ) from error
        yield ForeignFile(db, columns, unfolded)


def size_of(path: Path) -> int:
    """Bytes of a file; Refused where it is none: a folder, a pipe or a device."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise Refused("there is no such file") from error
    except OSError as error:
        raise Refused(f"it cannot be reached: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise Refused("it is not a file")
    return status.st_size


def _refuse_foreign_log(path: Path) -> None:
    """DuckDB passes over what is no log of its own in a log's place, and with it what was written last."""
    log = path.with_name(f"{path.name}.wal")
    try:
        with log.open("rb") as file:
            begins = file.read(len(LOG_BEGINS))
    except FileNotFoundError:
        return
    except OSError as error:
        raise Refused(f"the log {log.name} beside it cannot be read: {error.strerror}") from error
    if not LOG_BEGINS.startswith(begins):
        raise Refused(f"the log {log.name} beside it is damaged. Move it away to go on without it")


def _columns(db: DuckDBPyConnection) -> dict[str, dict[str, str]]:
    query = """
        SELECT table_name, column_name, data_type FROM duckdb_columns()
        WHERE database_name = 'foreign_file' AND NOT internal"""
    columns: dict[str, dict[str, str]] = {}
    for table, column, kind in db.execute(query).fetchall():
        columns.setdefault(table, {})[column] = kind
    if len(columns) > MOST_TABLES:
        raise Refused(f"it has {len(columns):,} tables; {MOST_TABLES} are the most")
    return columns


def _flat(columns: Columns) -> set[tuple[str, str, str]]:
    return {(table, column, kind) for table, kinds in columns.items() for column, kind in kinds.items()}


def _refuse_what_is_no_table(db: DuckDBPyConnection) -> None:
    for what, function in (
        ("view", "duckdb_views"),
        ("macro", "duckdb_functions"),
        ("type", "duckdb_types"),
        ("schema", "duckdb_schemas"),
    ):
        name = {"duckdb_functions": "function_name"}.get(function, f"{what}_name")
        query = f"SELECT {name} FROM {function}() WHERE database_name = 'foreign_file' AND NOT internal"  # noqa: S608
        names = db.execute(query).fetchall()
        if names:
            raise Refused(f"it has a {what} {names[0][0][:100]!r}; only tables are read")
    computed = """
        SELECT table_name, column_name FROM duckdb_columns()
        WHERE database_name = 'foreign_file' AND column_default IS NOT NULL"""
    for table, column in db.execute(computed).fetchall():
        raise Refused(f"the column {column[:100]!r} of its table {table[:100]!r} is computed when it is read")


def _unfolded(db: DuckDBPyConnection, columns: Columns, size: int) -> int:
    """Bytes that the content takes unpacked, by what the file's directory says; Refused where they are far too many."""
    total = 0
    for table, kinds in columns.items():
        query = """
            SELECT column_name, sum(count), coalesce(sum(CAST(stats.total_string_length AS BIGINT)), 0)
            FROM pragma_storage_info(?) WHERE segment_type <> 'VALIDITY' GROUP BY column_name"""
        quoted = table.replace('"', '""')
        for column, values, characters in db.execute(query, [f'foreign_file.main."{quoted}"']).fetchall():
            width = WIDTHS.get(kinds[column].removesuffix("[]"), 8)
            total += int(values) * width + int(characters)
    if total > max(ALWAYS, UNFOLDS * size):
        raise Refused(f"its {size / 2**20:,.1f} MiB would unfold to {total / 2**20:,.0f} MiB, as no bundle does")
    return total
