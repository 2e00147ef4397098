"""What tasks share: the split by content, distinct examples of a seed, and rows that are listed instead of drawn."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.models.example import Example
from engine.tasks.base import HELDOUT_SHARE, Listed, Split, Task, split_of
from engine.tasks.registry import examples

ROOT = Path(__file__).parents[3]


def test_examples_are_a_function_of_the_seed(task: Task, split: Split) -> None:
    sampled = examples(task, 60, seed=3, split=split)
    assert sampled == examples(task, 60, seed=3, split=split)
    assert sampled[:20] == examples(task, 20, seed=3, split=split)
    assert sampled != examples(task, 60, seed=4, split=split)
    assert len({e.prompt for e in sampled}) == 60
    assert {split_of(e.content) for e in sampled} == {split}


def test_examples_are_the_same_in_every_process() -> None:
    code = "from engine.tasks.registry import *; print([examples(t, 20, 5) for t in TASKS.values()])"
    printed = [
        subprocess.check_output([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, cwd=ROOT)
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    assert b"Example(" in printed[0]


def test_a_split_with_too_few_problems_says_how_many_there_are() -> None:
    class Coin:
        name, title = "coin", "Coin"

        def sample(self, rng: random.Random, split: Split) -> Example:
            side = rng.choice(["heads", "tails"])
            return Example(side, "up", side, "down", side)

    with pytest.raises(UserError, match=r"Coin has too few different heldout problems: asked for 3, found 2\."):
        examples(Coin(), 3, seed=0)


class Letters(Listed):
    """Two rows."""

    title = "Letters"

    def example(self, row: int) -> Example:
        return Example("ab"[row], "x", "c", "y", "ab"[row])

    def __len__(self) -> int:
        return 2


def test_listed_rows_come_in_their_order() -> None:
    letters = Letters()
    assert [e.prompt for e in letters.first(1)] == ["a"] and [e.prompt for e in letters.first(2)] == ["a", "b"]
    assert letters.remarks == () and letters.unit == "row"


def test_more_rows_than_are_listed_are_refused() -> None:
    with pytest.raises(UserError, match=r"^Letters has 2 rows, but 3 examples were asked for\. Ask for 2\.$"):
        Letters().first(3)
    Letters().refuse_more(2)


def test_one_problem_in_ten_is_held_out() -> None:
    share = Counter(split_of(f"a problem/{i}") for i in range(20_000))["heldout"] / 20_000
    assert share == pytest.approx(1 / HELDOUT_SHARE, rel=0.1)
