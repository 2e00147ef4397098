"""Which differences are called one."""

from __future__ import annotations

import math

import pytest

from engine.circuits.comparison import SplitHalf
from engine.circuits.verdicts import CLEARLY, differ_beyond_examples, mean_of_known, verdict


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
