"""Sweeps that are kept for the app: read as they were, the latest first, damaged files left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine import settings
from engine.errors import UserError
from engine.sweeps.saved import save, saved, text_of
from engine.sweeps.sweep_file import Sweep, read


@pytest.mark.parametrize(
    "sweep",
    [
        Sweep("usual"),
        Sweep("all", ("embedded", 'a "b"\\c'), ("ioi", "t\n\x7f\u20ac"), ("arm", "steps"), ("eap", "relp"), (5, 7),
              ("kl",), ("random",), (0, 3), (1,), (0, 2**53 - 1), (8,), "bfloat16", ("circuit",), ("audit",), 4),
    ],
)  # fmt: skip
def test_a_sweep_is_read_as_it_was_kept(sweep: Sweep) -> None:
    save(sweep)
    assert saved() == [sweep]
    assert read(settings.sweeps_dir() / f"{sweep.name}.toml") == sweep


def test_the_later_sweep_of_a_name_stays_and_the_latest_is_first() -> None:
    for sweep in (Sweep("a"), Sweep("b"), Sweep("a", seeds=(1, 2))):
        save(sweep)
    folder = settings.sweeps_dir()
    os.utime(folder / "a.toml", (2, 2))
    os.utime(folder / "b.toml", (3, 3))
    assert saved() == [Sweep("b"), Sweep("a", seeds=(1, 2))]
    assert sorted(file.name for file in folder.iterdir()) == ["a.toml", "b.toml"]


def test_what_is_kept_already_is_not_written_again() -> None:
    save(Sweep("a"))
    file = settings.sweeps_dir() / "a.toml"
    os.utime(file, (2, 2))
    save(Sweep("a"))
    assert file.stat().st_mtime == 2


def test_damaged_files_are_left_out() -> None:
    assert saved() == []
    save(Sweep("a"))
    folder = settings.sweeps_dir()
    (folder / "bad.toml").write_text("models = [")
    (folder / "other.toml").write_text('colour = "red"')
    (folder / "binary.toml").write_bytes(b"\xff\xfe")
    (folder / "folder.toml").mkdir()
    (folder / "gone.toml").symlink_to(folder / "nothing")
    (folder / "notes.txt").write_text("")
    assert saved() == [Sweep("a")]


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    settings.sweeps_dir().write_text("in the way")
    with pytest.raises(UserError, match="The sweep a cannot be kept as"):
        save(Sweep("a"))


def test_only_what_is_unusual_is_written() -> None:
    assert text_of(Sweep("a")) == ""
    assert text_of(Sweep("a", seeds=(0, 1), dtype="float32")) == 'seeds = [0, 1]\ndtype = "float32"\n'
