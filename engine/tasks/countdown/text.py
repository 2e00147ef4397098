"""COUNTDOWN as published for base models: an instruction, worked examples, then "Input: 86,28,13,96" and "Output: ".

The instruction and the format are those of Dream's evaluation (Ye et al. 2025, arXiv 2508.15487), whose test files have
a line {"input": "86,28,13,31,96", "output": "86+28=114,31-13=18,114-18=96"} for each problem: operands from 1 to 99,
then the target from 10 to 99; nothing negative. CD3, CD4 and CD5 have three, four and five operands.

The twin asks the same operands for another target whose answer has its numbers and signs at the same places, so that
digits stand beside digits and operators beside operators.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from engine.models.example import Example
from engine.tasks.base import END, OTHER, Split, split_of
from engine.tasks.countdown.embedded import OPERATORS, TARGETS, Countdown, answer_roles, apply, solves
from engine.tasks.natural import SHOT, SHOTS, Natural, pieces

OPERANDS = range(1, 100)
COUNTS = range(3, 6)  # of operands: CD3, CD4, CD5
DRAWN = 3  # operands where problems are drawn; others come from files
LARGEST = 999  # any number written in an answer
TWIN_TRIES = 100  # combinations of a problem's operands, before another problem is drawn
INSTRUCTIONS = {
    3: "Given 4 numbers, use +-*/ to operate over the first three numbers to achieve the last number.",
    4: "Given 5 numbers, use +-*/ to operate over the first four numbers to achieve the fifth number.",
    5: "Given 6 numbers, use +-*/ to operate over the first five numbers to achieve the last number.",
}
EQUATION = re.compile(r"([0-9]+)([-+*/])([0-9]+)(=)([0-9]+)")


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
        """The answer with one digit for all and one operator for all."""
        return re.sub(r"[-+*/]", "+", re.sub(r"\d", "0", self.output))


class FewShotCountdown(Natural, Countdown):
    def draw(self, rng: random.Random, split: Split) -> Example:
        while True:
            row = draw_row(rng, DRAWN, split)
            twin = find_corrupted(rng, row, TWIN_TRIES)
            if twin is not None:
                return few_shot(row, twin)

    def check(self, prompt: str, answer: str) -> bool:
        """As in words; what follows a line's end is no part of the answer."""
        *operands, target = (int(number) for number in _asked(prompt).split(","))
        return is_solved(operands, target, answer.partition("\n")[0].strip())

    def roles(self, example: Example) -> tuple[list[str], list[str]]:
        asked = _asked(example.prompt)
        *operands, target = asked.split(",")
        instruction, _, shots = example.prompt[: -len(last_lines(asked))].partition("\n")
        own = [OTHER] * 2  # "Input" and ":"
        for operand in operands:
            own += ["operand"] * len(operand) + [OTHER]
        own += ["target"] * len(target) + [OTHER, END]
        before = [OTHER] * len(pieces(instruction)) + [SHOT] * len(pieces(shots))
        words = re.findall(r"\d+|\D", example.answer)
        answer = [role for word, role in zip(words, answer_roles(words), strict=True) for _ in pieces(word)]
        return before + own, answer


def few_shot(row: PublishedProblem, twin: PublishedProblem) -> Example:
    return Example(
        prompt=prompt_of(row),
        answer=row.output,
        corrupt_prompt=prompt_of(twin),
        corrupt_answer=twin.output,
        content=row.content,
        join=" ",
    )


def prompt_of(row: PublishedProblem) -> str:
    shots = "".join(f"Input: {shot.input}\nOutput: {shot.output}\n\n" for shot in _shots(len(row.operands)))
    return f"{INSTRUCTIONS[len(row.operands)]}\n\n{shots}{last_lines(row.input)}"


def last_lines(asked: str) -> str:
    return f"Input: {asked}\nOutput:"


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
        twin = combined(rng, row.operands, largest, begun)
        if twin is not None and twin.target != row.target and twin.shape == row.shape:
            return twin
    return None


def is_solved(operands: Sequence[int], target: int, output: str) -> bool:
    """Whether an answer as published solves a problem."""
    found = [EQUATION.fullmatch(equation.strip()) for equation in output.split(",")]
    return all(found) and solves(operands, target, [one.groups() for one in found if one])


@cache
def _shots(count: int) -> tuple[PublishedProblem, ...]:
    """Worked examples; none of them is held out."""
    rng = random.Random(f"countdown/shots/{count}")
    return tuple(draw_row(rng, count, "train") for _ in range(SHOTS))


def _asked(prompt: str) -> str:
    """The numbers of a prompt's last problem."""
    return prompt.rpartition("Input: ")[2].partition("\n")[0]
