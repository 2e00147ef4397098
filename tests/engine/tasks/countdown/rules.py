"""The rules of COUNTDOWN once more, in exact fractions, for the tests of this folder."""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction

from engine.tasks.countdown.problems import PublishedProblem


def solved_in_fractions(row: PublishedProblem) -> bool:
    """The rules once more: every equation true, what it reads is there, and only the target is left."""
    there = Counter(row.operands)
    for equation in row.output.split(","):
        left, result = equation.split("=")
        a, operator, b = re.fullmatch(r"(\d+)([-+*/])(\d+)", left).groups()
        of = {"+": Fraction.__add__, "-": Fraction.__sub__, "*": Fraction.__mul__, "/": Fraction.__truediv__}
        assert of[operator](Fraction(a), Fraction(b)) == int(result) > 0
        there.subtract([int(a), int(b)])
        there[int(result)] += 1
    return +there == Counter([row.target]) and min(there.values()) >= 0
