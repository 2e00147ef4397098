"""Files of earlier versions are told apart from everything else, and read run by run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cache.earlier_layout import MIGRATIONS, OF_RUNS, opened_earlier
from cache.sandbox import Refused
from engine.runs.lifecycle import ignore
from engine.runs.spec import RunSpec
from engine.schema import tables as schema
from tests import earlier_versions
from tests.cache.samples import changed_copy
from tests.earlier_versions import Earlier, write_bundle, write_cache
from tests.fakes import tiny_run

TABLES = tiny_run(RunSpec(n=4), ignore)
A, B = (Earlier(key, {"n": 4}, {"n_layers": 2}, {"made": "with"}, TABLES) for key in ("a", "b"))
MANY = """
    INSERT INTO runs (id, key, spec, meta, created, seconds)
    SELECT i, i::VARCHAR, '', '', '', 0 FROM range(5, 10100) r(i)"""
OLD = Earlier("old", {}, {}, None, TABLES)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("earlier") / "circuits.duckdb"
    write_cache(file, [A, OLD])
    return file


@pytest.fixture
def changed(cache: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the cache in which some statements were run."""

    return partial(changed_copy, cache, tmp_path / "changed.duckdb")


def test_a_cache_is_read_run_by_run(cache: Path, tmp_path: Path) -> None:
    with opened_earlier(cache, tmp_path) as file:
        assert file.header is None
        first, second = file.runs()
        assert (first.number, first.key, first.spec, first.meta) == (1, "a", '{"n": 4}', '{"n_layers": 2}')
        assert (first.seconds, first.made_with, second.made_with) == (7.5, '{"made": "with"}', None)
        examples = TABLES.tables["examples"]
        assert file.rows(1, "examples", examples.column_names).equals(examples)
        for name, table in TABLES.tables.items():
            assert file.count(2, name) == table.num_rows
        assert file.unfolded > 0


@pytest.mark.parametrize("last", [6, 7, 8])
def test_a_bundle_has_a_header(tmp_path: Path, last: int) -> None:
    write_bundle(tmp_path / "b.duckdb", "said before", [A, B], MIGRATIONS[:last])
    with opened_earlier(tmp_path / "b.duckdb", tmp_path) as file:
        assert file.header == "said before"
        assert [run.key for run in file.runs()] == ["a", "b"]


@pytest.mark.parametrize("last", [6, 7, 8, 9])
def test_a_cache_before_the_last_changes_of_layout_is_read(tmp_path: Path, last: int) -> None:
    write_cache(tmp_path / "c.duckdb", [A], MIGRATIONS[:last])
    with opened_earlier(tmp_path / "c.duckdb", tmp_path) as file:
        assert [run.key for run in file.runs()] == ["a"]


def test_a_version_before_runs_said_what_made_them_is_named(tmp_path: Path) -> None:
    write_cache(tmp_path / "c.duckdb", [A], MIGRATIONS[:5])
    why = "its last change of layout is m005_what_components_do; m006_where_runs_come_from is needed"
    with pytest.raises(Refused, match=why), opened_earlier(tmp_path / "c.duckdb", tmp_path):
        pass


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("INSERT INTO migrations VALUES ('m999_future', '')", "later version.*m999_future.*Update the program"),
        ("DROP TABLE migrations", "the database of another program"),
        ("ALTER TABLE migrations ADD COLUMN more INTEGER", "the database of another program"),
        ("CREATE TABLE more (a INTEGER)", "'more' has a column 'a' of type INTEGER"),
        ("ALTER TABLE heads DROP COLUMN copying", "lacks the column 'copying' of type FLOAT in the table 'heads'"),
        ("ALTER TABLE runs DROP COLUMN task", "lacks the column 'task' of type VARCHAR in the table 'runs'"),
        ("CREATE VIEW more AS SELECT 1", "a view 'more'"),
    ],
)
def test_another_layout_is_refused(changed: Callable[..., Path], tmp_path: Path, statement: str, why: str) -> None:
    with pytest.raises(Refused, match=why), opened_earlier(changed(statement), tmp_path):
        pass


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE runs SET id = 1", "a run twice"),
        ("ALTER TABLE runs ALTER COLUMN spec DROP NOT NULL; UPDATE runs SET spec = NULL", "lacks a value"),
        ("UPDATE heads SET run = 77 WHERE node = 1", "'heads' has rows of a run that is not there"),
        (MANY, "10,000 are the most"),
    ],
)
def test_a_list_of_runs_that_cannot_be_is_refused(
    changed: Callable[..., Path], tmp_path: Path, statement: str, why: str
) -> None:
    with opened_earlier(changed(statement), tmp_path) as file, pytest.raises(Refused, match=why):
        file.runs()


def test_the_columns_are_those_that_these_versions_wrote() -> None:
    assert MIGRATIONS == earlier_versions.MIGRATIONS
    assert set(OF_RUNS) == set(earlier_versions.TABLES) == set(schema.TABLES)  # there was no evidence then
