"""COUNTDOWN's arithmetic: problems, random combinations of their operands, and whether equations solve them.

All numbers are whole and never negative; every operand and every intermediate result is used once.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from engine.tasks.base import Family, Split, split_of

TARGETS = range(10, 100)
LONGEST_NUMBER = 9  # digits of a number in an answer that is read at all
OPERATORS = ("+", "*", "-", "/")
OPERANDS = range(1, 100)  # of published problems
COUNTS = range(3, 6)  # of operands: CD3, CD4, CD5
LARGEST = 999  # any number written in a published answer
EQUATION = re.compile(r"([0-9]+)([-+*/])([0-9]+)(=)([0-9]+)")


class CountdownInfo:
    """What every form of the task has in common."""

    name = "countdown"
    title = "COUNTDOWN"
    family: Family = "globally constrained"
    blurb = "Reach the target with three numbers: the first step only makes sense given the last."
    parallel = False
    guess = 0.0


@dataclass(frozen=True)
class PublishedProblem:
    """A problem with an answer, as a line of a published file has it."""

    operands: tuple[int, ...]
    target: int
    output: str

    @property
    def input(self) -> str:
        return ",".join(map(str, (*self.operands, self.target)))

    @property
    def content(self) -> str:
        return f"countdown/{tuple(sorted(self.operands))}/{self.target}"

    @property
    def shape(self) -> str:
        return shape_of(self.output)


def shape_of(output: str) -> str:
    """An answer as published with one digit for all and one operator for all."""
    return re.sub(r"[-+*/]", "+", re.sub(r"\d", "0", output))


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
    roles = [_answer_role(word, before) for before, word in pairwise(["", *words])]
    return [*roles[:-1], "final result"]


def _answer_role(word: str, before: str) -> str:
    if word in OPERATORS:
        return "operator"
    if word in ("=", ";", ","):
        return "punctuation"
    return "result" if before == "=" else "used operand"


def _are_numbers(*words: str) -> bool:
    return all(word.isdecimal() and len(word) <= LONGEST_NUMBER for word in words)


def draw_row(rng: random.Random, count: int, split: Split) -> PublishedProblem:
    """A problem of a split: different operands in any order, combined at random."""
    while True:
        operands = tuple(rng.sample(OPERANDS, count))
        row = combined(rng, operands)
        if row is not None and split_of(row.content) == split:
            return row


def combined(
    rng: random.Random, operands: Sequence[int], largest: int = LARGEST, begun: str = ""
) -> PublishedProblem | None:
    """The problem that a random combination of all operands solves, begun with some equations.

    None where it leaves what is allowed.
    """
    numbers, steps = list(operands), begun.split(",") if begun else []
    for a, _, b, _, result in (equation.groups() for equation in EQUATION.finditer(begun)):
        numbers.remove(int(a))
        numbers.remove(int(b))
        numbers.append(int(result))
    while len(numbers) > 1:
        first, second = (numbers.pop(rng.randrange(len(numbers))) for _ in range(2))
        operator = rng.choice(OPERATORS)
        made = apply(operator, first, second)
        if not made or made > largest:
            return None
        steps.append(f"{first}{operator}{second}={made}")
        numbers.append(made)
    (target,) = numbers
    return PublishedProblem(tuple(operands), target, ",".join(steps)) if target in TARGETS else None


def find_corrupted(
    rng: random.Random, row: PublishedProblem, tries: int, largest: int = LARGEST, keep: int = 0
) -> PublishedProblem | None:
    """Another target from the same operands, with an answer of the same shape that begins with `keep` of its equations.

    None when no try gives one.
    """
    begun = ",".join(row.output.split(",")[:keep])
    for _ in range(tries):
        corrupted = combined(rng, row.operands, largest, begun)
        if corrupted is not None and corrupted.target != row.target and corrupted.shape == row.shape:
            return corrupted
    return None


def is_solved(operands: Sequence[int], target: int, output: str) -> bool:
    """Whether an answer as published solves a problem."""
    equations = [EQUATION.fullmatch(equation.strip()) for equation in output.split(",")]
    return all(equations) and solves(operands, target, [equation.groups() for equation in equations if equation])
