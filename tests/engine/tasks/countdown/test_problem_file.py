"""COUNTDOWN problems from and to files in the published format; kept as tasks."""

from __future__ import annotations

import json
import random
import re
from ast import literal_eval
from collections import Counter
from fractions import Fraction
from itertools import count
from pathlib import Path

import pytest

from engine import settings
from engine.errors import UserError
from engine.models.encoding import encode
from engine.tasks import available, examples, spoken, task_named, task_names
from engine.tasks.base import split_of
from engine.tasks.countdown import problem_file
from engine.tasks.countdown.problem_file import ProblemFile, drawn, find_twin, read, save, written
from engine.tasks.countdown.text import PublishedProblem, is_solved
from tests.tiny_tokenizers import KINDS, tokenizer_like

PUBLISHED = '{"input": "86,28,13,31,96", "output": "86+28=114,31-13=18,114-18=96"}'


def kept(count: int = 3, n: int = 8) -> ProblemFile:
    return save(list(drawn(count, n, seed=1)), f"CD{count}")


def solved_in_fractions(row: PublishedProblem) -> bool:
    """The rules once more: every equation true, what it reads is there, and only the target is left."""
    there = Counter(row.operands)
    for equation in row.output.split(","):
        left, result = equation.split("=")
        a, operator, b = re.fullmatch(r"(\d+)([-+*/])(\d+)", left).groups()
        of = {"+": Fraction.__add__, "-": Fraction.__sub__, "*": Fraction.__mul__, "/": Fraction.__truediv__}
        assert of[operator](Fraction(a), Fraction(b)) == int(result) > 0
        there.subtract([int(a), int(b)])
        there[int(result)] += 1
    return +there == Counter([row.target]) and min(there.values()) >= 0


@pytest.mark.parametrize("count", [3, 4, 5])
def test_what_is_drawn_is_solved_held_out_and_in_the_published_ranges(count: int) -> None:
    rows = list(drawn(count, 60, seed=0))
    assert rows == list(drawn(count, 60, seed=0)) != list(drawn(count, 60, seed=1))
    assert len({row.content for row in rows}) == 60
    for row in rows:
        assert len(row.operands) == count and set(row.operands) <= set(range(1, 100)) and row.target in range(10, 100)
        assert solved_in_fractions(row) and is_solved(row.operands, row.target, row.output)
        _, operands, target = row.content.split("/")
        assert (literal_eval(operands), int(target)) == (tuple(sorted(row.operands)), row.target)
        assert split_of(row.content) == "heldout"


def test_the_published_line_is_read_and_written() -> None:
    (row,) = read(PUBLISHED.encode(), "cd4.jsonl")
    assert row == PublishedProblem((86, 28, 13, 31), 96, "86+28=114,31-13=18,114-18=96")
    assert written([row]) == PUBLISHED + "\n"
    assert read(f"\n{PUBLISHED}  \r\n\n".encode("utf-8-sig"), "x") == [row]
    rows = list(drawn(5, 20, seed=3))
    assert read(written(rows).encode(), "x") == rows


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("86,28,13", "it is not JSON"),
        ('["86,28,13"]', 'it is not {"input": "...", "output": "..."}'),
        ('{"input": "86,28,13"}', 'it is not {"input"'),
        ('{"input": 5, "output": "5"}', 'it is not {"input"'),
        ('{"input": "86,b,13,31", "output": ""}', "the input '86,b,13,31' is not a list of numbers"),
        ('{"input": "4,8,12", "output": "4+8=12"}', "it has 2 operands and a target, not 3 or 4 or 5 operands"),
        ('{"input": "100,1,9,90", "output": "100-1=99,99-9=90"}', "not every operand is from 1 to 99"),
        ('{"input": "1,2,3,6", "output": "1+2=3,3+3=6"}', "the target not from 10 to 99"),
        ('{"input": "86,28,18,96", "output": "86+28=114,114-18=97"}', "the output .* does not reach 96"),
        ('{"input": "86,28,18,96", "output": "86+10=96"}', "the output .* does not reach 96"),
        ('{"input": "86,28,18,96", "output": "86+28=114 114-18=96"}', "the output .* does not reach 96"),
        ('{"input": "86,28,18,96", "output": "__import__"}', "the output '__import__' does not reach 96"),
        ("[" * 100_000, "it has lists or tables more than 100 deep"),
        ('{"input": ' + "9" * 5_000 + "}", "it has a number of more than 100 digits"),
        ('{"input": "' + "9" * 5_000 + '", "output": ""}', "the input '9{40}' is not a list of numbers"),
        ('{"input": "1,2,13,16", "output": "1+2=' + "9" * 5_000 + '"}', "the output .* does not reach 16"),
        ('{"input": "86,28,18,96", "output": "\\ud800"}', "it has half a character"),
        ('{"input": "86,28,18,96", "output": "86+28=١١٤,114-18=96"}', "the output .* does not reach 96"),
        ('{"input": "٨٦,28,18,96", "output": "86+28=114,114-18=96"}', "is not a list of numbers"),
        ('{"input": "86,28,18,96", "output": "86+028=114,114-18=96"}', "has a number that begins with 0"),
        ("NaN", 'it is not {"input"'),
    ],
    ids=count(),
)
def test_a_wrong_line_is_refused_by_its_number_and_reason(line: str, said: str) -> None:
    with pytest.raises(UserError, match=rf"^bad\.jsonl cannot be used\. line 3: .*{said}"):
        read(f"\n\n{line}\n".encode(), "bad.jsonl")


def test_rows_of_another_length_are_refused() -> None:
    three = written(drawn(3, 1, 0))
    with pytest.raises(UserError, match=r"line 2: it has 4 operands and a target, not 3 operands\."):
        read((three + PUBLISHED).encode(), "x")


def test_many_wrong_lines_are_counted() -> None:
    with pytest.raises(UserError, match=r"line 5: it is not JSON\. And 4 more\.$"):
        read(b"no\n" * 9, "x")


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "x has 0 problems"), (b"\xff\xfe", "x is not UTF-8 text"), (b"a" * 4_000_001, "x has more than 4 MB")],
)
def test_what_is_no_file_of_problems_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(data, "x")


@pytest.mark.parametrize("count", [3, 4, 5])
def test_twins_ask_the_same_operands_for_another_target_in_the_same_shape(count: int) -> None:
    found, rng = 0, random.Random(0)
    for row in drawn(count, 12, seed=2):
        twin = find_twin(rng, row)
        if twin is None:
            continue
        found += 1
        assert twin.operands == row.operands and twin.target != row.target and solved_in_fractions(twin)
        assert [c if c in "=," else c.isdecimal() for c in twin.output] == [
            c if c in "=," else c.isdecimal() for c in row.output
        ]
    assert found >= 8


def test_problems_without_a_twin_are_left_out_and_counted() -> None:
    alone = PublishedProblem((45, 96, 58), 83, "58-45=13,96-13=83")
    assert find_twin(random.Random(0), alone) is None
    rows = [row for row in drawn(3, 9, 0) if find_twin(random.Random(f"{row.content}/0"), row)]
    made = save([rows[0], alone, *rows[1:]], "Mine")
    assert made.rows == tuple(rows) and made.left_out == 1
    assert task_named(made.name).left_out == 1
    with pytest.raises(UserError, match=r"^None of the 1 problems has a twin"):
        save([alone], "Mine")


def test_problems_that_are_there_twice_count_once() -> None:
    rows = [row for row in drawn(3, 9, 0) if find_twin(random.Random(f"{row.content}/0"), row)]
    made = save([rows[0], *rows, rows[1]], "Mine")
    assert made.name == save(rows, "Mine").name
    made = save([rows[0], *rows, rows[1]], "Mine")
    found = task_named(made.name)
    assert isinstance(found, ProblemFile)
    assert (found.rows, found.left_out, found.repeated) == (tuple(rows), 0, 2)
    assert found.remarks == ("2 more problems said the same as others: each counts once.",)
    assert found.blurb.endswith(found.remarks[0])


def test_what_was_kept_is_a_task_of_its_name() -> None:
    made = kept()
    found = task_named(made.name)
    assert isinstance(found, ProblemFile)
    assert (found.rows, found.title, found.count) == (made.rows, "CD3", 3)
    assert task_names()[-1] == made.name and problem_file.is_problem_file(made.name)
    assert available(found, 100) == len(found) == len(made.rows) and available(found, 2) == 2
    natural = spoken(found, "natural", tokenizer_like("qwen"))
    assert examples(natural, 3, seed=0) == examples(natural, 3, seed=9)
    with pytest.raises(UserError, match=rf"^CD3 has {len(made)} problems, but 99 examples were asked for"):
        examples(found, 99, 0)


def test_in_words_a_problem_is_as_the_embedded_pair_reads_it() -> None:
    row = PublishedProblem((9, 5, 3), 24, "5*3=15,15+9=24")
    task = ProblemFile([row], "One")
    e = task.example(0)
    assert (e.prompt, e.answer) == ("make 24 from 9 5 3 :", "5 * 3 = 15 ; 15 + 9 = 24")
    assert task.check(e.prompt, e.answer) and task.check(e.corrupt_prompt, e.corrupt_answer)
    assert not task.check(e.prompt, e.corrupt_answer)
    assert e.corrupt_prompt.split()[3:] == e.prompt.split()[3:] and e.corrupt_prompt != e.prompt
    large = ProblemFile([PublishedProblem((86, 28, 18), 96, "86+28=114,114-18=96")], "Large")
    with pytest.raises(UserError, match="86,28,18,96 of Large has no twin without numbers above 99"):
        large.example(0)


@pytest.mark.parametrize("count", [3, 4, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_in_natural_text_every_row_aligns(kind: str, count: int) -> None:
    made, tokenizer = kept(count), tokenizer_like(kind)
    task = spoken(made, None, tokenizer)
    found = examples(task, len(made), seed=0)
    assert (task.name, available(task, 99)) == (made.name, len(made))
    for e, row in zip(found, made.rows, strict=True):
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
    for problems, said in ((written(made.rows[1:]), "were changed"), ("no", "cannot be read")):
        file.write_text(json.dumps({**content, "problems": problems}))
        with pytest.raises(UserError, match=said):
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
    with pytest.raises(UserError, match="is not the name of kept problems"):
        problem_file.load(name)
