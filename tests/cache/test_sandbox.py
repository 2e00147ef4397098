"""Files of unknown origin: their plain tables are read within bounds, and nothing else of them is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import pytest

from cache import sandbox
from cache.artifact_file import write_file
from cache.keys import hash_of
from cache.layout import SORTED_BY, Record
from cache.sandbox import Refused, opened
from engine.exchange.offered_runs import expected_columns
from engine.runs.artifacts import split
from engine.runs.lifecycle import ignore
from engine.runs.spec import RunSpec
from tests.cache.samples import changed_copy
from tests.fakes import tiny_run

TABLES = split(tiny_run(RunSpec(n=4), ignore), "circuit").tables
RECORD = Record(hash_of({}), "circuit", {}, {}, "2026-01-01T00:00:00+00:00", 1.5, {"lens": "0" * 20})
GENERATED = "CREATE TABLE reveals (example INTEGER, step INTEGER, index INTEGER GENERATED ALWAYS AS (7))"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a circuit."""
    file = tmp_path_factory.mktemp("sound") / "a.duckdb"
    write_file(file, RECORD, TABLES)
    return file


@pytest.fixture
def changed(sound: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the sound file in which some statements were run."""

    return partial(changed_copy, sound, tmp_path / "changed.duckdb")


def test_what_is_written_is_read_back(sound: Path, tmp_path: Path) -> None:
    with opened(sound, tmp_path / "scratch") as file:
        assert file.record() == RECORD.as_written_inside()
        file.refuse_other_columns(expected_columns("circuit"))
        for name, table in TABLES.items():
            assert file.count(name) == table.num_rows
            assert file.rows(name, table.column_names, SORTED_BY[name]).num_rows == table.num_rows
        assert file.rows("examples", TABLES["examples"].column_names, "example").equals(TABLES["examples"])
        assert file.rows("examples", ["example"], "example", "example > ?", 2)["example"].to_pylist() == [3]
        assert 0 < file.unfolded < 2 * sum(table.nbytes for table in TABLES.values())
    assert [entry.name for entry in sound.parent.iterdir()] == [sound.name]


@pytest.mark.parametrize(
    ("statements", "why"),
    [
        (["CREATE VIEW more AS SELECT 1"], "a view 'more'"),
        (["ALTER TABLE edges RENAME TO hidden", "CREATE VIEW edges AS FROM hidden"], "a view 'edges'"),
        (["CREATE MACRO duckdb_views() AS TABLE SELECT 1 AS view_name WHERE false"], "a macro 'duckdb_views'"),
        (["CREATE TYPE mood AS ENUM ('a')"], "a type 'mood'"),
        (["CREATE SCHEMA other"], "a schema 'other'"),
        (["DROP TABLE reveals", GENERATED], "'index' of its table 'reveals' is computed"),
        ([f"CREATE TABLE more{i} (a INTEGER)" for i in range(100)], "it has 109 tables; 100 are the most"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_plain_table_is_refused(
    changed: Callable[..., Path], tmp_path: Path, statements: list[str], why: str
) -> None:
    with pytest.raises(Refused, match=why), opened(changed(*statements), tmp_path / "scratch"):
        pass


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("CREATE TABLE more (a INTEGER)", "'more' has a column 'a' of type INTEGER"),
        ('CREATE TABLE "mo""re" (a INTEGER)', "has a column 'a' of type INTEGER"),
        ("ALTER TABLE reveals ADD COLUMN extra INTEGER", "'reveals' has a column 'extra'"),
        ("ALTER TABLE reveals ALTER COLUMN step TYPE BIGINT", "'reveals' has a column 'step' of type BIGINT"),
        ("DROP TABLE reveals", "lacks the column 'example' of type INTEGER in the table 'reveals'"),
    ],
)
def test_other_tables_or_columns_are_refused(
    changed: Callable[..., Path], tmp_path: Path, statement: str, why: str
) -> None:
    with opened(changed(statement), tmp_path / "scratch") as file, pytest.raises(Refused, match=why):
        file.refuse_other_columns(expected_columns("circuit"))


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("DROP TABLE artifact", "it is not an artifact"),
        ("ALTER TABLE artifact ADD COLUMN more INTEGER", "it is not an artifact"),
        ("INSERT INTO artifact FROM artifact", "does not have one row"),
        ("DELETE FROM artifact", "does not have one row"),
    ],
)
def test_a_file_without_one_record_is_refused(
    changed: Callable[..., Path], tmp_path: Path, statement: str, why: str
) -> None:
    with opened(changed(statement), tmp_path / "scratch") as file, pytest.raises(Refused, match=why):
        file.record()


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.duckdb"
    with pytest.raises(Refused, match="no such file"), opened(file, tmp_path / "scratch"):
        pass
    for content in (b"", b"not a database " * 1000):
        file.write_bytes(content)
        with pytest.raises(Refused, match="not a database"), opened(file, tmp_path / "scratch"):
            pass


def test_a_log_beside_it_is_read_and_a_damaged_one_refused(changed: Callable[..., Path], tmp_path: Path) -> None:
    file = changed()
    code = f"import duckdb, os; db = duckdb.connect({str(file)!r}); db.execute('DELETE FROM reveals'); os._exit(0)"  # noqa: S608
    subprocess.run([sys.executable, "-c", code], check=True)
    log = tmp_path / "changed.duckdb.wal"
    before = log.read_bytes()
    with opened(file, tmp_path / "scratch") as reader:
        assert reader.count("reveals") == 0
    assert log.read_bytes() == before, "what is read is not changed"
    log.write_bytes(b"something else")
    with pytest.raises(Refused, match=r"changed.duckdb.wal beside it is damaged"), opened(file, tmp_path / "scratch"):
        pass
    assert log.read_bytes() == b"something else"


def test_a_table_that_unfolds_is_given_up(
    changed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = changed("INSERT INTO reveals SELECT 1, 1, 1 FROM range(3_000_000)")
    assert file.stat().st_size < 10 * 2**20
    monkeypatch.setattr(sandbox, "MOST_BYTES", 2**20)
    with opened(file, tmp_path / "scratch") as reader, pytest.raises(Refused, match="larger than 1,048,576 bytes"):
        reader.rows("reveals", ["step"], "step")


def test_a_record_that_unfolds_is_given_up(
    changed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = changed("UPDATE artifact SET record = repeat('x', 2_000_000)")
    monkeypatch.setattr(sandbox, "MOST_RECORD_BYTES", 2**20)
    with opened(file, tmp_path / "scratch") as reader, pytest.raises(Refused, match="larger than 1,048,576 bytes"):
        reader.record()


def test_the_file_cannot_reach_out(changed: Callable[..., Path], tmp_path: Path) -> None:
    """Whatever is read through an open file reaches no other file, and the file itself is not written."""
    file = changed()
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with opened(file, tmp_path / "scratch") as reader:
        for statement, values in (
            ("SELECT * FROM read_csv(?)", [str(secret)]),
            ("ATTACH ?", [str(tmp_path / "new.duckdb")]),
            ("SET enable_external_access = true", []),
            ("INSTALL httpfs", []),
            ("DELETE FROM foreign_file.main.reveals", []),
        ):
            with pytest.raises(duckdb.Error):
                reader._db.execute(statement, values)


ROWS = "INSERT INTO reveals SELECT 1, 1, 1 FROM range(5_000_000)"
LONG_LIST = "UPDATE edge_blocks SET scores = (SELECT list(1::FLOAT) FROM range(10_000_000)) WHERE edge = 3"
LONG_TEXT = "UPDATE examples SET prompt = [repeat('x', 50_000_000)] WHERE example = 0"
LONG_RECORD = "UPDATE artifact SET record = repeat('x', 50_000_000)"
UNKNOWN = "CREATE TABLE more AS SELECT repeat('x', 50_000_000)::BLOB AS a"


@pytest.mark.parametrize(
    "statement", [ROWS, LONG_LIST, LONG_TEXT, LONG_RECORD, UNKNOWN], ids=["rows", "list", "text", "record", "unknown"]
)
def test_what_would_unfold_is_not_read(changed: Callable[..., Path], tmp_path: Path, statement: str) -> None:
    file = changed(statement, "CHECKPOINT")
    code = f"""
from pathlib import Path
import duckdb, pyarrow
from cache import sandbox
from cache.sandbox import Refused, opened

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])

duckdb.connect(":memory:").sql("SELECT 1").to_arrow_table()
sandbox.UNFOLDS = sandbox.ALWAYS = 1
before = peak()
try:
    with opened(Path({str(file)!r}), Path({str(tmp_path / "scratch")!r})):
        pass
except Refused as error:
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
    with pytest.raises(Refused, match=why), opened(tmp_path / "b.duckdb", tmp_path):
        pass
