"""Which differences of overlaps are called one, and means over tasks: what sentences about numbers are built from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from engine.circuits.comparison import SplitHalf

CLEARLY = 0.05  # a smaller difference of two overlaps is not called one

Verdict = Literal["lower", "same", "higher"]


def verdict(overlap: float, reference: float) -> Verdict:
    """Whether an overlap (0 to 1) is clearly lower or higher than another one."""
    difference = overlap - reference
    if abs(difference) < CLEARLY:
        return "same"
    return "higher" if difference > 0 else "lower"


def differ_beyond_examples(halves: SplitHalf) -> bool:
    """Whether the two models' circuits overlap clearly less than each model's own, found on other examples, do."""
    return halves.pair <= min(halves.arm, halves.mdm) - CLEARLY


def mean_of_known(values: Sequence[float]) -> float:
    """The mean of the values that are numbers; nan of none."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
