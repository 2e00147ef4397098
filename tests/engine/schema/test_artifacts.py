"""Every column lies in exactly one kind of artifact, but for those that number the rows of a shared table."""

from __future__ import annotations

from collections import Counter

import pytest

from engine.schema.artifacts import (
    ALL_KINDS,
    KIND_TITLES,
    KINDS,
    PART,
    columns_in,
    kinds_of,
    kinds_with,
    row_numbers,
    tables_in,
)
from engine.schema.tables import TABLES

SHARED = {"neurons": ("circuit", "activity", "weights"), "heads": ("activity", "weights")}


@pytest.mark.parametrize("name", TABLES)
def test_every_column_is_held_once(name: str) -> None:
    table = TABLES[name]
    assert kinds_of(name) == SHARED.get(name, (table.artifact,))
    held = Counter(column.name for kind in KINDS for column in columns_in(kind, name))
    numbers = row_numbers(table) if name in SHARED else ()
    assert held == {column.name: len(kinds_of(name)) if column.name in numbers else 1 for column in table.columns}
    for kind in KINDS:
        assert (name in tables_in(kind)) == (kind in kinds_of(name))
        names = [column.name for column in columns_in(kind, name)]
        assert names == [column.name for column in table.columns if column.name in names]  # in the table's order


def test_only_the_artifacts_that_are_needed_are_read() -> None:
    assert kinds_with("neurons", ()) == ("circuit", "activity", "weights")
    assert kinds_with("neurons", ("layer", "promoted")) == ("weights",)
    assert kinds_with("neurons", ("neuron", "attribution", "mean")) == ("circuit", "activity")
    assert kinds_with("neurons", ("layer",)) == ("circuit",)
    assert kinds_with("heads", ("node",)) == ("activity",)
    assert kinds_with("edges", ("edge",)) == ("circuit",)


def test_shared_tables_are_told_apart_by_columns_that_number_their_rows() -> None:
    assert row_numbers(TABLES["neurons"]) == ("layer", "neuron") and row_numbers(TABLES["heads"]) == ("node",)
    assert set(KIND_TITLES) == {*ALL_KINDS, PART}
