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

from cache.errors import Damaged, Missing, StoreError
from cache.folder import ArtifactFolder
from cache.layout import SCHEMA
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


def spoil_record(path: Path, how: str) -> None:
    text = path.read_text()
    path.unlink()
    match how:
        case "empty":
            path.touch()
        case "cut":
            path.write_text(text[: len(text) // 2])
        case "binary":
            path.write_bytes(b"\xff\x00" * 100)
        case "another's":
            path.write_text(text.replace(key(1), key(2)))
        case "nested":
            path.write_text("[" * 100_000)
        case "other fields":
            path.write_text("{}")
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to("nowhere")
        case "pipe":
            os.mkfifo(path)


RECORDS = ("empty", "cut", "binary", "another's", "nested", "other fields", "folder", "link", "pipe")


@pytest.mark.parametrize("how", RECORDS)
def test_a_record_that_cannot_be_read_is_written_again(folder: ArtifactFolder, how: str) -> None:
    fill(folder, 1, 2)
    expected = folder.record(key(1))
    spoil_record(folder.record_file_of(key(1)), how)
    assert [made.key for made in folder.records()] == [key(2), key(1)]
    assert folder.record(key(1)) == expected
    assert is_whole(folder, 1) and folder.notices == []
    opened = ArtifactFolder(folder.path)
    assert opened.record(key(1)) == expected and is_whole(opened, 1)


@pytest.mark.usefixtures("_at_rest")
@pytest.mark.parametrize("how", RECORDS)
def test_a_record_and_a_file_that_cannot_be_read_are_set_aside(folder: ArtifactFolder, how: str) -> None:
    fill(folder, 1, 2)
    spoil_record(folder.record_file_of(key(1)), how)
    folder.file_of(key(1)).write_bytes(b"garbage")
    assert [made.key for made in folder.records()] == [key(2)]
    assert len(folder.notices) == 1 and key(1) in folder.notices[0] and "set aside as" in folder.notices[0]
    assert len(list(folder.files.glob(f"{key(1)}.*unreadable-*"))) == 2
    fill(folder, 1)
    assert is_whole(folder, 1)


def test_a_record_without_its_file_is_none(folder: ArtifactFolder) -> None:
    fill(folder, 1, 2)
    folder.file_of(key(1)).unlink()
    assert folder.record(key(1)) is None and [made.key for made in folder.records()] == [key(2)]
    with pytest.raises(Missing):
        content(folder, 1)
    fill(folder, 1)
    assert is_whole(folder, 1)


def test_what_a_later_version_made_stays_and_is_named(folder: ArtifactFolder) -> None:
    fill(folder, 2)
    folder.write(record(1, schema=SCHEMA + 1), {"edges": edges(1)})
    for opened in (folder, ArtifactFolder(folder.path)):
        assert opened.record(key(1)) is None and [made.key for made in opened.records()] == [key(2)]
        with pytest.raises(Missing):
            content(opened, 1)
        assert opened.notices == [f"The artifact {key(1)} was made by a later version of this program. It is left out."]
    assert f"{key(1)}.duckdb" in names(folder)
    folder.record_file_of(key(1)).write_text("")
    assert ArtifactFolder(folder.path).record(key(1)) is None
    assert f"{key(1)}.duckdb" in names(folder)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three sound artifacts, to be copied; the first is of several blocks."""
    made = ArtifactFolder(tmp_path_factory.mktemp("sound") / "cache")
    fill(made, 1, rows=ROWS)
    fill(made, 2, 3)
    made.close()
    return made.path


HEADERS, BLOCK = 3 * 4096, 16_384  # bytes of a DuckDB file


def boundaries(size: int) -> list[int]:
    return [0, 1, 4096, 8192, *range(HEADERS, size, BLOCK)]


def damaged_copy(sound: Path, to: Path, damage: Callable[[Path], None]) -> ArtifactFolder:
    shutil.copytree(sound, to)
    folder = ArtifactFolder(to)
    damage(folder.file_of(key(1)))
    return folder


def costs_that_artifact_alone(folder: ArtifactFolder) -> bool:
    """Read the first artifact of a folder; whether it was damaged."""
    try:
        assert is_whole(folder, 1, ROWS)
        assert folder.notices == []
    except Damaged as error:
        sentence = str(error)
        assert folder.notices == [sentence]
        assert f"the circuit artifact {key(1)} (" in sentence and "set aside as" in sentence
        assert {made.key for made in folder.records()} == {key(2), key(3)}
        assert len(list(folder.files.glob(f"{key(1)}.duckdb.unreadable-*"))) == 1
        assert folder.record(key(1)) is None
        fill(folder, 1, rows=ROWS)
        assert is_whole(folder, 1, ROWS)
        damaged = True
    else:
        damaged = False
    assert is_whole(folder, 2) and is_whole(folder, 3)
    folder.close()
    return damaged


@pytest.mark.usefixtures("_at_rest")
def test_a_file_cut_at_any_block(sound: Path, tmp_path: Path) -> None:
    size = (sound / "artifacts" / f"{key(1)}.duckdb").stat().st_size
    assert size >= HEADERS + 4 * BLOCK
    for cut in boundaries(size):
        folder = damaged_copy(sound, tmp_path / f"{cut}", lambda file, cut=cut: os.truncate(file, cut))
        assert costs_that_artifact_alone(folder), cut


@pytest.mark.usefixtures("_at_rest")
def test_garbage_in_any_block(sound: Path, tmp_path: Path) -> None:
    size = (sound / "artifacts" / f"{key(1)}.duckdb").stat().st_size

    def spoil(file: Path, at: int) -> None:
        with file.open("r+b") as stream:
            stream.seek(at)
            stream.write(bytes(byte ^ 0x5A for byte in (file.read_bytes()[at : at + 64])))

    for at in boundaries(size)[2:]:
        assert costs_that_artifact_alone(damaged_copy(sound, tmp_path / f"{at}", lambda file, at=at: spoil(file, at)))
        inside = at + 2000  # which in a header is not used
        costs_that_artifact_alone(damaged_copy(sound, tmp_path / f"{inside}", lambda file, at=inside: spoil(file, at)))


def somebody_elses(file: Path) -> None:
    file.unlink()
    with duckdb.connect(str(file)) as db:
        db.execute("CREATE TABLE edges AS SELECT 1 AS mine")


def another_artifact(file: Path) -> None:
    shutil.copy(file.with_name(f"{key(2)}.duckdb"), file)


def a_link(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.with_name(f"{key(2)}.duckdb"))


def a_folder(file: Path) -> None:
    file.unlink()
    (file / "below").mkdir(parents=True)


def text(file: Path) -> None:
    file.write_text("no database" * 1000)


@pytest.mark.usefixtures("_at_rest")
@pytest.mark.parametrize("damage", [somebody_elses, another_artifact, a_link, a_folder, text])
def test_a_file_of_somebody_else(sound: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    assert costs_that_artifact_alone(damaged_copy(sound, tmp_path / "cache", damage))


@pytest.mark.usefixtures("_at_rest")
@pytest.mark.parametrize("damage", [somebody_elses, another_artifact])
def test_a_foreign_file_of_the_right_size(sound: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    def pad(file: Path) -> None:
        size = file.stat().st_size
        damage(file)
        os.truncate(file, size)

    assert costs_that_artifact_alone(damaged_copy(sound, tmp_path / "cache", pad))


def test_a_file_and_a_record_that_were_just_moved_may_not_fit_yet(sound: Path, tmp_path: Path) -> None:
    """Between the two renames of a process that publishes what another did a moment before."""
    folder = damaged_copy(sound, tmp_path / "cache", another_artifact)
    with pytest.raises(StoreError, match="being replaced") as raised:
        content(folder, 1)
    assert not isinstance(raised.value, Damaged) and folder.notices == []


@pytest.mark.usefixtures("_at_rest")
def test_a_sound_file_gets_its_record_again_where_that_is_of_another_size(folder: ArtifactFolder) -> None:
    """Two processes that computed one key may move their files and records in turns."""
    folder.write(record(1), {"edges": edges(1)})
    stored = folder.record(key(1))
    assert stored
    folder.record_file_of(key(1)).unlink()
    folder.record_file_of(key(1)).write_text(replace(stored, size=stored.size + 1).as_text())
    assert is_whole(folder, 1) and folder.record(key(1)) == stored
    assert folder.notices == [] and ArtifactFolder(folder.path).record(key(1)) == stored


def test_many_threads_and_a_damaged_file(sound: Path, tmp_path: Path) -> None:
    """It is set aside once, and nothing else is."""

    def spoil(file: Path) -> None:
        with file.open("r+b") as stream:
            stream.seek(HEADERS + BLOCK)
            stream.write(b"\x00" * BLOCK)

    folder = damaged_copy(sound, tmp_path / "cache", spoil)
    failed: list[StoreError] = []

    def read() -> None:
        for _ in range(5):
            assert is_whole(folder, 2) and is_whole(folder, 3)
            try:
                content(folder, 1)
            except StoreError as error:
                failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 30 and any(isinstance(error, Damaged) for error in failed)
    assert len(list(folder.files.glob("*.duckdb.unreadable-*"))) == 1
    assert all(key(1) in sentence for sentence in folder.notices)
    assert is_whole(folder, 2) and is_whole(folder, 3)


@pytest.mark.usefixtures("_at_rest")
def test_what_replaced_a_damaged_file_stays(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process set it aside and computed it again while this one was reading it."""
    folder = damaged_copy(sound, tmp_path / "cache", another_artifact)
    judge = folder._judged

    def late(error: Exception) -> StoreError:
        other = ArtifactFolder(folder.path)
        with pytest.raises(Damaged):
            content(other, 1)
        fill(other, 1, rows=ROWS)
        return judge(error)  # type: ignore[arg-type]

    monkeypatch.setattr(folder, "_judged", late)
    with pytest.raises(StoreError, match="replaced meanwhile"):
        content(folder, 1)
    assert is_whole(folder, 1, ROWS) and folder.notices == []
