"""The folder: artifacts are there whole or not at all, never change, and one that is damaged costs no other."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from cache.errors import Missing, StoreError
from cache.folder import ArtifactFolder
from tests.cache.samples import content, edges, fill, is_whole, key, names, record

ROOT = Path(__file__).resolve().parents[2]
ROWS = 5000  # several blocks


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without the rights of root, under which every folder can be written."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, text=True, capture_output=True, check=True, timeout=120
    )


def test_what_goes_in_comes_out(folder: ArtifactFolder) -> None:
    made = record(1, meta={"parts": ["a"]}, companions={"lens": key(2)}, imported="2026-02-02")
    folder.write(made, {"edges": edges(1)})
    size = folder.file_of(key(1)).stat().st_size
    assert folder.record(key(1)) == replace(made, size=size) == ArtifactFolder(folder.path).record(key(1))
    assert is_whole(folder, 1)
    assert folder.size() == size and folder.notices == []
    assert names(folder) == {f"{key(1)}.duckdb", f"{key(1)}.json", "partial"}


def test_an_artifact_never_changes(folder: ArtifactFolder) -> None:
    fill(folder, 1)
    before = {path: (path.read_bytes(), path.stat().st_ino) for path in folder.files.glob("*.*")}
    folder.write(replace(record(1), created="later"), {"edges": edges(2)})
    with folder.staged() as place:
        folder.publish(folder.write_staged(place, replace(record(1), seconds=9.0), {"edges": edges(3)}))
    assert {path: (path.read_bytes(), path.stat().st_ino) for path in folder.files.glob("*.*")} == before


@pytest.mark.parametrize(
    ("tables", "error"),
    [
        ({"edges": edges(1), "nothing": edges(1)}, KeyError),
        ({"edges": edges(1), "heads": edges(1)}, duckdb.BinderException),  # which has no column `node` to sort by
    ],
)
def test_an_artifact_is_stored_whole_or_not_at_all(
    folder: ArtifactFolder, tables: dict[str, pa.Table], error: type[Exception]
) -> None:
    with pytest.raises(error):
        folder.write(record(1), tables)
    assert folder.record(key(1)) is None and folder.records() == []
    assert names(folder) == {"partial"} and not list(folder.partial.iterdir())
    fill(folder, 1)
    assert is_whole(folder, 1)


FILLS_THE_DISK = f"""
import resource, signal, sys
from pathlib import Path
from cache.errors import StoreError
from cache.folder import ArtifactFolder
from tests.cache.samples import edges, record, fill
folder = ArtifactFolder(Path(sys.argv[1]))
fill(folder, 1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
try:
    folder.write(record(2), {{"edges": edges(2, {ROWS * 10})}})
except StoreError as error:
    print(error)
"""


def test_no_room_is_a_sentence(folder: ArtifactFolder) -> None:
    """A limit of the system on the size of files stands for a full disk."""
    output = python(FILLS_THE_DISK, str(folder.path)).stdout
    assert output.startswith(f"The cache {folder.path} cannot be written: ") and "File too large" in output
    assert output.count("\n") == 1
    assert [made.key for made in folder.records()] == [key(1)] and is_whole(folder, 1)
    assert not list(folder.partial.iterdir())


def test_no_room_for_the_record(folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="cannot be written: No space left on device"):
        fill(folder, 1)
    assert names(folder) == {"partial"} and not list(folder.partial.iterdir())


def test_errors_of_other_files_are_not_the_cache_s(folder: ArtifactFolder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), folder.staged():
        (tmp_path / "bundle").read_bytes()
    with pytest.raises(duckdb.IOException), folder.staged():
        duckdb.connect(str(tmp_path / "bundle"), read_only=True)
    with pytest.raises(StoreError, match="cannot be written"), folder.staged() as place:
        (place / "no" / "folder").write_text("")
    assert not list(folder.partial.iterdir())


def test_the_list_is_newest_first(folder: ArtifactFolder) -> None:
    fill(folder, 2, 3, 1)
    folder.write(record(4, created=record(2).created), {"edges": edges(4)})
    for other in ("README.json", f"{key(5)}.json.txt", ".json", "x.duckdb", key(6)):
        (folder.files / other).write_text("{}")
    assert [made.key for made in folder.records()] == [key(3), key(4), key(2), key(1)]
    assert folder.notices == []


LISTS = """
import sys
from pathlib import Path
from cache.folder import ArtifactFolder
print(len(ArtifactFolder(Path(sys.argv[1])).records()))
assert not {"duckdb", "pyarrow", "numpy"} & set(sys.modules)
"""


def test_a_thousand_artifacts_are_listed_without_opening_one(folder: ArtifactFolder) -> None:
    for number in range(1000):
        folder.file_of(key(number)).touch()
        folder.record_file_of(key(number)).write_text(record(number).as_text())
    assert python(LISTS, str(folder.path)).stdout == "1000\n"


@pytest.mark.parametrize(
    "text", ["", "../x", "../../outside", "x" * 20, key(1) + "\n", key(1)[:-1], "A" * 20, "\u0660" * 20]
)
def test_what_is_no_key_is_not_there(folder: ArtifactFolder, text: str) -> None:
    fill(folder, 1)
    outside = folder.path / "outside"
    for ending in ("json", "duckdb"):
        shutil.copy(folder.files / f"{key(1)}.{ending}", f"{outside}.{ending}")
        shutil.copy(folder.files / f"{key(1)}.{ending}", folder.path / f"x.{ending}")
    assert folder.record(text) is None
    with pytest.raises(Missing), folder.reading(text):
        pass
    assert folder.delete(text) == 0
    assert outside.with_suffix(".json").exists() and (folder.path / "x.json").exists() and is_whole(folder, 1)


def test_delete_takes_that_artifact_and_says_how_much(folder: ArtifactFolder) -> None:
    fill(folder, 1, 2)
    assert is_whole(folder, 1)
    size = sum(path.stat().st_size for path in folder.files.glob(f"{key(1)}*"))
    assert folder.delete(key(1)) == size
    assert folder.delete(key(1)) == 0
    assert names(folder) == {f"{key(2)}.duckdb", f"{key(2)}.json", "partial"}
    with pytest.raises(Missing, match=key(1)):
        content(folder, 1)
    assert is_whole(folder, 2)


def test_what_is_written_again_is_read_again(folder: ArtifactFolder) -> None:
    other = ArtifactFolder(folder.path)
    for number in (1, 2, 3):
        folder.write(record(1), {"edges": edges(number)})
        for reading in (folder, other):
            assert content(reading, 1).equals(edges(number).select(["edge", "score"]))
        folder.delete(key(1))
        assert other.record(key(1)) is None


def read_until(folder: ArtifactFolder, ended: Callable[[], bool]) -> tuple[int, list[str]]:
    """Read artifact 1 again and again; how often that worked, and what was said where it did not."""
    worked, sentences = 0, []
    while not ended():
        try:
            assert is_whole(folder, 1, ROWS)
            worked += 1
        except StoreError as error:
            sentences.append(str(error))
    return worked, sentences


def test_deleting_while_other_threads_read(folder: ArtifactFolder) -> None:
    fill(folder, 2)
    ended, results = threading.Event(), []
    threads = [threading.Thread(target=lambda: results.append(read_until(folder, ended.is_set))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        fill(folder, 1, rows=ROWS)
        ended.wait(0.02)
        folder.delete(key(1))
    ended.set()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and any(worked for worked, _ in results)
    assert all("not in the cache" in sentence or "replaced" in sentence for _, told in results for sentence in told)
    assert folder.notices == [] and is_whole(folder, 2)


DELETES = f"""
import sys, time
from pathlib import Path
from cache.folder import ArtifactFolder
from tests.cache.samples import fill, key
folder = ArtifactFolder(Path(sys.argv[1]))
for _ in range(10):
    fill(folder, 1, rows={ROWS})
    time.sleep(0.02)
    folder.delete(key(1))
"""


def test_deleting_while_another_process_reads(folder: ArtifactFolder) -> None:
    process = subprocess.Popen([sys.executable, "-c", DELETES, str(folder.path)], cwd=ROOT)
    worked, sentences = read_until(folder, lambda: process.poll() is not None)
    assert process.returncode == 0 and worked
    assert all("not in the cache" in sentence or "replaced" in sentence for sentence in sentences)
    assert folder.notices == [] and not list(folder.files.glob("*unreadable*"))


@pytest.mark.parametrize("name", ["with spaces", "é中文 ☃", "it's", 'so "so"', "a*b[c]", "50%25", "md:x", "a;b"])
def test_paths_of_all_kinds(tmp_path: Path, name: str) -> None:
    folder = ArtifactFolder(tmp_path / name)
    fill(folder, 1)
    assert is_whole(folder, 1) and is_whole(ArtifactFolder(tmp_path / name), 1)


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, reason in {"a?b": "DuckDB reads no path with a '?'", "file": "", "file/below": "Not a directory"}.items():
        with pytest.raises(StoreError, match=r"The cache .* cannot be used: .*\. Choose another") as raised:
            ArtifactFolder(tmp_path / name)
        assert reason in str(raised.value) and str(tmp_path / name) in str(raised.value)


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that everybody may enter and nobody but its owner may write."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.mark.skipif(os.name != "posix", reason="rights of folders are those of POSIX")
def test_a_folder_that_cannot_be_written_can_be_read(open_to_all: Path) -> None:
    folder = ArtifactFolder(open_to_all / "cache")
    fill(folder, 1)
    for path in (folder.partial, folder.files, folder.path):
        path.chmod(0o555)
    try:
        with unprivileged():
            opened = ArtifactFolder(folder.path)
            assert [made.key for made in opened.records()] == [key(1)] and is_whole(opened, 1)
            with pytest.raises(StoreError, match="cannot be written: Permission denied"):
                fill(opened, 2)
            with pytest.raises(StoreError, match="cannot be deleted: Permission denied"):
                opened.delete(key(1))
            assert is_whole(opened, 1)
            with pytest.raises(StoreError, match="cannot be used: Permission denied"):
                ArtifactFolder(folder.path / "below")
    finally:
        for path in (folder.path, folder.files, folder.partial):
            path.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="rights of folders are those of POSIX")
def test_files_that_may_not_be_read_stay(open_to_all: Path) -> None:
    folder = ArtifactFolder(open_to_all / "cache")
    fill(folder, 1, 2, 3)
    folder.file_of(key(1)).chmod(0)
    folder.record_file_of(key(2)).chmod(0)
    with unprivileged():
        opened = ArtifactFolder(folder.path)
        with pytest.raises(StoreError, match=r"cannot be read now: .*Permission denied"):
            content(opened, 1)
        assert [made.key for made in opened.records()] == [key(3), key(1)]
        assert len(opened.notices) == 1 and "Permission denied" in opened.notices[0] and key(2) in opened.notices[0]
    assert not list(folder.files.glob("*unreadable*"))
