"""Own prompts as a task: kept in a file under the name of their content, told when they are gone or changed."""

from __future__ import annotations

import json
import os
import random
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path

import pytest

from engine import settings
from engine.errors import UserError
from engine.runs import provenance
from engine.runs.spec import RunSpec
from engine.tasks import own_prompts
from engine.tasks.own_prompts import PromptRow
from engine.tasks.registry import TASKS, available, examples, task_named, task_names

ROWS = (
    PromptRow("Mary and  John ,\nJohn gave", "Mary and  John ,\nMary gave", (" Mary",), (" John",)),
    PromptRow("17 32 to 17", "17 01 to 17", ("33", "34"), ("30",)),
    PromptRow("a b c", "a b", ("c d",), ("d c",)),
)

ANOTHER = json.dumps(
    {
        "title": "x", "pair": "p", "saved": "s",
        "rows": [{"clean": "a", "corrupted": "b", "answers": ["c"], "foils": ["d"]}],
    }
)  # fmt: skip


def file_of(name: str) -> Path:
    return settings.prompts_dir() / f"{name.removeprefix('own-')}.json"


def test_what_was_saved_is_found_by_its_name() -> None:
    kept = own_prompts.save(ROWS, "  My  prompts ", "embedded")
    loaded = task_named(kept.name)
    assert isinstance(loaded, own_prompts.OwnPrompts)
    assert own_prompts.is_own(kept.name)
    assert (loaded.rows, loaded.title, loaded.pair, loaded.saved) == (ROWS, "My prompts", "embedded", kept.saved)
    assert loaded.family == "own prompts"
    assert [file.name for file in settings.prompts_dir().iterdir()] == [file_of(kept.name).name]


@pytest.mark.parametrize(
    "rows",
    [
        ROWS[:2],
        (ROWS[1], ROWS[0], ROWS[2]),
        (replace(ROWS[0], clean="x"), *ROWS[1:]),
        (replace(ROWS[0], corrupted="x"), *ROWS[1:]),
        (replace(ROWS[0], answers=(" Mary", " Anna")), *ROWS[1:]),
        (replace(ROWS[0], foils=("John",)), *ROWS[1:]),
        (replace(ROWS[0], answers=ROWS[0].foils, foils=ROWS[0].answers), *ROWS[1:]),
    ],
)
def test_other_rows_have_another_name(rows: tuple[PromptRow, ...]) -> None:
    assert own_prompts.digest_of(rows) != own_prompts.digest_of(ROWS)


def test_the_title_is_no_part_of_the_name_and_the_latest_counts() -> None:
    first = own_prompts.save(ROWS, "One", "embedded")
    again = own_prompts.save(ROWS, "Two", "embedded")
    assert first.name == again.name
    assert task_named(first.name).title == "Two"
    assert len(own_prompts.saved_sets()) == 1


def test_a_title_is_short_and_never_empty() -> None:
    assert own_prompts.save(ROWS, " \n ", "embedded").title == "Own prompts"
    assert own_prompts.save(ROWS, "x" * 500, "embedded").title == "x" * own_prompts.LONGEST_TITLE


def test_no_rows_are_no_set() -> None:
    with pytest.raises(UserError, match=r"^There are no prompts to save\. Write at least one row\.$"):
        own_prompts.save([], "Nothing", "embedded")
    assert not settings.prompts_dir().exists()


def test_names_are_the_built_in_ones_then_own_ones_newest_last(monkeypatch: pytest.MonkeyPatch) -> None:
    assert task_names() == list(TASKS)
    kept = [own_prompts.save(ROWS[i:], f"Set {i}", "embedded") for i in range(3)]
    for day, prompts in zip((3, 1, 2), kept, strict=True):
        content = json.loads(file_of(prompts.name).read_text())
        file_of(prompts.name).write_text(json.dumps({**content, "saved": f"2026-01-0{day}T00:00:00+00:00"}))
        os.utime(file_of(prompts.name), (day, day))
    assert task_names() == [*TASKS, kept[1].name, kept[2].name, kept[0].name]
    with pytest.raises(UserError, match=f"'chess'.*{kept[0].name}"):
        task_named("chess")


def test_a_row_is_an_example_and_candidates_come_with_both_sides() -> None:
    plain, several, _ = (row.example() for row in ROWS)
    assert (plain.prompt, plain.corrupt_prompt) == (ROWS[0].clean, ROWS[0].corrupted)
    assert (plain.answer, plain.corrupt_answer, plain.right, plain.wrong) == (" Mary", " John", (), ())
    assert (several.answer, several.corrupt_answer) == ("33", "30")
    assert (several.right, several.wrong) == (("33", "34"), ("30",))


def test_examples_are_the_first_rows_whatever_the_seed() -> None:
    task = own_prompts.save(ROWS, "Mine", "embedded")
    assert examples(task, 2, seed=0) == examples(task, 2, seed=9) == [row.example() for row in ROWS[:2]]
    assert available(task, 300) == 3
    assert available(task, 2) == 2
    assert available(TASKS["ioi"], 300) == 300
    with pytest.raises(UserError, match=r"^Mine has 3 rows, but 4 examples were asked for\. Ask for 3\.$"):
        examples(task, 4, seed=0)
    with pytest.raises(UserError, match=r"^Mine has 1 row, but 4 examples"):
        examples(own_prompts.save(ROWS[:1], "Mine", "embedded"), 4, seed=0)


def test_every_row_can_be_sampled() -> None:
    task, rng = own_prompts.save(ROWS, "Mine", "embedded"), random.Random(0)
    assert {task.sample(rng, "train").prompt for _ in range(60)} == {row.clean for row in ROWS}


def test_the_checker_takes_any_right_answer_of_its_own_prompt() -> None:
    task = own_prompts.save(ROWS, "Mine", "embedded")
    assert task.check(ROWS[0].clean, "Mary") and task.check(ROWS[0].clean, " Mary\n")
    assert task.check(ROWS[1].clean, "33") and task.check(ROWS[1].clean, "34")
    assert task.check(ROWS[2].clean, "c d")
    for prompt, answer in (
        (ROWS[0].clean, "John"), (ROWS[0].clean, "mary"), (ROWS[0].clean, ""), (ROWS[1].clean, "Mary"),
        (ROWS[1].clean, "30"), (ROWS[1].clean, "33 34"), (ROWS[2].clean, "cd"), (ROWS[0].corrupted, "Mary"),
    ):  # fmt: skip
        assert not task.check(prompt, answer)


def test_roles_say_what_was_changed() -> None:
    task = own_prompts.save(ROWS, "Mine", "embedded")
    roles = [task.roles(row.example()) for row in ROWS]
    assert roles[0] == (["other", "other", "other", "other", "changed", "end"], ["answer"])
    assert roles[1] == (["other", "changed", "other", "end"], ["answer"])
    assert roles[2] == (["other", "other", "end"], ["answer", "answer"])  # words don't align: nothing is told apart


def test_words_are_those_of_all_texts_once() -> None:
    words = own_prompts.save(ROWS, "Mine", "embedded").words()
    assert len(words) == len(set(words))
    assert {"Mary", "John", ",", "gave", "01", "34", "30", "d"} <= set(words)


def test_rows_that_say_the_same_count_once() -> None:
    kept = own_prompts.save(
        [*ROWS, ROWS[1], replace(ROWS[1], answers=ROWS[1].answers[::-1])], "Mine", "embedded", repeated=1
    )
    loaded = own_prompts.load(kept.name)
    assert kept.name == own_prompts.save(ROWS, "Mine", "embedded").name
    assert (loaded.rows, len(loaded), loaded.repeated) == (ROWS, 3, 3)
    assert loaded.remarks == ("3 more rows said the same as others: each counts once.",)
    assert loaded.blurb == f"Own prompts, 3 rows, written for the pair embedded. {loaded.remarks[0]}"
    assert own_prompts.OwnPrompts(ROWS, "Mine", "embedded", "").remarks == ()


def test_a_set_of_before_with_a_row_twice_has_it_once() -> None:
    rows = (*ROWS, ROWS[0])
    content = {"title": "Mine", "pair": "embedded", "saved": "s", "rows": [asdict(row) for row in rows]}
    name = f"own-{own_prompts.digest_of(rows)}"
    settings.prompts_dir().mkdir()
    file_of(name).write_text(json.dumps(content))
    loaded = own_prompts.load(name)
    assert (loaded.name, loaded.rows, loaded.repeated) == (name, ROWS, 1)


def test_rows_that_contradict_each_other_are_no_examples() -> None:
    against = replace(ROWS[0], answers=ROWS[0].foils, foils=ROWS[0].answers)
    task = own_prompts.save([*ROWS, against], "Mine", "embedded")
    assert examples(task, 3, seed=0) == [row.example() for row in ROWS]
    with pytest.raises(UserError, match=r"^Rows 1 and 4 of Mine contradict each other: after the same clean prompt"):
        examples(task, 4, seed=0)


def test_a_set_that_is_gone_is_a_sentence() -> None:
    kept = own_prompts.save(ROWS, "Mine", "embedded")
    own_prompts.delete(kept.name)
    own_prompts.delete(kept.name)
    with pytest.raises(UserError, match=rf"^The own prompts {kept.name} are gone: .*Save the same prompts again\.$"):
        task_named(kept.name)
    assert own_prompts.save(ROWS, "Mine", "embedded").name == kept.name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read"),
        ("[]", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("9" * 5_000, "cannot be read"),
        ('{"title": "x", "pair": "p", "saved": "s", "repeated": 1e999, "rows": []}', "cannot be read"),
        ('{"title": "\\ud800", "pair": "p", "saved": "s", "rows": []}', "cannot be read"),
        ('{"title": "x", "pair": "p", "saved": "s", "rows": [{"clean": "a"}]}', "cannot be read"),
        ('{"title": "x", "pair": "p", "saved": "s", "rows": []}', "were changed"),
        (ANOTHER, "were changed"),
    ],
    ids=count(),
)
def test_a_damaged_file_is_told_by_name_and_hides_no_other(content: str, message: str) -> None:
    kept, other = own_prompts.save(ROWS, "Mine", "embedded"), own_prompts.save(ROWS[:1], "Other", "embedded")
    task_named(kept.name)
    file_of(kept.name).write_text(content)
    with pytest.raises(UserError, match=message):
        task_named(kept.name)
    assert [prompts.name for prompts in own_prompts.saved_sets()] == [other.name]


@pytest.mark.parametrize(
    "name", ["own-", "own-../../../etc", "own-0123456789AB", "own-0123456789abc", "own-0123456789ab\n"]
)
def test_only_digests_name_files(name: str) -> None:
    assert not own_prompts.is_own(name)
    with pytest.raises(UserError):
        own_prompts.load(name)
    with pytest.raises(UserError):
        own_prompts.delete(name)


def test_a_folder_that_cannot_be_made_is_a_sentence() -> None:
    settings.prompts_dir().write_text("a file")
    with pytest.raises(UserError, match="The own prompts cannot be saved in"):
        own_prompts.save(ROWS, "Mine", "embedded")


def test_a_save_that_fails_leaves_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = own_prompts.save(ROWS, "Before", "embedded")

    def full(self: Path, text: str, encoding: str) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="No space left on device"):
        own_prompts.save(ROWS, "After", "embedded")
    assert [prompts.title for prompts in own_prompts.saved_sets()] == ["Before"]
    assert task_named(kept.name).title == "Before"
    assert list(settings.prompts_dir().iterdir()) == [file_of(kept.name)]


@pytest.mark.usefixtures("workspace")
def test_a_runs_key_follows_the_rows_and_needs_the_file() -> None:
    whole, other = (own_prompts.save(rows, "Mine", "embedded") for rows in (ROWS, ROWS[:2]))
    keys = [provenance.resolve(RunSpec(task=task.name, n=2)).key for task in (whole, other)]
    assert keys[0] != keys[1]
    own_prompts.save(ROWS, "Another title", "embedded")
    assert provenance.resolve(RunSpec(task=whole.name, n=2)).key == keys[0]
    own_prompts.delete(whole.name)
    with pytest.raises(UserError, match="are gone"):
        provenance.resolve(RunSpec(task=whole.name, n=2))
