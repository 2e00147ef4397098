"""Examples are values: compared by what they hold, never changed."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from engine.models.example import Example
from engine.tasks.registry import TASKS, examples


def test_an_answer_word_alone_is_right_unless_candidates_are_named() -> None:
    example = Example("2 +", "4", "3 +", "6", "sum/2")
    assert (example.right, example.wrong, example.join) == ((), (), None)


def test_equal_examples_are_one_in_a_set_and_none_is_changed() -> None:
    example = Example("2 +", "4", "3 +", "6", "sum/2")
    assert len({example, replace(example), replace(example, content="sum/3")}) == 2
    with pytest.raises(FrozenInstanceError):
        example.prompt = "5 +"  # type: ignore[misc]


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_examples_of_tasks_have_as_many_words_as_their_corrupted_ones(task: object) -> None:
    for example in examples(task, 20, seed=3):  # type: ignore[arg-type]
        assert len(example.prompt.split()) == len(example.corrupt_prompt.split())
        assert len(example.answer.split()) == len(example.corrupt_answer.split())
        assert (example.prompt, example.answer) != (example.corrupt_prompt, example.corrupt_answer)
