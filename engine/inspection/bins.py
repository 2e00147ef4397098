"""The bins of every activation histogram: fixed, symmetric and logarithmic, so that any two models share them.

Bin edges are 0.01 * 10**(i / 4) up to 1,000 on either side of one bin around zero; what lies beyond falls in the
outermost bins.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.schema import vocabulary

BINS = vocabulary.BINS  # 41; the middle one is around zero
SMALLEST, PER_DECADE = 0.01, 4
SIDE = SMALLEST * 10.0 ** (np.arange(BINS // 2 + 1) / PER_DECADE)  # [21] from 0.01 to 1000
EDGES: NDArray[np.float64] = np.concatenate([[-np.inf], -SIDE[:-1][::-1], SIDE[:-1], [np.inf]])  # [42]


def float32_edges() -> NDArray[np.float32]:
    """[BINS - 1]: inner edges rounded up, by which float32 numbers fall in the same bins as by EDGES."""
    rounded = EDGES[1:-1].astype(np.float32)
    return np.where(rounded < EDGES[1:-1], np.nextafter(rounded, np.float32(np.inf)), rounded)


def counts(values: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """[BINS]: how many of `values` [...] fall in every bin; a value on an edge belongs to the bin above it."""
    places = np.searchsorted(EDGES[1:-1], values, side="right")
    return np.bincount(places.ravel(), minlength=BINS)


def label(index: int) -> str:
    """A bin in words, as in "0.32 to 0.56"."""
    low, high = (f"{edge:.0f}" if abs(edge) >= 100 else f"{edge:.2g}" for edge in EDGES[index : index + 2])
    if index == 0:
        return f"below {high}"
    return f"{low} and above" if index == BINS - 1 else f"{low} to {high}"
