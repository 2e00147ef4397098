"""Text in CSV files that we write: a spreadsheet takes a cell that begins with "=" or its like for a formula.

Such a cell gets an apostrophe in front, which spreadsheets take for "this is text"; reading takes it off again. So
that nothing is lost, a cell that begins with apostrophes before such a sign gets one more.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import pyarrow as pa

# What spreadsheets calculate: a sign, its full-width form, or white space that some skip before one; then more.
_FORMULA = r"^'*[=+\-@\t\r\n＝＋－＠](?s:.)"  # noqa: RUF001
_formula = re.compile(_FORMULA)


def harmless(cell: str) -> str:
    """A cell that no spreadsheet calculates."""
    return f"'{cell}" if _formula.match(cell) else cell


def as_written(cell: str) -> str:
    """The cell of which `harmless` made this one."""
    return cell[1:] if cell.startswith("'") and _formula.match(cell) else cell


def csv_of(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV file (UTF-8) with every text harmless; numbers stay numbers."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    for row in (header, *rows):
        writer.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in row])
    return out.getvalue().encode()


def csv_of_table(table: pa.Table) -> bytes:
    """A table as a CSV file with every text harmless."""
    out = io.BytesIO()
    write_csv([table], out)
    return out.getvalue()


def write_csv(tables: Iterable[pa.Table], out: BinaryIO) -> None:
    """Tables of the same columns, at least one, below each other as a CSV file with every text harmless."""
    import pyarrow.csv

    blocks = map(_harmless_table, tables)
    first = next(blocks)
    with pyarrow.csv.CSVWriter(out, first.schema) as writer:
        for block in chain([first], blocks):
            writer.write_table(block)


def _harmless_table(table: pa.Table) -> pa.Table:
    import pyarrow as pa

    columns = [_harmless_column(column) for column in table.columns]
    return pa.table(columns, names=[harmless(name) for name in table.column_names])


def _harmless_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    quoted = pc.binary_join_element_wise(pa.scalar("'", column.type), column, pa.scalar("", column.type))
    return pc.if_else(pc.match_substring_regex(column, _FORMULA), quoted, column)
