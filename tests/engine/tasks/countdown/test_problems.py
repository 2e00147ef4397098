"""COUNTDOWN's arithmetic: results, combinations of operands, corrupted problems, and what solves a problem."""

from __future__ import annotations

import random

import pytest

from engine.tasks.countdown.problems import (
    PublishedProblem,
    answer_roles,
    apply,
    combined,
    draw_row,
    find_corrupted,
    is_solved,
    solves,
)
from tests.engine.tasks.countdown.rules import solved_in_fractions


@pytest.mark.parametrize(
    ("operator", "a", "b", "result"),
    [
        ("+", 2, 3, 5),
        ("*", 2, 3, 6),
        ("-", 3, 3, 0),
        ("-", 2, 3, None),
        ("/", 6, 3, 2),
        ("/", 7, 3, None),
        ("/", 7, 0, None),
        ("^", 2, 3, None),
    ],
)
def test_results_are_whole_and_never_negative(operator: str, a: int, b: int, result: int | None) -> None:
    assert apply(operator, a, b) == result


def test_every_number_is_used_once_and_the_target_is_last() -> None:
    assert solves([9, 5, 3], 24, ["5 * 3 = 15".split(), "15 + 9 = 24".split()])
    assert not solves([9, 5, 3], 24, ["5 * 3 = 15".split(), "15 + 5 = 20".split()])
    assert not solves([9, 5, 3], 15, ["5 * 3 = 15".split()])
    assert not solves([9, 5, 3], 24, ["5 * 3 = 16".split(), "15 + 9 = 24".split()])
    assert not solves([9, 5, 3], 24, [])


def test_an_answer_as_published_is_read_to_its_end() -> None:
    assert is_solved((9, 5, 3), 24, "5*3=15, 15+9=24")
    assert not is_solved((9, 5, 3), 24, "5*3=15,15+9=24,")
    assert not is_solved((9, 5, 3), 24, "")


def test_roles_name_operands_results_and_the_last_one() -> None:
    roles = answer_roles("5 * 3 = 15 ; 15 + 9 = 24".split())
    assert roles[:6] == ["used operand", "operator", "used operand", "punctuation", "result", "punctuation"]
    assert roles[-1] == "final result"


def test_a_combination_may_begin_with_given_equations() -> None:
    rng = random.Random(0)
    rows = [combined(rng, (9, 5, 3), begun="5*3=15") for _ in range(50)]
    reached = [row for row in rows if row is not None]
    assert reached and all(row.output.startswith("5*3=15,") and solved_in_fractions(row) for row in reached)


@pytest.mark.parametrize("count", [3, 4, 5])
def test_corrupted_problems_keep_operands_and_shape_and_begin_as_asked(count: int) -> None:
    rng, pairs = random.Random(0), 0
    for _ in range(20):
        row = draw_row(rng, count, "heldout")
        corrupted = find_corrupted(rng, row, 1500, keep=1)
        if corrupted is None:
            continue
        pairs += 1
        assert corrupted.operands == row.operands and corrupted.target != row.target
        assert corrupted.shape == row.shape and solved_in_fractions(corrupted)
        assert corrupted.output.split(",")[0] == row.output.split(",")[0]
    assert pairs >= 3


def test_where_there_is_no_other_target_nothing_is_corrupted() -> None:
    assert find_corrupted(random.Random(0), PublishedProblem((45, 96, 58), 83, "58-45=13,96-13=83"), 500) is None
