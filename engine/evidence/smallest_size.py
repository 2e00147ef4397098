"""The smallest circuit that is faithful enough: K at which f reaches a threshold, without measuring every K.

f need not rise with K, so that "smallest" is said of the sizes that were measured:

1. f is known at the sizes of a grid (MIB's). The first of them with f >= threshold is the end of an interval, whose
   start is the grid's size before it (0 edges where there is none).
2. The interval is divided by a few sizes, evenly on a logarithmic axis, all of which are measured at once; the first
   with f >= threshold ends the next interval, the size before it starts it.
3. That goes on until the interval is no wider than 1 % of its end, or a single edge.

So f(K) >= threshold at the K returned, and f < threshold at the size measured before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

AT_ONCE = 7  # sizes that an interval is divided by
WIDTH = 0.01  # of the size: narrower intervals are not divided

Measure = Callable[[Sequence[int]], Sequence[float]]


@dataclass(frozen=True)
class SmallestSize:
    """`k` edges reach the threshold, `below` edges (the next smaller size that was measured) do not."""

    k: int
    f: float
    below: int


def smallest_size(
    measure: Measure, sizes: Sequence[int], known: Sequence[float], threshold: float
) -> SmallestSize | None:
    """Refine between `sizes`, ascending, at which f is `known`; None where f reaches the threshold at none of them.

    `measure` returns f at some sizes; circuits of these sizes are run together there.
    """
    start = 0
    interval = _first_reached(start, sizes, known, threshold)
    while interval is not None and interval.k - interval.below > max(1, int(WIDTH * interval.k)):
        between = divisions(interval.below, interval.k)
        refined = _first_reached(interval.below, between, measure(between), threshold)
        interval = refined or SmallestSize(interval.k, interval.f, between[-1])
    return interval


def divisions(below: int, k: int) -> list[int]:
    """At most AT_ONCE sizes between two, neither of them included: evenly on a logarithmic axis, each once."""
    points = np.geomspace(max(1, below), k, AT_ONCE + 2)[1:-1].round().astype(int)
    inner = sorted({int(point) for point in points if below < point < k})
    return inner or [(below + k) // 2]


def _first_reached(below: int, sizes: Sequence[int], values: Sequence[float], threshold: float) -> SmallestSize | None:
    for k, f in zip(sizes, values, strict=True):
        if f >= threshold:
            return SmallestSize(k, float(f), below)
        below = k
    return None
