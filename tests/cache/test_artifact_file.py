"""The file of an artifact: small blocks where it is small, rows in their order, nothing left beside it."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from cache import artifact_file
from cache.artifact_file import write_file
from cache.layout import SORTED_BY, record_of
from tests.cache.samples import edges, record


def test_rows_lie_in_their_order(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).permutation(5000)
    write_file(tmp_path / "a.duckdb", record(1), {"edges": edges(1, 5000).take(rows)})
    assert [path.name for path in tmp_path.iterdir()] == ["a.duckdb"]
    with duckdb.connect(str(tmp_path / "a.duckdb"), read_only=True) as db:
        assert db.sql("SELECT * FROM edges").to_arrow_table().equals(edges(1, 5000))
        (text,) = db.execute("SELECT record FROM artifact").fetchone() or ("",)
    assert record_of(text) == record(1)


def test_where_an_artifact_came_from_is_not_inside_its_file(tmp_path: Path) -> None:
    write_file(tmp_path / "a.duckdb", record(1, imported="2026-02-02", size=7), {"edges": edges(1)})
    with duckdb.connect(str(tmp_path / "a.duckdb"), read_only=True) as db:
        (text,) = db.execute("SELECT record FROM artifact").fetchone() or ("",)
    assert record_of(text) == record(1)


def test_blocks_are_small_where_the_tables_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {"edges": edges(1, 1000)}
    write_file(tmp_path / "small", record(1), tables)
    monkeypatch.setattr(artifact_file, "SMALL", 100)
    write_file(tmp_path / "large", record(1), tables)
    assert (tmp_path / "small").stat().st_size < 2**17 < (tmp_path / "large").stat().st_size


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    write_file(tmp_path / "a", record(1), {"edges": edges(1).slice(0, 0)})
    with duckdb.connect(str(tmp_path / "a"), read_only=True) as db:
        assert db.table("edges").columns == ["part", "rank", "edge", "score"]


def test_only_known_tables_are_written(tmp_path: Path) -> None:
    assert "heads; DROP TABLE edges" not in SORTED_BY
    with pytest.raises(KeyError):
        write_file(tmp_path / "a", record(1), {"heads; DROP TABLE edges": pa.table({"node": [1]})})
