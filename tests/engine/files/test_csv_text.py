"""No CSV file of ours holds a cell that a spreadsheet calculates, and ours come back as they were."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.files.csv_text import as_written, csv_of, csv_of_table, harmless, write_csv

ROOT = Path(__file__).parents[3]
FORMULAS = [
    '=cmd|"/c calc"!A1', "=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", "＋1", "－1", "＠x",  # noqa: RUF001
    "'=1", "''=1", "-5", "=HYPERLINK(1)",
]  # fmt: skip
PLAIN = ["", " ", "a", " =1", "1", "a=1", "'", "'a", "''", "=", "-", "+", "👩‍🔬", "\u202e=1"]


@pytest.mark.parametrize("cell", FORMULAS)
def test_a_formula_begins_with_an_apostrophe(cell: str) -> None:
    assert harmless(cell) == f"'{cell}" and as_written(harmless(cell)) == cell


@pytest.mark.parametrize("cell", PLAIN)
def test_other_text_stays_as_it_is(cell: str) -> None:
    assert harmless(cell) == cell == as_written(cell)


@given(st.text(st.sampled_from("'=+-@\t\r\n aé＝"), max_size=6))  # noqa: RUF001
def test_any_text_comes_back(cell: str) -> None:
    written = harmless(cell)
    assert as_written(written) == cell
    assert not re.match(r"[=+\-@\t\r\n＝＋－＠].", written, re.DOTALL)  # noqa: RUF001


def rows_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def test_rows_and_tables_are_written_alike() -> None:
    values = [*FORMULAS, *PLAIN]
    columns = {"=n": list(range(len(values))), "score": [-0.5] * len(values), "text": values}
    table = pa.table(
        {**columns, "again": pa.array(values).dictionary_encode(), "large": pa.array(values, pa.large_string())}
    )
    written = rows_of(csv_of_table(table))
    assert written[0] == ["'=n", "score", "text", "again", "large"]
    assert [row[:3] for row in written[1:]] == [
        row[:3] for row in rows_of(csv_of(["=n"], zip(*columns.values(), strict=True)))[1:]
    ]
    for row, value in zip(written[1:], values, strict=True):
        assert row[1] == "-0.5" and {as_written(cell) for cell in row[2:]} == {value} and row[2] == harmless(value)


def test_nothing_missing_becomes_a_text() -> None:
    assert csv_of_table(pa.table({"a": pa.array([None, "=1+1"], pa.string())})) == b'"a"\n\n"\'=1+1"\n'


def test_every_csv_file_is_written_by_this_module() -> None:
    writers = re.compile(r"csv\.writer|DictWriter|pyarrow\.csv|\.to_csv\(")
    files = [file for folder in ("engine", "pages", "cache") for file in (ROOT / folder).rglob("*.py")]
    writing = {file.relative_to(ROOT).as_posix() for file in files if writers.search(file.read_text())}
    assert writing == {"engine/files/csv_text.py"}


def test_blocks_of_a_table_are_the_table() -> None:
    table = pa.table({"=n": list(range(7)), "text": ["=1", None, '"', ",", "\n", "", "é"]})
    for size in (1, 3, 7):
        out = io.BytesIO()
        write_csv([table.slice(start, size) for start in range(0, 7, size)], out)
        assert out.getvalue() == csv_of_table(table)
    out = io.BytesIO()
    write_csv([table.slice(0, 0)], out)
    assert out.getvalue() == b'"\'=n","text"\n'
