"""The schema is that of a new database, and of what a run really computes."""

from __future__ import annotations

import duckdb
import pytest

from cache import migrations
from cache.layout import SORTED_BY
from engine.schema.columns import Column
from engine.schema.tables import NULLABLE, TABLES
from engine.schema.vocabulary import BINS, COMMON_PARTS, REGIONS, SAMPLERS

STORED = {
    "bool": "BOOLEAN",
    "uint8": "UTINYINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float32": "FLOAT",
    "text": "VARCHAR",
    "part": "VARCHAR",
}
OF_RUNS = {"runs", "overlap_curves", "migrations"}  # tables of the database that are no run's


def stored_type(column: Column) -> str:
    return STORED[column.type] + ("[]" if column.items else "")


def columns_of(table: str) -> list[tuple[str, str, bool]]:
    """Name, type and whether a value may be missing, of the columns of a table of a new database."""
    db = duckdb.connect()
    migrations.migrate(db)
    rows = db.execute(
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = ? "
        "ORDER BY ordinal_position",
        [table],
    )
    return [(name, kind, nullable == "YES") for name, kind, nullable in rows.fetchall()]


@pytest.mark.parametrize("name", TABLES)
def test_a_new_database_has_the_columns_of_the_schema(name: str) -> None:
    columns = [(column.name, stored_type(column), column.nullable) for column in TABLES[name].columns]
    assert columns_of(name) == [("run", "INTEGER", False), *columns]


def test_the_cache_keeps_every_table_sorted() -> None:
    assert SORTED_BY.keys() == TABLES.keys()


def test_a_new_database_has_no_other_tables_of_runs() -> None:
    db = duckdb.connect()
    migrations.migrate(db)
    assert {name for (name,) in db.execute("SELECT table_name FROM duckdb_tables()").fetchall()} == OF_RUNS | set(
        TABLES
    )


@pytest.mark.parametrize("name", TABLES)
def test_what_a_table_says_of_its_columns_names_columns(name: str) -> None:
    table = TABLES[name]
    columns = {column.name: column for column in table.columns}
    assert len(columns) == len(table.columns)
    assert {column for column, _ in table.numbered} <= columns.keys()
    assert all(columns[column].items for lists in table.alike for column in lists)
    assert all(column.type in ("text", "part") for column in table.columns if column.one_of)
    assert table.row.endswith(".")
    if table.order.replace(", ", "").replace("_", "").islower() and "absolute" not in table.order:
        assert set(table.order.split(", ")) <= columns.keys()


def test_what_may_be_missing_is_what_no_number_can_say() -> None:
    cosines = {("neurons", name) for name in ("cos_in", "cos_gate", "cos_out")}
    assert {("activation_histograms", "kurtosis"), ("heads", "copying"), *cosines} == NULLABLE


def test_closed_lists_of_texts_are_those_of_the_vocabulary() -> None:
    closed = {(t.name, c.name): c.one_of for t in TABLES.values() for c in t.columns if c.one_of}
    assert closed == {
        ("edges", "part"): COMMON_PARTS,
        ("activation_histograms", "region"): REGIONS,
        ("trajectories", "sampler"): SAMPLERS,
    }
    histograms = [c.items for t in TABLES.values() for c in t.columns if c.name == "counts"]
    assert histograms == [(BINS, BINS)] * 2
