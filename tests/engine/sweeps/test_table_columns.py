"""Columns of a sweep's table: their documentation, their bounds as a reader sees them."""

from __future__ import annotations

from engine.sweeps.table_columns import COLUMNS, NAMES, Column, schema
from tests.sources import ROOT

DOCUMENT = ROOT / "docs" / "cluster.md"


def documented() -> list[list[str]]:
    """The cells of the table in the section "The table"."""
    section = DOCUMENT.read_text(encoding="utf-8").partition("## The table\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_every_column_is_documented_as_it_is() -> None:
    assert documented() == [[c.name, c.type, c.unit, c.bounds, c.meaning] for c in COLUMNS]


def test_names_are_there_once_and_in_the_order_of_the_table() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert tuple(schema().names) == NAMES


def test_bounds_are_written_as_far_as_there_are_any() -> None:
    assert Column("a", "double", "", "", 0, 1).bounds == "0 to 1"
    assert Column("a", "int64", "", "", 1).bounds == "from 1 on"
    assert Column("a", "double", "", "").bounds == ""
