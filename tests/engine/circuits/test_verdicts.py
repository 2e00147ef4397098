"""Which differences are called one, and the rules of verdicts on claims."""

from __future__ import annotations

import math

import pytest

from engine.circuits.comparison import SplitHalf
from engine.circuits.intervals import Estimate
from engine.circuits.verdicts import (
    CLEARLY,
    FAILS,
    HOLDS,
    UNKNOWN,
    at_floor,
    beyond,
    both_halves,
    differ_beyond_examples,
    mean_of_known,
    transfers,
    verdict,
)


@pytest.mark.parametrize(
    ("overlap", "expected"), [(0.3, "lower"), (0.46, "same"), (0.5, "same"), (0.54, "same"), (0.7, "higher")]
)
def test_small_differences_are_not_called_one(overlap: float, expected: str) -> None:
    assert verdict(overlap, 0.5) == expected


def test_models_differ_when_the_pair_is_below_both_models_own_overlap() -> None:
    assert differ_beyond_examples(SplitHalf(arm=0.8, mdm=0.7, pair=0.5))
    assert not differ_beyond_examples(SplitHalf(arm=0.8, mdm=0.7, pair=0.7 - CLEARLY / 2))
    assert not differ_beyond_examples(SplitHalf(arm=0.8, mdm=0.5, pair=0.5))


def test_what_is_no_number_does_not_count_in_a_mean() -> None:
    assert mean_of_known([1.0, math.nan, 2.0]) == 1.5
    assert math.isnan(mean_of_known([math.nan])) and math.isnan(mean_of_known([]))


NONE = Estimate(0.3, None, None)
NAN = Estimate(math.nan, None, None)


@pytest.mark.parametrize(
    ("number", "threshold", "side", "expected"),
    [
        (Estimate(0.2, 0.1, 0.3), 0.0, "above", HOLDS),
        (Estimate(-0.2, -0.3, -0.1), 0.0, "above", FAILS),
        (Estimate(-0.2, -0.3, -0.1), 0.0, "below", HOLDS),
        (Estimate(0.2, 0.1, 0.3), 0.0, "below", FAILS),
        (Estimate(0.2, -0.1, 0.3), 0.0, "above", UNKNOWN),
        (Estimate(0.2, 0.0, 0.3), 0.0, "above", UNKNOWN),  # touches the threshold from above
        (Estimate(-0.2, -0.3, 0.0), 0.0, "above", UNKNOWN),  # and from below
        (Estimate(1.4, 1.1, 1.9), 1.0, "above", HOLDS),
        (Estimate(0.0, 0.0, 0.0), 0.0, "above", UNKNOWN),
        (NONE, 0.0, "above", UNKNOWN),
        (NAN, 0.0, "below", UNKNOWN),
    ],
)
def test_a_whole_interval_has_to_lie_on_a_side(number: Estimate, threshold: float, side: str, expected: str) -> None:
    ruling = beyond(number, threshold, side)
    assert ruling.verdict == expected and ruling.reason.endswith(".")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (Estimate(0.3, 0.2, 0.4), HOLDS),
        (Estimate(0.4, 0.3, 0.5), HOLDS),  # touches the floor
        (Estimate(0.5, 0.4, 0.6), UNKNOWN),
        (Estimate(0.6, 0.5, 0.7), UNKNOWN),
        (Estimate(0.7, 0.6, 0.8), FAILS),
        (NONE, UNKNOWN),
        (NAN, UNKNOWN),
    ],
)
def test_a_circuit_is_left_where_its_overlap_is_no_higher_than_the_floor(number: Estimate, expected: str) -> None:
    assert at_floor(number, 0.5).verdict == expected


@pytest.mark.parametrize(
    ("larger", "smaller", "expected"),
    [
        ((9.0, 8.0), (7.0, 6.0), HOLDS),
        ((7.0, 6.0), (9.0, 8.0), FAILS),
        ((9.0, 6.0), (8.0, 7.0), UNKNOWN),
        ((9.0, 8.0), (8.0, 7.0), UNKNOWN),  # equal ends
        ((9.0, math.nan), (7.0, 6.0), UNKNOWN),
    ],
)
def test_both_halves_have_to_agree(
    larger: tuple[float, float], smaller: tuple[float, float], expected: str
) -> None:  # fmt: skip
    assert both_halves(larger, smaller).verdict == expected


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        (Estimate(0.9, 0.8, 1.0), Estimate(0.7, 0.6, 0.8), HOLDS),
        (Estimate(0.9, 0.8, 1.0), Estimate(0.3, 0.2, 0.4), FAILS),  # less than half
        (Estimate(0.9, 0.8, 1.0), Estimate(0.05, 0.0, 0.1), FAILS),  # like random circuits
        (Estimate(0.9, 0.8, 1.0), Estimate(0.5, 0.05, 0.9), UNKNOWN),
        (Estimate(0.9, 0.8, 1.0), Estimate(0.4, 0.3, 0.5), UNKNOWN),  # half of 0.9 is within
        (Estimate(0.15, 0.05, 0.3), Estimate(0.7, 0.6, 0.8), UNKNOWN),  # its own may explain no more than random ones
        (Estimate(0.15, 0.12, 0.3), Estimate(0.7, 0.6, 0.8), HOLDS),
        (Estimate(0.9, 0.8, 1.0), NONE, UNKNOWN),
        (NONE, Estimate(0.7, 0.6, 0.8), UNKNOWN),
    ],
)
def test_a_circuit_transfers_that_explains_half_as_much_as_the_own(
    own: Estimate, other: Estimate, expected: str
) -> None:  # fmt: skip
    assert transfers(own, other, random_highest=0.1).verdict == expected


def test_a_circuit_is_not_judged_by_one_that_explains_next_to_nothing() -> None:
    own = Estimate(0.02, 0.01, 0.03)
    assert transfers(own, own, random_highest=0.0).verdict == UNKNOWN
