"""Bundles as files: what is written is read back, and nothing else than plain tables of this layout is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from cache import bundle
from cache.bundle import BundleError, opened
from cache.layout import SORTED_BY, RunPart, RunRow
from cache.migrations import MIGRATIONS, NOT_IN_BUNDLES
from cache.opening import StoreError
from cache.store import Store
from engine.runs.lifecycle import ignore
from engine.runs.spec import RunSpec
from tests.fakes import tiny_run

TABLES = tiny_run(RunSpec(n=4), ignore).tables
GENERATED = """
    CREATE TABLE accuracy_steps (run INTEGER, steps INTEGER, correct INTEGER, total INTEGER GENERATED ALWAYS AS (7))"""
CURVE = pa.table({"k": pa.array([1, 2], pa.int32()), "shared": pa.array([0, 2], pa.int32())})


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the runs a and b of a cache that also holds c."""
    folder = tmp_path_factory.mktemp("bundle")
    store = Store(folder / "c.duckdb")
    for key in ("a", "b", "c"):
        store.add_run(row(key), TABLES)
    store.add_overlap(RunPart("a", "total"), RunPart("b", "half-a"), CURVE)
    store.add_overlap(RunPart("a", "total"), RunPart("c", "total"), CURVE)
    store.write_bundle(folder / "b.duckdb", "said before", ["a", "b"])
    store.close()
    return folder / "b.duckdb"


@pytest.fixture
def changed(sound: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the sound bundle in which some statements were run."""

    def change(*statements: str) -> Path:
        file = tmp_path / "changed.duckdb"
        file.write_bytes(sound.read_bytes())
        with duckdb.connect(str(file)) as db:
            for statement in statements:
                db.execute(statement)
        return file

    return change


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "other.duckdb")
    yield store
    store.close()


def row(key: str) -> RunRow:
    return RunRow(key, "{}", "{}", "2026-01-01T00:00:00+00:00", 1.5, '{"made": "with"}')


def test_what_is_written_is_read_back(sound: Path, tmp_path: Path) -> None:
    with opened(sound, tmp_path / "scratch") as file:
        assert file.header() == "said before"
        runs = file.runs()
        assert [entry.key for entry in runs.values()] == ["a", "b"]
        assert runs[1] == row("a")
        assert file.table(2, "examples").equals(TABLES["examples"])
        for name in SORTED_BY:
            assert file.table(1, name).num_rows == TABLES[name].num_rows
        assert file.comparisons() == [(1, "total", 2, "half-a")]
        assert file.curve(1, "total", 2, "half-a").equals(CURVE)
    assert [entry.name for entry in sound.parent.iterdir() if entry.name.startswith("b.")] == ["b.duckdb"]


def test_what_only_the_cache_keeps_is_not_in_a_bundle(sound: Path) -> None:
    """Bundles from before specs were columns can be read, and this program's by those of before."""
    with duckdb.connect(str(sound), read_only=True) as db:
        columns = [name for name, *_ in db.execute("DESCRIBE runs").fetchall()]
        (names,) = db.execute("SELECT unnest(migrations) FROM bundle").fetchnumpy().values()
    assert columns == ["id", "key", "spec", "meta", "created", "seconds", "made_with", "imported"]
    assert set(names.tolist()) == {migration.__name__ for migration in MIGRATIONS} - set(NOT_IN_BUNDLES)


def test_a_file_that_is_there_is_not_written_over(other: Store, sound: Path, tmp_path: Path) -> None:
    before = sound.read_bytes()
    with pytest.raises(StoreError, match="already"):
        other.write_bundle(sound, "", [])
    assert sound.read_bytes() == before
    with pytest.raises(StoreError, match="cannot be written"):
        other.write_bundle(tmp_path / "nowhere" / "b.duckdb", "", [])


@pytest.mark.parametrize(
    ("statements", "why"),
    [
        (["CREATE VIEW more AS SELECT 1"], "a view 'more'"),
        (["ALTER TABLE edges RENAME TO hidden", "CREATE VIEW edges AS FROM hidden"], "a view 'edges'"),
        (["CREATE MACRO duckdb_views() AS TABLE SELECT 1 AS view_name WHERE false"], "a macro 'duckdb_views'"),
        (["CREATE TYPE mood AS ENUM ('a')"], "a type 'mood'"),
        (["CREATE SCHEMA other"], "a schema 'other'"),
        (["CREATE TABLE more (a INTEGER)"], "'more' has a column 'a' of type INTEGER"),
        (["ALTER TABLE heads ADD COLUMN extra INTEGER"], "'heads' has a column 'extra'"),
        (["ALTER TABLE heads ALTER COLUMN node TYPE BIGINT"], "'heads' has a column 'node' of type BIGINT"),
        (["DROP TABLE heads"], "lacks the column 'copying' of type FLOAT in the table 'heads'"),
        (["DROP TABLE bundle"], "it is not a bundle"),
        (["DROP TABLE accuracy_steps", GENERATED], "'total' of its table 'accuracy_steps' is computed"),
        (["UPDATE bundle SET migrations = list_append(migrations, 'm999_future')"], "later version.*m999_future"),
        (["UPDATE bundle SET migrations = migrations[:1]"], "earlier version"),
    ],
)
def test_what_is_not_just_these_tables_is_refused(
    changed: Callable[..., Path], tmp_path: Path, statements: list[str], why: str
) -> None:
    with pytest.raises(BundleError, match=why), opened(changed(*statements), tmp_path / "scratch"):
        pass


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.duckdb"
    with pytest.raises(BundleError, match="no such file"), opened(file, tmp_path / "scratch"):
        pass
    for content in (b"", b"not a database " * 1000):
        file.write_bytes(content)
        with pytest.raises(BundleError, match="not a database"), opened(file, tmp_path / "scratch"):
            pass


def test_a_bundle_that_unfolds_is_given_up(
    changed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = "INSERT INTO accuracy_steps SELECT 1, 1, 1, 1 FROM range(3_000_000)"
    file = changed(many)
    assert file.stat().st_size < 10 * 2**20
    monkeypatch.setattr(bundle, "MOST_BYTES", 2**20)
    with (
        opened(file, tmp_path / "scratch") as opened_file,
        pytest.raises(BundleError, match="larger than 1,048,576 bytes"),
    ):
        opened_file.table(1, "accuracy_steps")


def test_a_header_that_unfolds_is_given_up(
    changed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = changed("UPDATE bundle SET header = repeat('x', 2_000_000)")
    monkeypatch.setattr(bundle, "MOST_RECORD_BYTES", 2**20)
    with (
        opened(file, tmp_path / "scratch") as opened_file,
        pytest.raises(BundleError, match="larger than 1,048,576 bytes"),
    ):
        opened_file.header()


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("INSERT INTO runs SELECT * FROM runs", "a run twice"),
        ("INSERT INTO runs SELECT id + 5, * EXCLUDE id FROM runs", "a run twice"),
        ("UPDATE runs SET spec = NULL", "lacks a value"),
        ("INSERT INTO runs SELECT i, i, '', '', '', 0, '', NULL FROM range(5, 10100) r(i)", "10,000 are the most"),
    ],
)
def test_a_list_of_runs_that_cannot_be_is_refused(
    changed: Callable[..., Path], tmp_path: Path, statement: str, why: str
) -> None:
    with opened(changed(statement), tmp_path / "scratch") as file, pytest.raises(BundleError, match=why):
        file.runs()


def test_the_file_cannot_reach_out(changed: Callable[..., Path], tmp_path: Path) -> None:
    """Whatever is read through an open bundle reaches no other file, and the bundle itself is not written."""
    file = changed()
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with opened(file, tmp_path / "scratch") as reader:
        for statement, values in (
            ("SELECT * FROM read_csv(?)", [str(secret)]),
            ("ATTACH ?", [str(tmp_path / "new.duckdb")]),
            ("SET enable_external_access = true", []),
            ("INSTALL httpfs", []),
            ("DELETE FROM bundle.main.runs", []),
        ):
            with pytest.raises(duckdb.Error):
                reader._db.execute(statement, values)


ROWS = "INSERT INTO accuracy_steps SELECT 1, 1, 1, 1 FROM range(5_000_000)"
LONG_LIST = "UPDATE edge_blocks SET scores = (SELECT list(1::FLOAT) FROM range(10_000_000)) WHERE edge = 3"
LONG_TEXT = "UPDATE examples SET prompt = [repeat('x', 50_000_000)] WHERE example = 0"
LONG_HEADER = "UPDATE bundle SET header = repeat('x', 50_000_000)"


@pytest.mark.parametrize("statement", [ROWS, LONG_LIST, LONG_TEXT, LONG_HEADER], ids=["rows", "list", "text", "header"])
def test_what_would_unfold_is_not_read(changed: Callable[..., Path], tmp_path: Path, statement: str) -> None:
    file = changed(statement, "CHECKPOINT")
    assert file.stat().st_size < 16 * 2**20
    code = f"""
from pathlib import Path
from cache import bundle
from cache.bundle import BundleError, layout, opened

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])

layout()
bundle.UNFOLDS = bundle.ALWAYS = 1
before = peak()
try:
    with opened(Path({str(file)!r}), Path({str(tmp_path / "scratch")!r})):
        pass
except BundleError as error:
    print(error)
print(peak() - before)
"""
    lines = subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60).splitlines()
    assert "MiB would unfold to" in lines[0]
    assert int(lines[1]) < 20_000, "kB that looking at it took"


def test_what_is_spilled_lies_in_the_scratch_folder(changed: Callable[..., Path], tmp_path: Path) -> None:
    scratch, file = tmp_path / "scratch", changed()
    with opened(file, scratch) as reader:
        assert reader._db.execute("SELECT current_setting('temp_directory')").fetchall() == [(str(scratch),)]
        assert reader._db.execute("SELECT current_setting('enable_external_access')").fetchall() == [(False,)]
    assert not (tmp_path / ".tmp").exists()


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to(path), lambda path: None])
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "b.duckdb")
    why = "not a file|there is no such file|cannot be reached"
    with pytest.raises(BundleError, match=why), opened(tmp_path / "b.duckdb", tmp_path):
        pass


@pytest.mark.parametrize("name", ["x" * 300, "none/b.duckdb", "folder", "a?b/c.duckdb"])
def test_a_bundle_that_cannot_be_written_leaves_nothing(other: Store, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoreError, match=r"cannot be written|There is a file"):
        other.write_bundle(tmp_path / name, "", [])
    assert sorted(tmp_path.rglob("*")) == before
