"""Cleaning: what dead processes left is finished or removed, what living ones write stays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cache import cleaning, leases
from cache.cleaning import READY, is_new
from cache.folder import ArtifactFolder
from cache.leases import take
from cache.owners import ABANDONED, machine, owned_name
from tests.cache.samples import content, edges, fill, is_whole, key, names, record
from tests.cache.test_owners import age, dead_process


def left_behind(folder: ArtifactFolder) -> Path:
    """A staged folder of a dead process."""
    place = folder.partial / f"{machine()}-{dead_process()}-0123456789ab"
    place.mkdir()
    return place


def test_what_dead_processes_were_writing_is_removed(folder: ArtifactFolder) -> None:
    place = left_behind(folder)
    folder.write_staged(place, record(1), {"edges": edges(1)})
    elsewhere, old = (folder.partial / f"elsewhere-{pid}-0123456789ab" for pid in (1, 2))
    own = folder.partial / owned_name()
    for path in (elsewhere, old, own):
        path.mkdir()
    age(old, ABANDONED + 60)
    (folder.partial / "README").write_text("somebody's")
    assert ArtifactFolder(folder.path).records() == []
    assert {path.name for path in folder.partial.iterdir()} == {elsewhere.name, own.name, "README"}


def test_what_was_ready_is_published(folder: ArtifactFolder) -> None:
    place = left_behind(folder)
    fill(folder, 3)
    for number in (1, 2, 3):
        folder.write_staged(place, record(number, imported="2026-02-02"), {"edges": edges(number)})
    (place / READY).touch()
    (place / f"{key(1)}.duckdb").replace(folder.file_of(key(1)))  # it was killed between the two
    opened = ArtifactFolder(folder.path)
    assert {made.key: made.imported for made in opened.records()} == {
        key(1): "2026-02-02",
        key(2): "2026-02-02",
        key(3): None,
    }
    assert all(is_whole(opened, number) for number in (1, 2, 3)) and not list(folder.partial.iterdir())


def test_circuits_are_published_last(folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    publish = folder.publish
    monkeypatch.setattr(folder, "publish", lambda about: (order.append(about.stem), publish(about)))
    with folder.staged() as place:
        for number, kind in ((1, "circuit"), (2, "lens"), (3, "circuit"), (4, "weights")):
            folder.write_staged(place, record(number, kind=kind), {"edges": edges(number)})
        folder.finish(place)
        folder.finish(place)
    assert order == [key(number) for number in (2, 4, 1, 3)]


@pytest.mark.usefixtures("_at_rest")
def test_a_file_gets_its_record_again(folder: ArtifactFolder) -> None:
    fill(folder, 1, 2)
    expected = folder.records()
    folder.record_file_of(key(1)).unlink()
    assert [made.key for made in folder.records()] == [key(2)]
    opened = ArtifactFolder(folder.path)
    assert opened.records() == expected and json.loads(folder.record_file_of(key(1)).read_text())["key"] == key(1)
    assert is_whole(opened, 1) and opened.notices == []


@pytest.mark.usefixtures("_at_rest")
def test_an_artifact_whose_deletion_was_interrupted_stays_deleted(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder, 1, 2)
    unlink, times = Path.unlink, iter(range(2))

    def once(path: Path, missing_ok: bool = False) -> None:
        if next(times):
            raise KeyboardInterrupt  # for a kill
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", once)
    with pytest.raises(KeyboardInterrupt):
        folder.delete(key(1))
    monkeypatch.undo()
    assert folder.record(key(1)) is None and [made.key for made in folder.records()] == [key(2)]
    monkeypatch.setattr(cleaning, "BEING_WRITTEN", 0.0)
    assert [made.key for made in ArtifactFolder(folder.path).records()] == [key(2)]
    assert names(folder) == {f"{key(2)}.duckdb", f"{key(2)}.json", "partial"}


@pytest.mark.usefixtures("_at_rest")
def test_a_file_without_a_record_that_is_none_is_set_aside(folder: ArtifactFolder) -> None:
    fill(folder, 1)
    folder.file_of(key(2)).write_text("no database")
    folder.file_of(key(3)).mkdir()
    (folder.files / "notes.duckdb").write_text("not of the cache")
    opened = ArtifactFolder(folder.path)
    assert [made.key for made in opened.records()] == [key(1)] and len(opened.notices) == 2
    assert len(list(folder.files.glob("*.unreadable-*"))) == 2 and (folder.files / "notes.duckdb").exists()


def test_a_file_that_was_just_moved_waits_for_its_record(folder: ArtifactFolder) -> None:
    fill(folder, 1)
    folder.record_file_of(key(1)).unlink()
    assert is_new(folder.record_file_of(key(1)), folder.file_of(key(1))) and not is_new(folder.record_file_of(key(1)))
    assert ArtifactFolder(folder.path).records() == []
    assert names(folder) == {f"{key(1)}.duckdb", "partial"}
    fill(folder, 1)
    assert is_whole(folder, 1)


def test_stale_leases_are_removed(folder: ArtifactFolder) -> None:
    assert take(folder.lease_of(key(1)))
    fields = {"pid": dead_process(), "host": "", "machine": machine(), "since": 0.0}
    folder.lease_of(key(2)).write_text(json.dumps(fields))
    folder.lease_of(key(3)).write_text(json.dumps(fields | {"machine": "elsewhere"}))
    ArtifactFolder(folder.path)
    assert names(folder) == {f"{key(1)}.lease", f"{key(3)}.lease", "partial"}
    assert [lease.key for lease in sorted(folder.leases(), key=lambda lease: lease.key)] == sorted([key(1), key(3)])


@pytest.mark.usefixtures("_at_rest")
def test_what_was_to_replace_a_lease_when_its_process_was_killed_is_removed(folder: ArtifactFolder) -> None:
    for ending in (leases.REMOVING, leases.RENEWING):
        folder.lease_of(key(1)).with_suffix(f".lease.{ending}").touch()
    ArtifactFolder(folder.path)
    assert names(folder) == {"partial"}


@pytest.mark.usefixtures("_at_rest")
def test_two_that_clean_at_once(folder: ArtifactFolder) -> None:
    place = left_behind(folder)
    for number in range(6):
        folder.write_staged(place, record(number), {"edges": edges(number)})
    (place / READY).touch()
    children = []
    for _ in range(3):
        pid = os.fork()
        if not pid:
            ArtifactFolder(folder.path)
            os._exit(0)
        children.append(pid)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
    assert len(folder.records()) == 6 and all(content(folder, number).num_rows for number in range(6))
    assert not list(folder.partial.iterdir())
