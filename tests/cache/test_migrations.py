"""Migrations: applied once, in order, recorded, and each whole or not at all."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from cache import migrations
from cache.layout import SPEC_COLUMNS
from cache.opening import StoreError
from cache.store import Store
from engine.schema.tables import NULLABLE


def test_every_migration_is_recorded_once() -> None:
    db = duckdb.connect()
    migrations.migrate(db)
    migrations.migrate(db)
    names = [migration.__name__ for migration in migrations.MIGRATIONS]
    assert migrations.applied(db) == names == sorted(names)


def test_an_older_database_gets_only_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    db = duckdb.connect()
    every = migrations.MIGRATIONS
    monkeypatch.setattr(migrations, "MIGRATIONS", every[:1])
    migrations.migrate(db)
    db.execute("INSERT INTO runs VALUES (1, 'k', '{}', '{}', 'now', 1)")
    monkeypatch.setattr(migrations, "MIGRATIONS", every)
    migrations.migrate(db)
    assert db.execute("SELECT key FROM runs").fetchall() == [("k",)]
    assert db.execute("SELECT count(*) FROM edges").fetchall() == [(0,)]


def test_specs_become_columns_with_the_values_of_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    db = duckdb.connect()
    every = migrations.MIGRATIONS
    monkeypatch.setattr(migrations, "MIGRATIONS", every[:8])
    migrations.migrate(db)
    spec = '{"task": "sudoku", "n": 7, "seed": 9007199254740991}'
    db.execute("INSERT INTO runs (id, key, spec, meta, created, seconds) VALUES (1, 'k', ?, '{}', 'now', 1)", [spec])
    monkeypatch.setattr(migrations, "MIGRATIONS", every)
    migrations.migrate(db)
    columns = ", ".join(f'"{name}"' for name in SPEC_COLUMNS)
    (values,) = db.execute(f"SELECT {columns} FROM runs").fetchall()  # noqa: S608
    assert values == (
        "embedded", "mdm", "sudoku", 7, 9007199254740991, "eap-ig", 5, "logit_diff", "confidence", "float32",
    )  # fmt: skip
    assert tuple(migrations.SPEC_FIELDS) == SPEC_COLUMNS
    assert db.execute("SELECT key, spec FROM runs").fetchall() == [("k", spec)]


@pytest.mark.parametrize("spec", ["{bad", "[]", "null", '{"n": "x"}', '{"n": 99999999999}'])
def test_a_spec_that_cannot_be_read_keeps_no_cache_from_opening(monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    db = duckdb.connect()
    every = migrations.MIGRATIONS
    monkeypatch.setattr(migrations, "MIGRATIONS", every[:8])
    migrations.migrate(db)
    db.execute("INSERT INTO runs (id, key, spec, meta, created, seconds) VALUES (1, 'k', ?, '{}', 'now', 1)", [spec])
    monkeypatch.setattr(migrations, "MIGRATIONS", every)
    migrations.migrate(db)
    assert db.execute("SELECT spec, n FROM runs").fetchall() == [(spec, None)]


def test_what_may_be_missing_can_be_stored_and_nothing_else_in_those_tables() -> None:
    """The columns that a bundle's checks and the engine's know as such; of rows from before, too."""
    db = duckdb.connect()
    migrations.migrate(db)
    nullable = db.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE is_nullable = 'YES' "
        "AND data_type LIKE 'FLOAT%'"
    ).fetchall()
    assert set(nullable) == NULLABLE


def test_a_failing_migration_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def m900_broken(db: duckdb.DuckDBPyConnection) -> None:
        db.execute("CREATE TABLE half (x INTEGER)")
        raise RuntimeError("power cut")

    db = duckdb.connect()
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, m900_broken))
    with pytest.raises(RuntimeError):
        migrations.migrate(db)
    assert "m900_broken" not in migrations.applied(db)
    with pytest.raises(duckdb.CatalogException):
        db.execute("FROM half")


def test_a_database_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.duckdb"
    Store(path).close()
    with duckdb.connect(str(path)) as db:
        db.execute("INSERT INTO migrations VALUES ('m999_future', 'later')")
    with pytest.raises(StoreError, match=r"later version.*m999_future"):
        Store(path)
    assert [file.name for file in tmp_path.iterdir()] == ["c.duckdb"]
