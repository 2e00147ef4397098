"""Downloads: what a table's file holds and is called."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pyarrow as pa
import pytest
import streamlit as st

from engine.runs import lifecycle
from engine.runs.spec import RunSpec
from pages.shared import downloads
from pages.shared.provenance import Origin, origin

ROWS = [{"token": "=1+1", "logit": 0.5}, {"token": "the", "logit": None}]


@pytest.fixture
def source(seeded: None) -> Origin:
    arm = lifecycle.find(RunSpec(task="ioi", model="arm"))
    assert arm
    return origin([arm], 20)


@pytest.mark.parametrize("rows", [ROWS, pa.Table.from_pylist(ROWS)])
def test_every_row_says_where_it_comes_from_and_holds_no_formula(rows: pa.Table, source: Origin) -> None:
    written = list(csv.DictReader(io.StringIO(downloads.table_csv(rows, source, {"example": 3}).decode())))
    assert [(row["token"], row["logit"], row["example"]) for row in written] == [
        ("'=1+1", "0.5", "3"),
        ("the", "", "3"),
    ]
    for row in written:
        assert {name: row[name] for name in source.columns} == {n: str(v) for n, v in source.columns.items()}


def test_a_tables_file_is_made_at_the_click(source: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    offered: dict[str, Callable[[], bytes]] = {}
    made: list[int] = []

    def button(label: str, data: Callable[[], bytes], file_name: str, mime: str, key: str, **_: object) -> None:
        offered[f"{label} {file_name} {mime} {key}"] = data

    def rows() -> list[dict[str, object]]:
        made.append(1)
        return ROWS

    monkeypatch.setattr(st, "download_button", button)
    downloads.table_button("Norms", rows, source, "norms")
    ((name, data),) = offered.items()
    assert name == f"Norms {source.stem('norms')}.csv text/csv download norms"
    assert not made
    assert data() == downloads.table_csv(ROWS, source)


def test_a_table_without_rows_is_a_file(source: Origin) -> None:
    assert downloads.table_csv([], source)
