"""The documentation of the tables is that of the schema."""

from __future__ import annotations

from engine.schema.tables import ALL_TABLES
from tools import table_docs


def test_the_file_is_current() -> None:
    assert table_docs.FILE.read_text() == table_docs.text(), "run: python -m tools.table_docs"


def test_every_column_has_a_line_with_its_type() -> None:
    lines = table_docs.text().splitlines()
    for table in ALL_TABLES.values():
        rows = lines[lines.index(f"## {table.name}") :][6 : 6 + len(table.columns)]
        assert [row.split(" | ")[0] for row in rows] == [f"| {column.name}" for column in table.columns]
    assert "| pattern | list<uint8> | 1/255 | rounded attention, query x key |" in lines
