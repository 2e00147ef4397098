"""Files of a sweep's table: by their ending, whole or not at all, never over another file, no formulas in CSV."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from engine.errors import UserError
from engine.sweeps.table import as_table
from engine.sweeps.table_columns import COLUMNS, NAMES
from engine.sweeps.table_file import refuse_file, write

FORMULA = '=HYPERLINK("http://x")'


def table(remark: str = FORMULA) -> pa.Table:
    values = {"string": "text", "int64": 3, "double": 0.25, "bool": True}
    return as_table([{**{column.name: values[column.type] for column in COLUMNS}, "step": None, "remarks": remark}])


def test_parquet_keeps_types_meanings_and_texts(tmp_path: Path) -> None:
    write(tmp_path / "table.parquet", table())
    read = pyarrow.parquet.read_table(tmp_path / "table.parquet")
    assert read.equals(table())
    assert read.schema.field("overlap").metadata[b"unit"] == b"Jaccard"


def test_csv_has_no_formulas(tmp_path: Path) -> None:
    write(tmp_path / "table.CSV", table())
    (row,) = csv.DictReader((tmp_path / "table.CSV").read_text().splitlines())
    assert tuple(row) == NAMES
    assert row["remarks"] == "'" + FORMULA
    assert (row["step"], row["k"], row["overlap"]) == ("", "3", "0.25")


@pytest.mark.parametrize("name", ["table", "table.json", "table.parquet.gz", "parquet"])
def test_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"its name must end in \.parquet or \.csv"):
        write(tmp_path / name, table())
    assert not any(tmp_path.iterdir())


def test_nothing_is_written_over_a_file_or_into_no_folder(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        write(tmp_path / "table.csv", table())
    assert (tmp_path / "table.csv").read_text() == "mine"
    with pytest.raises(UserError, match="there is no folder"):
        refuse_file(tmp_path / "none" / "table.csv")
