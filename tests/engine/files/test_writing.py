"""What commands write: whole or not at all, never over another file, put back when a command is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import UserError
from engine.files.writing import new_file, put_back, refuse_existing, write_new


def test_a_new_file_is_written_whole_and_the_same_again_is_no_matter(tmp_path: Path) -> None:
    for _ in range(2):
        write_new(tmp_path / "a.json", b"content")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.json", b"content")]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("file", "is there already"),
        ("folder", "is there already"),
        ("dangling", "is there already"),
        ("none/x", "there is no folder"),
        ("file/x", "there is no folder"),
        ("x" * 300, "File name too long"),
        (".", "is there already"),
    ],
)
def test_what_is_there_stays_and_odd_places_are_refused(tmp_path: Path, place: str, message: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.iterdir())
    for refused in (lambda: write_new(tmp_path / place, b"content"), lambda: refuse_existing(tmp_path / place)):
        with pytest.raises(UserError, match=message):
            refused()
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "file").read_text() == "mine"


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with new_file(tmp_path / "a.json") as file:
            file.write(b"half")
            assert not (tmp_path / "a.json").exists()
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"a\.json cannot be written: No space left on device"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_came_meanwhile_stays(tmp_path: Path) -> None:
    def write() -> None:
        with new_file(tmp_path / "a") as file:
            file.write(b"mine")
            (tmp_path / "a").write_text("theirs")

    with pytest.raises(UserError, match="is there already"):
        write()
    assert (tmp_path / "a").read_text() == "theirs" and len(list(tmp_path.iterdir())) == 1


def test_a_file_is_put_back_as_it_was(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "folder" / "new"
    old.write_text("before")
    undo = [put_back(old), put_back(new)]
    old.write_text("after")
    new.parent.mkdir()
    new.write_text("after")
    for put_file_back in undo:
        put_file_back()
    assert old.read_text() == "before" and list(tmp_path.iterdir()) == [old]
