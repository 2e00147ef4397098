"""The reader: threads share attached files, of which there are never too many, and no reader is cut short."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from cache import reader
from cache.errors import Missing, StoreError
from cache.folder import ArtifactFolder
from cache.reader import MOST_ATTACHED, Reader, Unsound, stamp_of
from tests.cache.samples import content, edges, fill, fill_fast, is_whole, key

ROOT = Path(__file__).resolve().parents[2]
OPEN = Path("/proc/self/fd")
MANY = 300


def open_files(folder: ArtifactFolder) -> int:
    """How many files of a folder this process has open."""
    return sum(str(folder.files) in str(link.readlink()) for link in OPEN.iterdir() if link.is_symlink())


def count(cursor: duckdb.DuckDBPyConnection, name: str) -> int:
    """Edges in an attached file."""
    return cursor.execute(f"SELECT count(*) FROM {name}.main.edges").fetchall()[0][0]  # noqa: S608


@pytest.mark.skipif(not OPEN.is_dir(), reason="there is no list of open files")
def test_many_threads_read_more_artifacts_than_are_attached(folder: ArtifactFolder) -> None:
    assert MANY > MOST_ATTACHED
    fill_fast(folder.files, range(MANY))

    def read(start: int) -> bool:
        return all(is_whole(folder, (start + 7 * step) % MANY) for step in range(MANY // 6))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))
    assert 0 < open_files(folder) <= MOST_ATTACHED
    assert folder.notices == []
    folder.close()
    assert open_files(folder) == 0
    assert is_whole(folder, 5)


def test_the_longest_unused_is_detached_first(folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_ATTACHED", 2)
    fill(folder, 1, 2, 3)
    for number in (1, 2, 1, 3):
        assert is_whole(folder, number)
    assert list(folder._reader._attached) == [key(1), key(3)]
    with folder.reading(*map(key, (1, 2, 3))) as (cursor, names):  # more at once than are kept attached
        for name in names.values():
            assert count(cursor, name) == 50


def test_whoever_reads_reads_to_the_end(folder: ArtifactFolder) -> None:
    """Whatever happens to the file and to the reader meanwhile."""
    fill(folder, 1, 2)
    with folder.reading(key(1), key(2)) as (cursor, names):
        folder.delete(key(1))
        folder.set_aside(key(2), "for a test")
        folder.close()
        for number in (1, 2):
            query = f"SELECT edge, score FROM {names[key(number)]}.main.edges ORDER BY rank"  # noqa: S608
            assert cursor.sql(query).to_arrow_table().equals(edges(number).select(["edge", "score"]))
        fill(folder, 1)
        assert is_whole(folder, 1)
    for number in (1, 2):
        folder.delete(key(number))
        with pytest.raises(Missing):
            content(folder, number)


def test_a_file_that_was_replaced_is_read_anew(folder: ArtifactFolder) -> None:
    fill(folder, 1)
    path = folder.file_of(key(1))
    own = Reader()

    def rows() -> int:
        with own.reading({key(1): path}) as (cursor, names):
            return count(cursor, names[key(1)])

    assert rows() == 50
    before = stamp_of(path)
    with own.reading({key(1): path}) as (cursor, names):
        folder.delete(key(1))
        fill(folder, 1, rows=70)
        assert stamp_of(path) != before and rows() == 70
        assert count(cursor, names[key(1)]) == 50
    assert len(own._attached) == 1


def test_a_reader_counts_who_reads(folder: ArtifactFolder) -> None:
    fill(folder, 1)
    own = Reader()
    with own.reading({key(1): folder.file_of(key(1))}):
        (attached,) = own._attached.values()
        assert attached.readers == 1
    assert attached.readers == 0
    with pytest.raises(ZeroDivisionError), own.reading({key(1): folder.file_of(key(1))}):
        raise ZeroDivisionError
    assert attached.readers == 0
    with pytest.raises(Missing), own.reading({key(1): folder.file_of(key(1)), key(2): folder.file_of(key(2))}):
        pass
    assert attached.readers == 0 and not attached.is_forgotten


def test_closing_while_threads_read(folder: ArtifactFolder) -> None:
    fill(folder, 1, 2, 3)
    ended = threading.Event()

    def read(number: int) -> int:
        count = 0
        while not ended.is_set():
            assert is_whole(folder, number)
            count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        work = [pool.submit(read, number) for number in (1, 2, 3)]
        for _ in range(20):
            folder.close()
            ended.wait(0.01)
        ended.set()
        assert all(done.result() > 0 for done in work)
    assert folder.notices == []


def test_a_query_that_asks_for_what_is_not_there_costs_no_file(folder: ArtifactFolder) -> None:
    fill(folder, 1, 2)
    for query in (
        "SELECT nothing FROM {}.main.edges",
        "SELECT * FROM {}.main.nothing",
        "SELECT 'a'::INT FROM {}.main.edges",
    ):
        with pytest.raises(StoreError, match="cannot be read now"), folder.reading(key(1), key(2)) as (cursor, names):
            cursor.execute(query.format(names[key(2)])).fetchall()
    assert is_whole(folder, 1) and is_whole(folder, 2) and folder.notices == []


def test_the_file_that_is_damaged_is_blamed(folder: ArtifactFolder) -> None:
    fill(folder, 1, 2, 3)
    damaged = folder.file_of(key(2))
    damaged.write_bytes(damaged.read_bytes()[:-100] + b"\x00" * 100)
    files = {key(number): folder.file_of(key(number)) for number in (1, 2, 3)}
    stamp = stamp_of(damaged)
    own = Reader()
    for failing in (duckdb.FatalException("invalidated"), duckdb.InternalException("assertion"), duckdb.Error("x")):
        with own.reading({key(1): files[key(1)]}):
            pass
        damaged_read = damaged.read_bytes()
        damaged.write_bytes(damaged_read[:12_288] + b"\x00" * 16_384 + damaged_read[12_288 + 16_384 :])
        with pytest.raises(Unsound) as raised, own.reading(files):
            raise failing
        assert raised.value.key == key(2) and raised.value.stamp == stamp_of(damaged) != stamp
    for failing in (duckdb.FatalException("invalidated"), duckdb.IOException("Input/output error")):
        with pytest.raises(StoreError), own.reading({key(1): files[key(1)], key(3): files[key(3)]}):
            raise failing


def test_want_of_memory_is_no_fault_of_a_file(folder: ArtifactFolder) -> None:
    fill(folder, 1)
    for error in (MemoryError(), duckdb.OutOfMemoryException("Out of Memory Error: x")):
        with pytest.raises(StoreError, match="not enough memory"), folder.reading(key(1)):
            raise error
    assert is_whole(folder, 1) and folder.notices == []


OPENS_TOO_MANY = """
import os, resource, sys
from pathlib import Path
from cache.errors import StoreError
from cache.folder import ArtifactFolder
from tests.cache.samples import is_whole
folder = ArtifactFolder(Path(sys.argv[1]))
assert is_whole(folder, 0)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20,) * 2)
failed = 0
for number in range(60):
    try:
        assert is_whole(folder, number)
    except StoreError as error:
        assert "Too many open files" in str(error), error
        failed += 1
assert folder.notices == []
print(failed)
"""


@pytest.mark.skipif(not OPEN.is_dir(), reason="there is no list of open files")
def test_too_many_open_files_are_a_sentence_and_cost_no_file(folder: ArtifactFolder) -> None:
    fill_fast(folder.files, range(60))
    command = [sys.executable, "-c", OPENS_TOO_MANY, str(folder.path)]
    failed = int(subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stdout)
    assert 0 <= failed < 60 and not list(folder.files.glob("*unreadable*"))
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 60 and all(is_whole(folder, n) for n in range(60))
