"""Faithfulness and MIB's areas on numbers worked out by hand, and intervals by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from engine.evidence.faithfulness import SHARES, Faithfulness, areas, ends_of, faithfulness, grid_sizes

FULL = np.array([4.0, 6.0])  # mean 5
CORRUPTED = np.array([-1.0, 1.0])  # mean 0


def test_f_is_the_share_of_the_way_from_the_corrupted_to_the_clean_run() -> None:
    metric = np.array([[4.0, 6.0], [-1.0, 1.0], [2.0, 3.0], [9.0, 6.0], [-2.0, 0.0]])
    measured = faithfulness(metric, FULL, CORRUPTED)
    assert measured.given and measured.remark is None
    assert measured.f == pytest.approx([1, 0, 0.5, 1.5, -0.2])
    assert all(e.low is None and e.high is None for e in measured.estimates)  # two examples


@pytest.mark.parametrize(
    ("full", "corrupted", "given"),
    [
        ([3.0, 5.0], [2.96, 4.96], False),  # 0.04 apart, a spread of 1
        ([3.0, 5.0], [2.94, 4.94], True),
        ([4.0, 4.0], [4.0, 4.0], False),
        ([4.0, 4.0], [4.000001, 4.000001], False),  # no spread, and rounding
        ([4.0, 4.0], [4.0001, 4.0001], True),
        ([3.0, 5.0], [4.06, 4.06], True),  # root mean square of the spreads 1 and 0 is 0.71, of which 5 % is 0.035
        ([3.0, 5.0], [4.03, 4.03], False),
    ],
)
def test_f_is_not_given_where_the_ends_are_close(full: list[float], corrupted: list[float], given: bool) -> None:
    measured = faithfulness(np.array([[3.5, 4.5]]), np.array(full), np.array(corrupted))
    assert measured.given is given
    assert np.isnan(measured.f).all() == (not given)
    assert (measured.remark is None) == given
    both = areas(Faithfulness(measured.ends, measured.values[:, [0] * 10]))
    assert np.isnan(both.cpr.value) == (not given) and np.isnan(both.cmd.value) == (not given)


def test_the_remark_has_the_numbers() -> None:
    remark = faithfulness(np.zeros((1, 2)), np.array([3.0, 5.0]), np.array([2.96, 4.96])).remark
    assert remark and "(4 and 3.96; its standard deviation over examples is 1)" in remark


def test_ends() -> None:
    ends = ends_of(np.array([1.0, 5.0], dtype=np.float32), np.array([-7.0, 1.0], dtype=np.float32))
    assert (ends.full, ends.corrupted) == (3, -3)
    assert ends.spread == pytest.approx(np.sqrt((4 + 16) / 2))
    assert ends.rounding == pytest.approx(4 * 1.1920929e-7 * 6)  # the larger of 1 and 7, and of 5 and 1


def test_sizes_are_whole_numbers_of_edges_rounded_down() -> None:
    assert grid_sizes(32_491) == [32, 64, 162, 324, 649, 1624, 3249, 6498, 16_245, 32_491]  # GPT-2, as MIB
    assert grid_sizes(110)[:4] == [0, 0, 0, 1]


def with_values(values: list[float]) -> Faithfulness:
    return Faithfulness(ends_of(FULL, CORRUPTED), np.array([values]))


def test_areas_by_hand() -> None:
    """Widths .001 .003 .005 .01 .03 .05 .1 .3 .5, of MIB's grid."""
    line = areas(with_values(list(SHARES)))  # f = p: the triangle below the diagonal from .001 to 1
    assert line.cpr.value == pytest.approx((1 - 0.001**2) / 2)
    assert line.cmd.value == pytest.approx(0.999 - (1 - 0.001**2) / 2)
    perfect = areas(with_values([1.0] * 10))
    assert (perfect.cpr.value, perfect.cmd.value) == pytest.approx((0.999, 0))
    above = areas(with_values([0, 0, 0, 0, 0, 0, 0, 0, 2, 1]))  # .3 * 1 + .5 * 1.5; |1 - f|: .199 + .3 * 1 + .5 * .5
    assert (above.cpr.value, above.cmd.value) == pytest.approx((1.05, 0.749))


def test_areas_of_a_grid_of_two() -> None:
    measured = areas(with_values([0.5, 1.5]), shares=(0.0, 1.0))
    # |1 - f| is 0.5 at both ends: trapezoids join the points that were measured, as MIB's do
    assert (measured.cpr.value, measured.cmd.value) == pytest.approx((1.0, 0.5))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    generator, inside, n = np.random.default_rng(0), 0, 300
    for _ in range(n):
        full = generator.normal(5, 1, 64)
        corrupted = generator.normal(0, 1, 64)
        half = 0.5 * full + 0.5 * corrupted + generator.normal(0, 2, 64)
        (interval,) = faithfulness(half[None], full, corrupted).estimates
        assert interval.low is not None and interval.high is not None
        inside += interval.low <= 0.5 <= interval.high
    assert 0.90 < inside / n < 0.98


def test_the_full_circuit_has_no_interval_to_speak_of() -> None:
    generator = np.random.default_rng(0)
    full, corrupted = generator.normal(5, 1, 40), generator.normal(0, 1, 40)
    whole, empty = faithfulness(np.stack([full, corrupted]), full, corrupted).estimates
    assert (whole.value, whole.low, whole.high) == pytest.approx((1, 1, 1))
    assert (empty.value, empty.low, empty.high) == pytest.approx((0, 0, 0))
