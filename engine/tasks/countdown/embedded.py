"""COUNTDOWN with three operands: combine all of them, each once, into the target.

"make 24 from 9 5 3 :" -> "5 * 3 = 15 ; 15 + 9 = 24". Operands (listed largest first), intermediates and
targets are whole numbers, never negative. A problem is its operand multiset and its target; its
corrupted example keeps the operands and asks for another target, so that the answer has the same length and other
tokens. As natural text it is engine/tasks/countdown/published.py.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING

from engine.models.example import Example
from engine.tasks.base import END, OTHER, WORD, Split, Task, split_of
from engine.tasks.countdown.problems import OPERATORS, TARGETS, CountdownInfo, answer_roles, apply, shape_of, solves
from engine.tasks.countdown.published import FewShotCountdown, last_lines

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LOWEST, HIGHEST = 2, 40  # operands
LARGEST = 99  # any number written in an answer


@dataclass(frozen=True)
class Problem:
    """Three different operands (ascending), a reachable target and the answer a model is taught."""

    operands: tuple[int, int, int]
    target: int
    answer: str

    @property
    def content(self) -> str:
        return f"countdown/{self.operands}/{self.target}"


class Countdown(CountdownInfo):
    piece = WORD

    def sample(self, rng: random.Random, split: Split) -> Example:
        problem = rng.choice(_problems(split))
        others = [p for p in _by_operands()[problem.operands] if p.target != problem.target]
        corrupted = rng.choice(others)
        return Example(
            prompt=words_prompt(problem.operands, problem.target),
            answer=problem.answer,
            corrupt_prompt=words_prompt(problem.operands, corrupted.target),
            corrupt_answer=corrupted.answer,
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
        return NaturalCountdown(tokenizer)


class NaturalCountdown(FewShotCountdown):
    def plain(self) -> Task:
        return PlainCountdown(self.tokenizer)


class PlainCountdown(NaturalCountdown):
    """The problems in words, written as published ones are, without instruction and worked examples.

    Numbers stay below 100 and a problem has one taught answer, which models learn from fewer problems than from
    published ones.
    """

    def draw(self, rng: random.Random, split: Split) -> Example:
        while True:
            problem = rng.choice(_problems(split))
            answer = _as_published(problem.answer)
            others = [p for p in _by_operands()[problem.operands] if p.target != problem.target]
            alike = [p for p in others if shape_of(_as_published(p.answer)) == shape_of(answer)]
            if alike:
                break
        corrupted = rng.choice(alike)
        return Example(
            prompt=last_lines(_input(problem)),
            answer=answer,
            corrupt_prompt=last_lines(_input(corrupted)),
            corrupt_answer=_as_published(corrupted.answer),
            content=problem.content,
            join=" ",
        )

    def plain(self) -> Task:
        return self


def _input(problem: Problem) -> str:
    return ",".join(map(str, (*sorted(problem.operands, reverse=True), problem.target)))


def _as_published(answer: str) -> str:
    return answer.replace(" ; ", ",").replace(" ", "")


def words_prompt(operands: Sequence[int], target: int) -> str:
    return f"make {target} from {' '.join(map(str, sorted(operands, reverse=True)))} :"


def _solutions(operands: tuple[int, int, int]) -> dict[int, str]:
    """Target -> the taught answer: the first in a fixed order, larger operand first where it may be."""
    answers: dict[int, str] = {}
    for first in OPERATORS:
        for second in OPERATORS:
            for a, b in combinations(sorted(operands, reverse=True), 2):
                (c,) = set(operands) - {a, b}
                middle = apply(first, a, b)
                if not middle or middle > LARGEST:
                    continue
                target = apply(second, middle, c)
                if target is not None and target in TARGETS:
                    answers.setdefault(target, f"{a} {first} {b} = {middle} ; {middle} {second} {c} = {target}")
    return answers


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
