"""Write one artifact as a DuckDB file of its own: tables of the caller's and the record of the artifact.

The file is written under a temporary name and renamed by whoever asked for it (cache/folder.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cache.layout import SORTED_BY, Record

if TYPE_CHECKING:
    import pyarrow as pa

SMALL = 2**24  # bytes in memory; below it, small blocks make the file a tenth as large
SMALL_BLOCKS, LARGE_BLOCKS = 16_384, 262_144  # bytes
RECORD = "artifact"  # the table that holds the record


def write_file(path: Path, record: Record, tables: Mapping[str, pa.Table]) -> None:
    """Write an artifact to a new file. The rows of its tables are sorted as SORTED_BY says.

    Raises:
        duckdb.Error, OSError: it cannot be written. What was written so far is the caller's to remove.
        KeyError: there is no such table.
    """
    with writing(path, record, sum(table.nbytes for table in tables.values())) as add:
        for name, table in tables.items():
            add(name, table)


@contextmanager
def writing(path: Path, record: Record, size: int) -> Iterator[Callable[[str, pa.Table], None]]:
    """Write an artifact table by table, each with the function that is given; `size`: bytes of all in memory, about.

    Raises like `write_file`.
    """
    import duckdb

    block = SMALL_BLOCKS if size < SMALL else LARGE_BLOCKS
    with duckdb.connect(":memory:", config={"temp_directory": str(path.with_suffix(".sorting"))}) as db:
        db.execute(f"ATTACH ? AS artifact (BLOCK_SIZE {block})", [str(path)])
        db.begin()  # one transaction: each would wait for the disk
        db.execute(f"CREATE TABLE artifact.main.{RECORD} (record VARCHAR NOT NULL)")
        db.execute(f"INSERT INTO artifact.main.{RECORD} VALUES (?)", [record.as_written_inside()])  # noqa: S608

        def add(name: str, table: pa.Table) -> None:
            db.register("incoming", table)
            order = SORTED_BY[name]
            db.execute(f"CREATE TABLE artifact.main.{name} AS SELECT * FROM incoming ORDER BY {order}")  # noqa: S608
            db.unregister("incoming")

        yield add
        db.commit()
        db.execute("DETACH artifact")  # writes everything and leaves no log beside it
