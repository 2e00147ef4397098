"""COUNTDOWN as published for base models: an instruction, worked examples, then "Input: 86,28,13,96" and "Output: ".

The instruction and the format are those of Dream's evaluation (Ye et al. 2025, arXiv 2508.15487), whose test files have
a line {"input": "86,28,13,31,96", "output": "86+28=114,31-13=18,114-18=96"} for each problem: operands from 1 to 99,
then the target from 10 to 99; nothing negative. CD3, CD4 and CD5 have three, four and five operands.

The corrupted example asks the same operands for another target whose answer has its numbers and signs at the same
places, so that digits align with digits and operators with operators.
"""

from __future__ import annotations

import random
import re
from functools import cache

from engine.models.example import Example
from engine.tasks.base import END, OTHER, Split
from engine.tasks.countdown.problems import (
    CountdownInfo,
    PublishedProblem,
    answer_roles,
    draw_row,
    find_corrupted,
    is_solved,
)
from engine.tasks.natural import SHOT, SHOTS, Natural, pieces

DRAWN = 3  # operands where problems are drawn; others come from files
TRIES = 100  # combinations of a problem's operands, before another problem is drawn
INSTRUCTIONS = {
    3: "Given 4 numbers, use +-*/ to operate over the first three numbers to achieve the last number.",
    4: "Given 5 numbers, use +-*/ to operate over the first four numbers to achieve the fifth number.",
    5: "Given 6 numbers, use +-*/ to operate over the first five numbers to achieve the last number.",
}


class FewShotCountdown(Natural, CountdownInfo):
    def draw(self, rng: random.Random, split: Split) -> Example:
        while True:
            row = draw_row(rng, DRAWN, split)
            corrupted = find_corrupted(rng, row, TRIES)
            if corrupted is not None:
                return few_shot(row, corrupted)

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


def few_shot(row: PublishedProblem, corrupted: PublishedProblem) -> Example:
    return Example(
        prompt=prompt_of(row),
        answer=row.output,
        corrupt_prompt=prompt_of(corrupted),
        corrupt_answer=corrupted.output,
        content=row.content,
        join=" ",
    )


def prompt_of(row: PublishedProblem) -> str:
    shots = "".join(f"Input: {shot.input}\nOutput: {shot.output}\n\n" for shot in _shots(len(row.operands)))
    return f"{INSTRUCTIONS[len(row.operands)]}\n\n{shots}{last_lines(row.input)}"


def last_lines(asked: str) -> str:
    return f"Input: {asked}\nOutput:"


@cache
def _shots(count: int) -> tuple[PublishedProblem, ...]:
    """Worked examples; none of them is held out."""
    rng = random.Random(f"countdown/shots/{count}")
    return tuple(draw_row(rng, count, "train") for _ in range(SHOTS))


def _asked(prompt: str) -> str:
    """The numbers of a prompt's last problem."""
    return prompt.rpartition("Input: ")[2].partition("\n")[0]
