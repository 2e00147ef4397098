"""What every word of a prompt and an answer is."""

from __future__ import annotations

from engine.models.example import Example
from engine.tasks.base import END, OTHER, Task
from engine.tasks.registry import TASKS, examples


def roles(task: str, prompt: str, answer: str) -> tuple[list[str], list[str]]:
    return TASKS[task].roles(Example(prompt, answer, prompt, answer, "constructed"))


def test_ioi_tells_the_two_people_apart() -> None:
    prompt, answer = roles("ioi", "The park was quiet when Mary and John arrived , so Mary sold a key to", "John")
    named = {i: role for i, role in enumerate(prompt) if role != OTHER}
    assert len(prompt) == 16
    assert named == {1: "place", 5: "subject", 7: "indirect object", 11: "second subject", 14: "object", 15: END}
    assert answer == ["answer"]


def test_ioi_roles_follow_who_acts_and_not_who_comes_first() -> None:
    prompt, _ = roles("ioi", "When Mary and John went to the store , John gave a drink to", "Mary")
    named = {i: role for i, role in enumerate(prompt) if role != OTHER}
    assert named == {1: "indirect object", 3: "subject", 7: "place", 9: "second subject", 12: "object", 13: END}


def test_greater_than_names_the_first_year_and_the_end() -> None:
    prompt, answer = roles("greater_than", "The war lasted from the year 17 32 to the year 17", "33")
    named = {i: role for i, role in enumerate(prompt) if role != OTHER}
    assert named == {1: "noun", 6: "start century", 7: "start year", 11: END}
    assert answer == ["answer"]


def test_countdown_tells_given_operands_used_ones_and_results_apart() -> None:
    prompt, answer = roles("countdown", "make 24 from 9 5 3 :", "5 * 3 = 15 ; 15 + 9 = 24")
    assert prompt == ["other", "target", "other", "operand", "operand", "operand", "end"]
    equation = ["used operand", "operator", "used operand", "punctuation"]
    assert answer == [*equation, "result", "punctuation", *equation, "final result"]


def test_sudoku_tells_given_cells_from_filled_ones() -> None:
    prompt, answer = roles("sudoku", "sudoku 1 _ 3 4 3 4 _ 2 _ 1 4 3 4 3 2 _ :", "1 2 3 4 3 4 1 2 2 1 4 3 4 3 2 1")
    blanks = {1, 6, 8, 15}
    assert prompt == ["other", *("blank" if i in blanks else "clue" for i in range(16)), "end"]
    assert answer == ["filled cell" if i in blanks else "given cell" for i in range(16)]


def test_every_word_has_one_of_a_few_short_roles(task: Task) -> None:
    roles = set()
    for e in examples(task, 10, seed=3):
        prompt, answer = task.roles(e)
        assert (len(prompt), len(answer)) == (len(e.prompt.split()), len(e.answer.split()))
        assert prompt[-1] == END and END not in prompt[:-1] + answer
        roles |= {*prompt, *answer}
    assert OTHER in roles and len(roles) <= 9
    assert all(role == role.lower() and len(role) <= 15 for role in roles)
