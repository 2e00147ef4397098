"""The file of a sweep's table: Parquet or CSV, by the ending of its name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import UserError
from engine.files.csv_text import csv_of_table
from engine.files.writing import refuse_existing, write_new

if TYPE_CHECKING:
    import pyarrow as pa


def parquet_of(table: pa.Table) -> bytes:
    """A table as a Parquet file; meanings of columns come along as metadata of its fields."""
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out)
    return out.getvalue()


FORMATS = {".parquet": parquet_of, ".csv": csv_of_table}  # texts in CSV are no formulas


def refuse_file(path: Path) -> None:
    """Refuse a place for a table before anything is read for it.

    Raises:
        UserError: its name ends in another way, something is there already, or there is no such folder.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"The table cannot be written to {path}: its name must end in {' or '.join(FORMATS)}.")
    refuse_existing(path)


def write(path: Path, table: pa.Table) -> None:
    """Write a table whole or not at all. Raises like `refuse_file`, and where it cannot be written."""
    refuse_file(path)
    write_new(path, FORMATS[path.suffix.lower()](table))
