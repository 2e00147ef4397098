"""The smallest size that reaches a threshold, of functions whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from engine.evidence.faithfulness import grid_sizes
from engine.evidence.smallest_size import AT_ONCE, divisions, smallest_size

N = 32_491
GRID = grid_sizes(N)


class Measured:
    """f that jumps to 1 at a size; counts what it is asked."""

    def __init__(self, threshold_at: int) -> None:
        self.threshold_at = threshold_at
        self.asked: list[list[int]] = []

    def __call__(self, sizes: Sequence[int]) -> list[float]:
        self.asked.append(list(sizes))
        return [float(size >= self.threshold_at) for size in sizes]


@pytest.mark.parametrize("at", [1, 2, 31, 32, 33, 63, 500, 1624, 1625, 20_000, N])
def test_a_rising_f_is_met_to_within_a_hundredth(at: int) -> None:
    measured = Measured(at)
    known = measured(GRID)
    result = smallest_size(measured, GRID, known, 0.85)
    assert result is not None and result.f == 1
    assert result.below < at <= result.k
    assert result.k - result.below <= max(1, int(0.01 * result.k))
    assert len(measured.asked) <= 4 and all(len(sizes) <= AT_ONCE for sizes in measured.asked[1:])


def test_none_reaches_it() -> None:
    assert smallest_size(lambda sizes: [0.0] * len(sizes), [10, 100], [0.1, 0.8], 0.85) is None


def test_the_first_size_of_the_grid_counts_where_f_falls_again() -> None:
    def f(sizes: Sequence[int]) -> list[float]:
        return [0.9 if 40 <= size <= 70 or size > 20_000 else 0.1 for size in sizes]

    result = smallest_size(f, GRID, f(GRID), 0.85)
    assert result is not None and (result.k, result.below) == (40, 39)


def test_divisions_are_evenly_spaced_and_inside() -> None:
    assert divisions(100, 6400) == [168, 283, 476, 800, 1345, 2263, 3805]
    assert divisions(0, 2) == [1] and divisions(7, 9) == [8]
    for below, k in ((0, 32), (3, 7), (1000, 1020)):
        assert all(below < size < k for size in divisions(below, k))
