"""Rules for what numbers say: which differences of overlaps are called one, and verdicts on claims (METHOD, "Claims").

A verdict is one of "holds", "does not hold" and "can't be told", from a number, its interval and what it is compared
with. engine/runs/claims.py reads the numbers; nothing here does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from engine.circuits.comparison import SplitHalf
from engine.circuits.intervals import Estimate

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


Answer = Literal["holds", "does not hold", "can't be told"]
HOLDS: Answer = "holds"
FAILS: Answer = "does not hold"
UNKNOWN: Answer = "can't be told"
Side = Literal["above", "below"]

ENOUGH_TRANSFER = 0.5  # of the faithfulness of a model's own circuit
LEAST_OWN = 0.1  # faithfulness of a model's own circuit with which another's can be compared


@dataclass(frozen=True)
class Ruling:
    """The verdict on a claim, and why, in a sentence."""

    verdict: Answer
    reason: str


def beyond(number: Estimate, threshold: float, side: Side) -> Ruling:
    """Whether a number lies on the claimed side of a threshold, with its whole 95 % interval.

    It does not hold where the whole interval lies on the other side; an interval that holds or touches the threshold
    tells nothing, and neither does a number without interval.
    """
    low, high = number.low, number.high
    if math.isnan(number.value):
        return Ruling(UNKNOWN, "There is no such number.")
    if low is None or high is None:
        return Ruling(UNKNOWN, f"The number is {number.value:.3f}, without an interval.")
    interval = f"The interval, {low:.3f} to {high:.3f},"
    if low <= threshold <= high:
        return Ruling(UNKNOWN, f"{interval} holds {threshold:g}, so that the difference may be noise of the prompts.")
    other: Side = "above" if low > threshold else "below"
    return Ruling(HOLDS if other == side else FAILS, f"{interval} lies {other} {threshold:g}.")


def at_floor(number: Estimate, floor: float) -> Ruling:
    """Whether an overlap is no higher than the highest of a floor, with its whole interval.

    It does not hold where the whole interval lies above the floor.
    """
    low, high = number.low, number.high
    if low is None or high is None or math.isnan(number.value):
        return Ruling(UNKNOWN, f"The overlap is {number.value:.3f}, without an interval.")
    interval = f"The interval, {low:.3f} to {high:.3f},"
    if high <= floor:
        return Ruling(HOLDS, f"{interval} lies at or below the highest overlap with permuted heads, {floor:.3f}.")
    if low > floor:
        return Ruling(FAILS, f"{interval} lies above the highest overlap with permuted heads, {floor:.3f}.")
    return Ruling(UNKNOWN, f"{interval} holds the highest overlap with permuted heads, {floor:.3f}.")


def both_halves(larger: Sequence[float], smaller: Sequence[float]) -> Ruling:
    """Whether both halves of one model lie above both halves of the other; for numbers without intervals.

    `larger` and `smaller`: of the model that is claimed to have the larger number and of the other, on the even and on
    the odd examples.
    """
    values = [*larger, *smaller]
    if any(map(math.isnan, values)):
        return Ruling(UNKNOWN, "There are no two halves of the prompts.")
    halves = " and ".join(f"{a:,.1f} / {b:,.1f}" for a, b in (larger, smaller))
    if min(larger) > max(smaller):
        return Ruling(HOLDS, f"Both halves of the prompts say so (even / odd: {halves}).")
    if max(larger) < min(smaller):
        return Ruling(FAILS, f"Both halves of the prompts say the opposite (even / odd: {halves}).")
    return Ruling(UNKNOWN, f"The halves of the prompts differ as much as the models (even / odd: {halves}).")


def transfers(own: Estimate, other: Estimate, random_highest: float) -> Ruling:
    """Whether another model's circuit explains a model: faithfulness f of it, of the model's own, of random circuits.

    It does where f of the other's circuit lies above that of every random circuit, with its whole interval, and is at
    least half of f of the own. It does not where the interval lies below half of that, or not above random circuits. It
    can't be told where the own circuit explains next to nothing.
    """
    if other.low is None or other.high is None or own.low is None or own.high is None:
        return Ruling(UNKNOWN, "Faithfulness has no interval here.")
    if own.low <= random_highest or own.value < LEAST_OWN:
        return Ruling(UNKNOWN, f"The model's own circuit (f = {own.value:.2f}) does not explain it itself at this K.")
    share = f"f = {other.value:.2f} ({other.low:.2f} to {other.high:.2f}), against {own.value:.2f} of its own"
    needed = ENOUGH_TRANSFER * own.value
    if other.high < needed or other.high <= random_highest:
        return Ruling(FAILS, f"{share}: less than half of it, or no more than random circuits ({random_highest:.2f}).")
    if other.low > random_highest and other.value >= needed:
        return Ruling(HOLDS, f"{share}: at least half of it, and more than any random circuit ({random_highest:.2f}).")
    return Ruling(UNKNOWN, f"{share}: the interval does not tell it from half of it, or from random circuits.")
