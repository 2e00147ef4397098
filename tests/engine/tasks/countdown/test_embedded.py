from __future__ import annotations

import random
import re
from ast import literal_eval
from collections import Counter
from fractions import Fraction

from engine.models.example import Example
from engine.tasks.countdown.embedded import LARGEST, Countdown
from tests.engine.tasks.conftest import drawn

EQUATION = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
EXACT = {"+": Fraction.__add__, "-": Fraction.__sub__, "*": Fraction.__mul__, "/": Fraction.__truediv__}


def problem(e: Example) -> tuple[tuple[int, ...], int]:
    """Operands and target, read from the content."""
    _, operands, target = e.content.split("/")
    return literal_eval(operands), int(target)


def solves(operands: tuple[int, ...], target: int, answer: str) -> bool:
    """The rules once more, in exact fractions: two true equations that use up the operands and end in the target."""
    steps = [EQUATION.fullmatch(text) for text in answer.split(" ; ")]
    if len(steps) != 2 or None in steps:
        return False
    made, used = [], Counter()
    for step in steps:
        a, operator, b, result = step.groups()
        if (operator == "/" and b == "0") or EXACT[operator](Fraction(a), Fraction(b)) != int(result):
            return False
        used.update([int(a), int(b)])
        made.append(int(result))
    return used == Counter([*operands, made[0]]) and made[1] == target


def test_prompts_name_the_operands_and_the_target() -> None:
    for e in drawn("countdown", "heldout"):
        operands, target = problem(e)
        numbers = [int(word) for word in e.prompt.split() if word.isdecimal()]
        assert Counter(numbers) == Counter([*operands, target])
        assert len(operands) == 3


def test_answers_are_two_equations_of_small_numbers() -> None:
    for e in drawn("countdown", "heldout"):
        words = e.answer.split()
        assert re.fullmatch(r"\d+ [-+*/] \d+ = (\d+) ; \1 [-+*/] \d+ = \d+", e.answer), e
        assert all(0 < int(word) <= LARGEST for word in words if word.isdecimal())
        assert int(words[-1]) == problem(e)[1]
        assert solves(*problem(e), e.answer)


def test_the_corrupted_example_is_another_problem_with_an_answer_of_the_same_length() -> None:
    for e in drawn("countdown", "heldout"):
        clean, corrupt = (Counter(prompt.split()) for prompt in (e.prompt, e.corrupt_prompt))
        assert (clean - corrupt).total() == 1
        assert len(e.answer.split()) == len(e.corrupt_answer.split())


def test_the_checker_agrees_with_the_rules_on_mutated_answers() -> None:
    task, rng = Countdown(), random.Random(0)
    numbers, operators = [w for w in task.words() if w.isdecimal()], list("+-*/")
    verdicts = Counter()
    for e in drawn("countdown", "heldout")[:1500]:
        words = e.answer.split()
        for i, word in enumerate(words):
            pool = numbers if word.isdecimal() else operators if word in operators else ["=", ";", ":", "+"]
            mutated = " ".join([*words[:i], rng.choice(pool), *words[i + 1 :]])
            expected = solves(*problem(e), mutated)
            verdicts[expected] += 1
            assert task.check(e.prompt, mutated) == expected, (e.prompt, mutated)
    assert verdicts[False] > 10_000
    assert verdicts[True] > 100


def test_any_right_answer_counts() -> None:
    task, swapped = Countdown(), 0
    for e in drawn("countdown", "heldout")[:500]:
        a, operator, b, *rest = e.answer.split()
        if operator in "+*":
            swapped += 1
            assert task.check(e.prompt, " ".join([b, operator, a, *rest]))
    assert swapped > 50


def test_made_up_equations_are_refused() -> None:
    task = Countdown()
    e = drawn("countdown", "heldout")[0]
    _, target = problem(e)
    for answer in (f"{target} + 1 = {target}", f"1 * {target} = {target}", f"1 * 1 = 1 ; 1 * {target} = {target}"):
        assert not task.check(e.prompt, answer)
