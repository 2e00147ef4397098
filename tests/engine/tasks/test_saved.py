"""Saved tasks: one JSON file each, under the digest of what it holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine import settings
from engine.errors import UserError
from engine.tasks.registry import task_named
from engine.tasks.saved import SavedTasks

NAME, OTHER = "mine-0123456789ab", "mine-ba9876543210"


@dataclass
class Note:
    """A task of which only its name and its time are of interest."""

    name: str
    saved: str


def note_of(content: Any, file: Path) -> Note:
    return Note(content["name"], content["saved"])


NOTES = SavedTasks("mine-", "note-", "notes", "Write them again", note_of)


def write(name: str, saved: str = "2026-01-01") -> None:
    NOTES.write(name, json.dumps({"name": name, "saved": saved}))


def test_what_was_written_is_loaded_by_its_name_until_it_is_deleted() -> None:
    write(NAME)
    assert NOTES.file_of(NAME) == settings.prompts_dir() / "note-0123456789ab.json"
    assert NOTES.load(NAME) == Note(NAME, "2026-01-01")
    NOTES.delete(NAME)
    NOTES.delete(NAME)
    with pytest.raises(UserError, match=rf"^The notes {NAME} are gone: there is no .*\. Write them again\.$"):
        NOTES.load(NAME)


def test_a_file_is_read_again_when_it_changed() -> None:
    write(NAME)
    first = NOTES.load(NAME)
    assert NOTES.load(NAME) is first
    write(NAME, "2026-01-01T00:00")
    assert NOTES.load(NAME).saved == "2026-01-01T00:00"


def test_all_are_listed_newest_last_without_damaged_ones_and_those_of_other_kinds() -> None:
    write(NAME, "2026-01-02")
    write(OTHER, "2026-01-01")
    (settings.prompts_dir() / "note-111111111111.json").write_text("[]")
    (settings.prompts_dir() / "0123456789ab.json").write_text("{}")
    (settings.prompts_dir() / "note-x.json").write_text("{}")
    assert [note.name for note in NOTES.all()] == [OTHER, NAME]


@pytest.mark.parametrize("name", ["mine-", "mine-../../x", "mine-0123456789AB", "own-0123456789ab", f"{NAME}\n"])
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    assert not NOTES.is_name(name)
    for use in (NOTES.load, NOTES.delete, NOTES.file_of):
        with pytest.raises(UserError, match="is not the name of notes, which looks like mine-0123456789ab"):
            use(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [("no", "cannot be read"), ("{}", "cannot be read"), (json.dumps({"name": OTHER, "saved": ""}), "were changed")],
)
def test_another_content_than_was_saved_is_refused(content: str, message: str) -> None:
    write(NAME)
    NOTES.file_of(NAME).write_text(content)
    with pytest.raises(UserError, match=rf"{message}\. Delete the file\. Write them again\.$"):
        NOTES.load(NAME)


def test_files_of_earlier_versions_still_load() -> None:
    """As they lie on disk: without `repeated`, in the formats of own prompts and of problems."""
    folder = settings.prompts_dir()
    folder.mkdir(exist_ok=True)
    rows = [{"clean": "a", "corrupted": "b", "answers": ["c"], "foils": ["d"]}]
    own = {"title": "Letters", "pair": "p", "saved": "s", "rows": rows}
    (folder / "c682ac871315.json").write_text(json.dumps(own))
    lines = '{"input": "9,5,3,24", "output": "5*3=15,15+9=24"}\n'
    problems = {"title": "CD3", "saved": "s", "left_out": 2, "problems": lines}
    (folder / "countdown-05e46477bb3b.json").write_text(json.dumps(problems))
    assert task_named("own-c682ac871315").title == "Letters"
    assert task_named("countdown-05e46477bb3b").title == "CD3"
