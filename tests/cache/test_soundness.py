"""Soundness: a file is read whole, in a database of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb
import pytest

from cache.artifact_file import write_file
from cache.layout import NoRecord
from cache.soundness import NOT_THE_FILE, damage_of, reason_of, record_inside, refuse_irregular
from tests.cache.samples import edges, key, record

HEADERS, BLOCK = 3 * 4096, 16_384


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "file.duckdb"
    write_file(path, record(1), {"edges": edges(1, 5000)})
    return path


def test_a_sound_file(sound: Path) -> None:
    assert damage_of(sound, key(1)) is None
    refuse_irregular(sound)
    with duckdb.connect(str(sound), read_only=True) as db:
        assert record_inside(db, "file", key(1)) == record(1)
        with pytest.raises(NoRecord, match="another artifact"):
            record_inside(db, "file", key(2))
    assert damage_of(sound, key(2)) == "it holds the record of another artifact"


def test_a_cut_file_is_damaged_wherever_it_is_cut(sound: Path, tmp_path: Path) -> None:
    for cut in (0, 1, 4096, 8192, *range(HEADERS, sound.stat().st_size, BLOCK)):
        copy = Path(shutil.copy(sound, tmp_path))
        os.truncate(copy, cut)
        assert damage_of(copy, key(1)), cut


def test_other_bytes_in_any_block_are_damage(sound: Path, tmp_path: Path) -> None:
    content = sound.read_bytes()
    for at in range(HEADERS, len(content), BLOCK):
        spoiled = bytearray(content)
        spoiled[at + 100] ^= 0xFF
        (tmp_path / "file.duckdb").write_bytes(spoiled)
        assert "checksum" in (damage_of(tmp_path / "file.duckdb", key(1)) or ""), at


@pytest.mark.parametrize(
    ("table", "rows"),
    [("other", "('x')"), ("artifact", "('x')"), ("artifact", "('x'), ('y')"), ("artifact", "(NULL)")],
)
def test_somebody_elses_database_is_none_of_ours(tmp_path: Path, table: str, rows: str) -> None:
    with duckdb.connect(str(tmp_path / "file.duckdb")) as db:
        db.execute(f"CREATE TABLE {table} AS SELECT * FROM (VALUES {rows}) AS rows(record)")  # noqa: S608
    assert damage_of(tmp_path / "file.duckdb", key(1)) in ("it holds no record", "it is not JSON")


def test_what_is_no_file(sound: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(sound)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "link", tmp_path / "pipe"):
        assert damage_of(path, key(1)) == "it is not a regular file"
        with pytest.raises(NoRecord, match="not a regular file"):
            refuse_irregular(path)
    with pytest.raises(FileNotFoundError):
        refuse_irregular(tmp_path / "nothing")


def test_a_disk_that_does_not_answer_is_no_damage(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("Input/output error", "Stale file handle", "Too many open files", "Connection timed out"):
        error = duckdb.IOException(f'IO Error: Could not read from file "x": {text}')
        assert NOT_THE_FILE.search(str(error))

        def fail(*arguments: object, error: duckdb.Error = error, **options: object) -> None:
            raise error

        monkeypatch.setattr(duckdb, "connect", fail)
        assert damage_of(sound, key(1)) is None


def test_reasons_are_one_short_line() -> None:
    assert reason_of(ValueError("first.\nsecond")) == "first"
    assert reason_of(OSError(28, "No space left on device", "file")) == "No space left on device"
    assert reason_of(ValueError()) == "ValueError"
    assert len(reason_of(ValueError("x" * 1000))) == 300
