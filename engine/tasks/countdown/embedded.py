"""COUNTDOWN with three operands: combine all of them, each once, into the target.

"make 24 from 9 5 3 :" -> "5 * 3 = 15 ; 15 + 9 = 24". Operands (listed largest first), intermediates and
targets are whole numbers, never negative. A problem is its operand multiset and its target; the twin keeps the operands
and asks for another target, so its answer has the same length and other tokens. As natural text it is
engine/tasks/countdown/text.py.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from engine.models.example import Example
from engine.tasks.base import END, OTHER, WORD, Family, Split, Task, split_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LOWEST, HIGHEST = 2, 40  # operands
TARGETS = range(10, 100)
LARGEST = 99  # any number written in an answer
LONGEST_NUMBER = 9  # digits of a number in an answer that is read at all
OPERATORS = ("+", "*", "-", "/")


@dataclass(frozen=True)
class Problem:
    """Three different operands (ascending), a reachable target and the answer a model is taught."""

    operands: tuple[int, int, int]
    target: int
    answer: str

    @property
    def content(self) -> str:
        return f"countdown/{self.operands}/{self.target}"


class Countdown:
    name = "countdown"
    title = "COUNTDOWN"
    family: Family = "globally constrained"
    blurb = "Reach the target with three numbers: the first step only makes sense given the last."
    parallel = False
    guess = 0.0
    piece = WORD

    def sample(self, rng: random.Random, split: Split) -> Example:
        problem = rng.choice(_problems(split))
        others = [p for p in _by_operands()[problem.operands] if p.target != problem.target]
        twin = rng.choice(others)
        return Example(
            prompt=words_prompt(problem.operands, problem.target),
            answer=problem.answer,
            corrupt_prompt=words_prompt(problem.operands, twin.target),
            corrupt_answer=twin.answer,
            content=problem.content,
        )

    def check(self, prompt: str, answer: str) -> bool:
        """Every equation holds, each number (intermediate included) is used once, the target is last."""
        words = prompt.split()
        equations = [equation.split() for equation in answer.split(" ; ")]
        return solves([int(word) for word in words[3:-1]], int(words[1]), equations)

    def roles(self, example: Example) -> tuple[list[str], list[str]]:
        operands = ["operand"] * (len(example.prompt.split()) - 4)
        return [OTHER, "target", OTHER, *operands, END], answer_roles(example.answer.split())

    def words(self) -> list[str]:
        return ["make", "from", ":", ";", "=", *OPERATORS, *(str(n) for n in range(1, LARGEST + 1))]

    def natural(self, tokenizer: PreTrainedTokenizerBase) -> Task:
        from engine.tasks.countdown.text import FewShotCountdown

        return FewShotCountdown(tokenizer)


def apply(operator: str, a: int, b: int) -> int | None:
    """`a operator b` as COUNTDOWN allows it: None for negative, fractional or unknown results."""
    if operator == "+":
        return a + b
    if operator == "*":
        return a * b
    if operator == "-":
        return a - b if a >= b else None
    if operator == "/":
        return a // b if b and a % b == 0 else None
    return None


def solves(operands: Sequence[int], target: int, equations: Sequence[Sequence[str]]) -> bool:
    """Whether equations ("5", "*", "3", "=", "15") hold, use every number once and end in the target."""
    available, result = list(operands), None
    for parts in equations:
        if len(parts) != 5 or parts[3] != "=" or not _are_numbers(parts[0], parts[2], parts[4]):
            return False
        a, b, result = int(parts[0]), int(parts[2]), int(parts[4])
        for number in (a, b):
            if number not in available:
                return False
            available.remove(number)
        if apply(parts[1], a, b) != result:
            return False
        available.append(result)
    return result == target and available == [target]


def answer_roles(words: Sequence[str]) -> list[str]:
    """The role of every number and sign of an answer."""
    found = [_answer_role(word, before) for before, word in pairwise(["", *words])]
    return [*found[:-1], "final result"]


def _answer_role(word: str, before: str) -> str:
    if word in OPERATORS:
        return "operator"
    if word in ("=", ";", ","):
        return "punctuation"
    return "result" if before == "=" else "used operand"


def words_prompt(operands: Sequence[int], target: int) -> str:
    return f"make {target} from {' '.join(map(str, sorted(operands, reverse=True)))} :"


def _are_numbers(*words: str) -> bool:
    return all(word.isdecimal() and len(word) <= LONGEST_NUMBER for word in words)


def _solutions(operands: tuple[int, int, int]) -> dict[int, str]:
    """Target -> the taught answer: the first in a fixed order, larger operand first where it may be."""
    found: dict[int, str] = {}
    for first in OPERATORS:
        for second in OPERATORS:
            for a, b in combinations(sorted(operands, reverse=True), 2):
                (c,) = set(operands) - {a, b}
                middle = apply(first, a, b)
                if not middle or middle > LARGEST:
                    continue
                target = apply(second, middle, c)
                if target is not None and target in TARGETS:
                    found.setdefault(target, f"{a} {first} {b} = {middle} ; {middle} {second} {c} = {target}")
    return found


@cache
def _by_operands() -> dict[tuple[int, int, int], list[Problem]]:
    table = {}
    for operands in combinations(range(LOWEST, HIGHEST + 1), 3):
        problems = [Problem(operands, target, answer) for target, answer in sorted(_solutions(operands).items())]
        if len(problems) > 1:
            table[operands] = problems
    return table


@cache
def _problems(split: Split) -> list[Problem]:
    return [p for problems in _by_operands().values() for p in problems if split_of(p.content) == split]
