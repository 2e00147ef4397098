"""COUNTDOWN problems of a file as a task: saved, task again, and with corrupted examples."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from engine import settings
from engine.errors import UserError
from engine.models.encoding import encode
from engine.tasks.countdown import problem_file
from engine.tasks.countdown.problem_file import ProblemFile, corrupted_of, save
from engine.tasks.countdown.problems import PublishedProblem
from engine.tasks.countdown.published_format import drawn, written
from engine.tasks.natural import variant_for
from engine.tasks.registry import available, examples, task_named, task_names
from tests.engine.tasks.countdown.rules import solved_in_fractions
from tests.tiny_tokenizers import KINDS, tokenizer_like


def kept(count: int = 3, n: int = 8) -> ProblemFile:
    return save(list(drawn(count, n, seed=1)), f"CD{count}")


@pytest.mark.parametrize("count", [3, 4, 5])
def test_corrupted_problems_ask_the_same_operands_for_another_target_in_the_same_shape(count: int) -> None:
    pairs, rng = 0, random.Random(0)
    for row in drawn(count, 12, seed=2):
        corrupted = corrupted_of(rng, row)
        if corrupted is None:
            continue
        pairs += 1
        assert corrupted.operands == row.operands and corrupted.target != row.target and solved_in_fractions(corrupted)
        assert [c if c in "=," else c.isdecimal() for c in corrupted.output] == [
            c if c in "=," else c.isdecimal() for c in row.output
        ]
    assert pairs >= 8


def test_problems_without_a_corrupted_example_are_left_out_and_counted() -> None:
    alone = PublishedProblem((45, 96, 58), 83, "58-45=13,96-13=83")
    assert corrupted_of(random.Random(0), alone) is None
    rows = [row for row in drawn(3, 9, 0) if corrupted_of(random.Random(f"{row.content}/0"), row)]
    made = save([rows[0], alone, *rows[1:]], "Mine")
    assert made.rows == tuple(rows) and made.left_out == 1
    assert task_named(made.name).left_out == 1
    with pytest.raises(UserError, match=r"^None of the 1 problems has a corrupted example"):
        save([alone], "Mine")


def test_problems_that_are_there_twice_count_once() -> None:
    rows = [row for row in drawn(3, 9, 0) if corrupted_of(random.Random(f"{row.content}/0"), row)]
    made = save([rows[0], *rows, rows[1]], "Mine")
    assert made.name == save(rows, "Mine").name
    made = save([rows[0], *rows, rows[1]], "Mine")
    task = task_named(made.name)
    assert isinstance(task, ProblemFile)
    assert (task.rows, task.left_out, task.repeated) == (tuple(rows), 0, 2)
    assert task.remarks == ("2 more problems said the same as others: each counts once.",)
    assert task.blurb.endswith(task.remarks[0])


def test_what_was_kept_is_a_task_of_its_name() -> None:
    made = kept()
    task = task_named(made.name)
    assert isinstance(task, ProblemFile)
    assert (task.rows, task.title, task.count) == (made.rows, "CD3", 3)
    assert task_names()[-1] == made.name and problem_file.is_problem_file(made.name)
    assert available(task, 100) == len(task) == len(made.rows) and available(task, 2) == 2
    natural = variant_for(task, "natural", tokenizer_like("qwen"))
    assert examples(natural, 3, seed=0) == examples(natural, 3, seed=9)
    with pytest.raises(UserError, match=rf"^CD3 has {len(made)} problems, but 99 examples were asked for"):
        examples(task, 99, 0)


def test_in_words_a_problem_is_as_the_embedded_pair_reads_it() -> None:
    row = PublishedProblem((9, 5, 3), 24, "5*3=15,15+9=24")
    task = ProblemFile([row], "One")
    e = task.example(0)
    assert (e.prompt, e.answer) == ("make 24 from 9 5 3 :", "5 * 3 = 15 ; 15 + 9 = 24")
    assert task.check(e.prompt, e.answer) and task.check(e.corrupt_prompt, e.corrupt_answer)
    assert not task.check(e.prompt, e.corrupt_answer)
    assert e.corrupt_prompt.split()[3:] == e.prompt.split()[3:] and e.corrupt_prompt != e.prompt
    large = ProblemFile([PublishedProblem((86, 28, 18), 96, "86+28=114,114-18=96")], "Large")
    with pytest.raises(UserError, match="86,28,18,96 of Large has no corrupted example without numbers above 99"):
        large.example(0)


@pytest.mark.parametrize("count", [3, 4, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_in_natural_text_every_row_aligns(kind: str, count: int) -> None:
    made, tokenizer = kept(count), tokenizer_like(kind)
    task = variant_for(made, None, tokenizer)
    listed = examples(task, len(made), seed=0)
    assert (task.name, available(task, 99)) == (made.name, len(made))
    for e, row in zip(listed, made.rows, strict=True):
        encode(e, tokenizer)
        assert e.prompt.endswith(f"Input: {row.input}\nOutput:") and e.answer == row.output
        assert e.prompt.startswith(f"Given {count + 1} numbers, use +-*/ to operate over the first ")
        assert task.check(e.prompt, e.answer) and not task.check(e.prompt, e.corrupt_answer)
        prompt, answer = task.roles(e)
        assert (len(prompt), len(answer)) == (len(task.piece.findall(e.prompt)), len(task.piece.findall(e.answer)))
        assert prompt.count("operand") == len("".join(map(str, row.operands))) and answer[-2:] == ["final result"] * 2


def test_problems_that_are_gone_or_changed_are_a_sentence() -> None:
    made = kept()
    file: Path = settings.prompts_dir() / f"{made.name}.json"
    content = json.loads(file.read_text())
    for problems, message in ((written(made.rows[1:]), "were changed"), ("no", "cannot be read")):
        file.write_text(json.dumps({**content, "problems": problems}))
        with pytest.raises(UserError, match=message):
            task_named(made.name)
    assert task_names()[-1] != made.name
    file.write_text("[]")
    with pytest.raises(UserError, match="cannot be read"):
        task_named(made.name)
    file.unlink()
    with pytest.raises(UserError, match=r"are gone: .* Give the same file again\."):
        task_named(made.name)


@pytest.mark.parametrize("name", ["countdown-", "countdown-../../x", "countdown-0123456789AB", "own-0123456789ab"])
def test_only_digests_name_files(name: str) -> None:
    with pytest.raises(UserError, match="is not the name of problems"):
        problem_file.load(name)
