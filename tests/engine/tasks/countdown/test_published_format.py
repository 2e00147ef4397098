"""COUNTDOWN problems from and to files in the published format."""

from __future__ import annotations

from ast import literal_eval
from itertools import count

import pytest

from engine.errors import UserError
from engine.tasks.base import split_of
from engine.tasks.countdown.problems import PublishedProblem, is_solved
from engine.tasks.countdown.published_format import drawn, read, written
from tests.engine.tasks.countdown.rules import solved_in_fractions

PUBLISHED = '{"input": "86,28,13,31,96", "output": "86+28=114,31-13=18,114-18=96"}'


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
    ("line", "message"),
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
        ("NaN", "it has NaN, which is no number"),
    ],
    ids=count(),
)
def test_a_wrong_line_is_refused_by_its_number_and_reason(line: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"^bad\.jsonl cannot be used\. line 3: .*{message}"):
        read(f"\n\n{line}\n".encode(), "bad.jsonl")


def test_rows_of_another_length_are_refused() -> None:
    three = written(drawn(3, 1, 0))
    with pytest.raises(UserError, match=r"line 2: it has 4 operands and a target, not 3 operands\."):
        read((three + PUBLISHED).encode(), "x")


def test_many_wrong_lines_are_counted() -> None:
    with pytest.raises(UserError, match=r"line 5: it is not JSON\. And 4 more\.$"):
        read(b"no\n" * 9, "x")


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "x has 0 problems"), (b"\xff\xfe", "x is not UTF-8 text"), (b"a" * 4_000_001, "x has more than 4 MB")],
)
def test_what_is_no_file_of_problems_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(data, "x")
