from __future__ import annotations

from engine.tasks.greater_than import CORRUPT_START, YEARS, GreaterThan
from tests.engine.tasks.conftest import drawn


def test_right_and_wrong_part_the_two_digit_numbers() -> None:
    task = GreaterThan()
    for e in drawn("greater_than", "heldout"):
        assert sorted([*e.right, *e.wrong]) == YEARS
        assert e.answer in e.right
        assert e.corrupt_answer in e.wrong
    for e in drawn("greater_than", "heldout")[:200]:
        assert {word for word in task.words() if task.check(e.prompt, word)} == set(e.right)


def test_the_corrupted_prompt_starts_in_the_first_year_of_the_same_century() -> None:
    for e in drawn("greater_than", "heldout"):
        pairs = list(zip(e.prompt.split(), e.corrupt_prompt.split(), strict=True))
        (changed,) = [pair for pair in pairs if pair[0] != pair[1]]
        assert changed[1] == CORRUPT_START
        assert int(changed[0]) < int(e.answer)
