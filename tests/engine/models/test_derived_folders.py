"""Derived folders are whole or not there, whoever is interrupted, and however many processes make one at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import SafetensorError

from engine.errors import UserError
from engine.models.derived_folders import ABANDONED, derived_folder, make_once

MANY = """
import sys, time
from pathlib import Path
from engine.models.derived_folders import derived_folder, make_once

def fill(folder):
    (folder / "a").write_text(sys.argv[1])
    time.sleep(0.5)  # so that both write at the same time
    (folder / "b").write_text(sys.argv[1])

print(make_once(derived_folder("0123"), fill))
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path))
    return tmp_path / "models"


def write_a(folder: Path) -> None:
    (folder / "a").write_text("whole")


def refuse(folder: Path) -> None:
    raise AssertionError("it was made a second time")


def test_a_folder_is_made_once(place: Path) -> None:
    folder = make_once(derived_folder("0123"), write_a)
    assert (folder.parent, (folder / "a").read_text()) == (place, "whole")
    assert make_once(derived_folder("0123"), refuse) == folder
    assert derived_folder("0124") != folder


@pytest.mark.parametrize("reason", [KeyboardInterrupt, UserError, MemoryError])
def test_an_interrupted_one_leaves_nothing(place: Path, reason: type[BaseException]) -> None:
    def interrupted(folder: Path) -> None:
        write_a(folder)
        raise reason

    with pytest.raises(reason):
        make_once(derived_folder("0123"), interrupted)
    assert list(place.iterdir()) == []
    assert (make_once(derived_folder("0123"), write_a) / "a").is_file()


def test_a_killed_one_is_removed_after_a_day(place: Path) -> None:
    for name, age in (("old", ABANDONED + 9), ("new", 0)):
        part = place / f".writing-{name}" / "part"
        part.mkdir(parents=True)
        for path in (part, part.parent):
            os.utime(path, (time.time() - age,) * 2)
    folder = make_once(derived_folder("0123"), write_a)
    assert sorted(place.iterdir()) == [place / ".writing-new", folder]


def test_two_processes_make_one_folder(place: Path) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", MANY, name], stdout=subprocess.PIPE, text=True) for name in ("x", "y")
    ]
    assert {process.communicate()[0].strip() for process in started} == {str(derived_folder("0123"))}
    assert [process.returncode for process in started] == [0, 0]
    (folder,) = place.iterdir()
    assert (folder / "a").read_text() == (folder / "b").read_text()


def test_a_place_that_cannot_be_written_is_told(place: Path) -> None:
    place.write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"No model can be made in .*models"):
        make_once(derived_folder("0123"), write_a)


def test_a_full_disk_is_told(place: Path) -> None:
    def full(folder: Path) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(UserError, match=r"No model can be made in .*: .*No space left on device"):
        make_once(derived_folder("0123"), full)
    assert list(place.iterdir()) == []
