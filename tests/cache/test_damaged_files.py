"""Files of the cache that are damaged, of somebody else or not what they should be cost that artifact alone."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from cache.errors import Damaged, Missing, StoreError
from cache.folder import ArtifactFolder
from cache.layout import SCHEMA
from tests.cache.samples import content, edges, fill, is_whole, key, names, record

ROWS = 5000  # several blocks


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


@pytest.mark.usefixtures("_at_rest")
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
