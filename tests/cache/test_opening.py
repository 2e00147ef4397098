"""What is not our cache stays as it is, byte by byte; our own is set aside only when it is damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from cache import opening
from cache.migrations import MIGRATIONS
from cache.opening import StoreError, wal_of
from cache.store import Store
from tests.cache.test_store import TABLES, row

Make = Callable[[Path], object]


def cache(path: Path) -> None:
    store = Store(path)
    store.add_run(row("k"), TABLES)
    store.close()


def bundle(path: Path) -> None:
    store = Store(path.with_name("source.duckdb"))
    store.add_run(row("k"), TABLES)
    store.write_bundle(path, "header", ["k"])
    store.close()


def foreign(*statements: str) -> Make:
    def make(path: Path) -> None:
        with duckdb.connect(str(path)) as db:
            for statement in statements:
                db.execute(statement)

    return make


def damaged_bundle(path: Path) -> None:
    bundle(path)
    flip(path, 4096, 12288)


def damaged_foreign(path: Path) -> None:
    foreign("CREATE TABLE mine AS SELECT 1 AS applied")(path)
    flip(path, 4096, 12288)


def flip(path: Path, begin: int, end: int) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes(255 - byte if begin <= i < end else byte for i, byte in enumerate(content)))


SOURCE = Path(opening.__file__).read_bytes()
SOMEBODYS = "CREATE TABLE migrations AS SELECT '0001' AS name, '' AS applied"
NOT_OURS: dict[str, tuple[Make, str]] = {
    "text": (lambda path: path.write_text("my notes\n" * 1000), "is no cache: it is not a database of DuckDB"),
    "our own source": (lambda path: path.write_bytes(SOURCE), "is not a database of DuckDB"),
    "SQLite": (lambda path: path.write_bytes(b"SQLite format 3\0" * 500), "is not a database of DuckDB"),
    "empty": (lambda path: path.touch(), "is empty, so it is no cache"),
    "bundle": (bundle, "is a bundle of runs, not a cache"),
    "somebody's database": (foreign("CREATE TABLE runs (distance DOUBLE)"), "another program .it has the table runs"),
    "somebody's migrations": (
        foreign(SOMEBODYS),
        "another program .it has the table migrations",
    ),
    "somebody's view": (foreign("CREATE VIEW mine AS SELECT 1 AS a"), "another program .it has the view mine"),
    "somebody's schema": (foreign("CREATE SCHEMA mine", "CREATE TABLE mine.t (a INTEGER)"), "another program"),
    "somebody's macro": (foreign("CREATE MACRO mine(a) AS a"), "another program .it has the macro mine"),
    "damaged bundle": (damaged_bundle, "is a damaged database, and nothing in it tells that it is a cache"),
    "damaged database of somebody": (damaged_foreign, "nothing in it tells that it is a cache"),
    "folder": (lambda path: path.mkdir(), "is not a file that can be written"),
    "pipe": (os.mkfifo, "is not a file that can be written"),
    "loop of links": (lambda path: path.symlink_to(path), "cannot be reached: Too many levels of symbolic links"),
    "device": (lambda path: path.symlink_to("/dev/null"), "is not a file that can be written"),
    "read by nobody": (lambda path: path.symlink_to("/proc/version"), "is no cache|is not a file that can be written"),
}  # fmt: skip


@pytest.mark.parametrize("what", NOT_OURS)
def test_what_is_not_a_cache_is_refused_and_left_as_it_is(tmp_path: Path, what: str) -> None:
    make, why = NOT_OURS[what]
    path = tmp_path / "c.duckdb"
    make(path)
    before = state(tmp_path)
    with pytest.raises(StoreError, match=why) as refusal:
        Store(path)
    message = str(refusal.value)
    assert str(path) in message and "\n" not in message and len(message) < 600
    assert state(tmp_path) == before


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Time of change, inode and content of everything in a folder."""
    files = {}
    for file in folder.iterdir():
        status = file.lstat()
        regular = file.is_file() if not file.is_symlink() else False
        files[file.name] = (status.st_mtime_ns, status.st_ino, file.read_bytes() if regular else b"")
    return files


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("x" * 300, "cannot be reached: File name too long"),
        ("x" * 253, "cannot be reached: File name too long"),  # with .wal
        (f"{'d' * 300}/c.duckdb", "cannot be reached: File name too long"),
        ("a?b.duckdb", r"no path with a '\?'"),
        ("a?/b.duckdb", r"no path with a '\?'"),
        ("file/c.duckdb", "cannot be reached: Not a directory"),
        ("file/further/c.duckdb", "cannot be reached: Not a directory"),
    ],
)
def test_a_path_that_cannot_be_is_told(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(StoreError, match=why):
        Store(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "name", ["with a space.duckdb", "é 漢字 🎉.duckdb", "'quoted\".duckdb", "x%20;y#.duckdb", ":memory:"]
)
def test_other_names_are_names(tmp_path: Path, name: str) -> None:
    cache(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    store = Store(tmp_path / name)
    assert store.run("k") and store.set_aside is None
    store.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(StoreError, match=r"The folder .*/none of the cache cannot be made: Permission denied"):
        Store(tmp_path / "none" / "c.duckdb")


def test_a_folder_that_cannot_be_entered_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(StoreError, match="cannot be reached: Permission denied"):
        Store(tmp_path / "c.duckdb")


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache(tmp_path / "c.duckdb")
    before = state(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StoreError, match="is not a file that can be written"):
        Store(tmp_path / "c.duckdb")
    assert state(tmp_path) == before


@pytest.mark.parametrize("began", [0, 1, 3])
def test_what_was_begun_is_gone_on_with(tmp_path: Path, began: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody was stopped after making the file, or between two migrations."""
    path = tmp_path / "c.duckdb"
    if began:
        monkeypatch.setattr("cache.migrations.MIGRATIONS", MIGRATIONS[:began])
        Store(path).close()
        monkeypatch.setattr("cache.migrations.MIGRATIONS", MIGRATIONS)
    else:
        foreign()(path)
    cache(path)
    assert [file.name for file in tmp_path.iterdir()] == ["c.duckdb"]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda sound: sound[:100_000],
    "cut within its headers": lambda sound: sound[:5000],
    "flipped headers": lambda sound: bytes(255 - b if 4096 <= i < 13000 else b for i, b in enumerate(sound)),
    "zeroed headers": lambda sound: sound[:4096] + bytes(8192) + sound[12288:],
    "flipped bits": lambda sound: sound[:12500] + bytes([sound[12500] ^ 1]) + sound[12501:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_set_aside(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "c.duckdb"
    cache(path)
    spoiled = DAMAGES[damage](path.read_bytes())
    path.write_bytes(spoiled)
    wal_of(path).write_bytes(b"log")
    store = Store(path)
    assert store.set_aside is not None and store.set_aside.read_bytes() == spoiled
    assert wal_of(store.set_aside).read_bytes() == b"log"
    assert store.runs() == []
    store.add_run(row("k"), TABLES)
    store.close()
    again = Store(path)
    assert again.set_aside is None and again.run("k") == row("k")
    again.close()


KILLED = """
import os, sys
from pathlib import Path
from cache.store import Store
from tests.cache.test_store import TABLES, row
store = Store(Path(sys.argv[1]))
store.add_run(row("a"), TABLES)
store._db.execute("CHECKPOINT")
store.add_run(row("b"), {**TABLES, "edges": TABLES["edges"].slice(0, 9), "neuron_tokens": TABLES["neuron_tokens"].slice(0, 9)})
os._exit(9)
"""  # noqa: E501


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache whose last run is in its log alone."""
    path = tmp_path_factory.mktemp("killed") / "c.duckdb"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert wal_of(path).stat().st_size > 2000
    return path


@pytest.fixture
def logged(killed: Path, tmp_path: Path) -> Path:
    path = tmp_path / "c.duckdb"
    path.write_bytes(killed.read_bytes())
    wal_of(path).write_bytes(wal_of(killed).read_bytes())
    return path


def test_a_sound_log_is_read(logged: Path) -> None:
    store = Store(logged)
    assert [row.key for row in store.runs()] == ["b", "a"]
    store.close()


@pytest.mark.parametrize("damage", ["flipped", "zeroed", "its first byte", "somebody's text"])
def test_a_damaged_log_alone_sets_nothing_aside(logged: Path, damage: str) -> None:
    log = wal_of(logged).read_bytes()
    wal_of(logged).write_bytes(
        {
            "flipped": log[:1000] + bytes([log[1000] ^ 255]) + log[1001:],
            "zeroed": log[:1000] + bytes(500) + log[1500:],
            "its first byte": b"x" + log[1:],
            "somebody's text": b"dear diary",
        }[damage]
    )
    before = state(logged.parent)
    with pytest.raises(StoreError, match=r"The log .*c\.duckdb\.wal of the cache is damaged.*left as they are"):
        Store(logged)
    assert state(logged.parent) == before
    wal_of(logged).rename(logged.parent / "kept")
    store = Store(logged)
    assert [row.key for row in store.runs()] == ["a"]
    store.close()


def test_a_log_without_its_database_is_left_alone(tmp_path: Path) -> None:
    """DuckDB would remove it when it makes the database."""
    path = tmp_path / "c.duckdb"
    wal_of(path).write_text("dear diary")
    before = state(tmp_path)
    with pytest.raises(StoreError, match="the log of a database that is not there"):
        Store(path)
    assert state(tmp_path) == before


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (duckdb.OutOfMemoryException("Out of Memory Error: failed to pin block"), "not enough memory"),
        (MemoryError(), "not enough memory"),
        (duckdb.Error('Failure while replaying WAL file "x": Out of Memory Error'), "not enough memory"),
        (duckdb.IOException("IO Error: Cannot open file: Too many open files"), "cannot be opened .*Too many open"),
        (duckdb.IOException("IO Error: Could not read from file: Input/output error"), "cannot be opened"),
        (duckdb.IOException("IO Error: Trying to read a database file with version number 99"), "version number 99"),
        (duckdb.InternalException("INTERNAL Error: assertion failed"), "cannot be opened"),
    ],
)
@pytest.mark.parametrize("read_only", [True, False])
def test_a_cache_that_cannot_be_opened_just_now_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, why: str, read_only: bool
) -> None:
    path, connect = tmp_path / "c.duckdb", duckdb.connect
    cache(path)
    before = state(tmp_path)

    def failing(*given: object, **options: object) -> object:
        if options.get("read_only", False) is read_only:
            raise error
        return connect(*given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(duckdb, "connect", failing)
    with pytest.raises(StoreError, match=why):
        Store(path)
    assert state(tmp_path) == before


NO_MEMORY = """
import resource, sys
from pathlib import Path
from cache.opening import StoreError
from cache.store import Store
import cache.opening
size = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + 2**20, size + 2**20))
try:
    Store(Path(sys.argv[1]))
except StoreError as error:
    print(error)
"""


def test_a_process_without_memory_sets_nothing_aside(tmp_path: Path) -> None:
    path = tmp_path / "c.duckdb"
    cache(path)
    before = state(tmp_path)
    process = subprocess.run([sys.executable, "-c", NO_MEMORY, str(path)], capture_output=True, text=True, check=False)
    assert "not enough memory" in process.stdout, process.stderr
    assert state(tmp_path) == before
