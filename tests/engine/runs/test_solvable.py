"""When a model counts as able to do a task."""

from __future__ import annotations

import pytest

from engine.runs.records import Accuracy
from engine.runs.solvable import can_do
from engine.tasks import own_prompts
from engine.tasks.own_prompts import PromptRow
from engine.tasks.registry import TASKS


@pytest.mark.parametrize(
    ("task", "solved", "of", "able"),
    [
        ("countdown", 150, 300, True),
        ("countdown", 149, 300, False),
        ("sudoku", 1, 1, True),
        ("ioi", 166, 300, False),  # 55.3 %, the interval begins at 49.7 %
        ("ioi", 167, 300, True),
        ("ioi", 3, 3, False),  # its interval begins at 44 %
        ("ioi", 4, 4, True),
        ("greater_than", 165, 300, False),
        ("greater_than", 0, 300, False),
    ],
)
def test_half_must_be_solved_and_more_than_by_guessing(task: str, solved: int, of: int, able: bool) -> None:
    ability = can_do(TASKS[task], Accuracy(solved / of, of))
    assert (ability.can, ability.reason == "") == (able, able)


def test_the_reason_is_a_sentence_with_the_numbers() -> None:
    low = can_do(TASKS["sudoku"], Accuracy(0.12, 300))
    assert low.reason == ("It solves 12% of 300 problems, less than 50%: its circuit is not informative.")
    guessed = can_do(TASKS["ioi"], Accuracy(0.55, 300))
    assert guessed.reason == (
        "It solves 55% of 300 problems (95 % interval 49% to 61%), which is no clear sign of more than guessing "
        "(50%): its circuit is not informative."
    )


def test_nothing_speaks_against_a_model_that_is_not_measured_yet() -> None:
    assert can_do(TASKS["ioi"], None).can


def test_own_prompts_are_not_guessed() -> None:
    task = own_prompts.save([PromptRow("a", "b", ("c",), ("d",))], "Mine", "embedded")
    assert can_do(task, Accuracy(1.0, 1)).can
    assert not can_do(task, Accuracy(0.0, 1)).can
