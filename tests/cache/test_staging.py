"""Staging: a folder of a process's own beside the artifacts, and which errors are those of writing it."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import duckdb
import pytest

from cache.errors import StoreError
from cache.owners import OWNED
from cache.staging import records_in, staged, write_record
from tests.cache.samples import key, record


def test_a_staged_folder_is_removed_whatever_happens(tmp_path: Path) -> None:
    with staged(tmp_path, tmp_path / "partial") as place:
        assert OWNED.fullmatch(place.name) and place.parent == tmp_path / "partial"
        (place / "below").mkdir()
    with pytest.raises(ZeroDivisionError), staged(tmp_path, tmp_path / "partial"):
        raise ZeroDivisionError
    assert not list((tmp_path / "partial").iterdir())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "Disk quota exceeded"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "CACHE/partial/x"), "Permission denied"),
        (duckdb.IOException('IO Error: Could not write file "CACHE/x": No space left'), "Could not write file"),
    ],
)
def test_errors_of_writing_are_a_sentence(tmp_path: Path, error: Exception, reason: str) -> None:
    arguments = [str(part).replace("CACHE", str(tmp_path)) if isinstance(part, str) else part for part in error.args]
    if isinstance(error, OSError) and error.filename:
        arguments.append(error.filename.replace("CACHE", str(tmp_path)))
    with pytest.raises(StoreError, match=reason) as raised, staged(tmp_path, tmp_path / "partial"):
        raise type(error)(*arguments)
    assert str(raised.value).startswith(f"The cache {tmp_path} cannot be written: ")


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file", "/a/bundle"),
        OSError(errno.EIO, "Input/output error"),
        duckdb.IOException('IO Error: Could not read from file "/a/bundle"'),
        duckdb.BinderException("Binder Error: no such column"),
        ValueError("no room"),
    ],
)
def test_other_errors_are_raised_as_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as raised, staged(tmp_path, tmp_path / "partial"):
        raise error
    assert raised.value is error


def test_a_record_is_written_with_the_size_of_its_file(tmp_path: Path) -> None:
    (tmp_path / f"{key(1)}.duckdb").write_bytes(b"x" * 123)
    about = write_record(tmp_path, record(1))
    assert about == tmp_path / f"{key(1)}.json" and json.loads(about.read_text())["size"] == 123


def test_circuits_come_last(tmp_path: Path) -> None:
    for number, kind in ((1, "circuit"), (2, "lens"), (3, "circuit"), (4, "ability")):
        (tmp_path / f"{key(number)}.duckdb").touch()
        write_record(tmp_path, record(number, kind=kind))
    (tmp_path / f"{key(5)}.json").write_text("no record")
    assert [path.stem for path in records_in(tmp_path)] == [key(number) for number in (2, 4, 5, 1, 3)]
