"""Edges of stored circuits as arrays: by rank, by part, by block of examples, and the overlap of two orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class EdgeTable:
    """Edges of one part of a run, strongest first."""

    edge: NDArray[np.int32]  # Graph's edge index
    score: NDArray[np.float32]


@dataclass(frozen=True)
class RankedEdges:
    """Some edges of one part of a run."""

    edge: NDArray[np.int32]
    rank: NDArray[np.int32]  # 0 = strongest
    score: NDArray[np.float32]


@dataclass(frozen=True)
class OverlapCurve:
    """How many edges the top K of two orders have in common, at some K (comparison.curve_sizes)."""

    k: NDArray[np.int32]
    shared: NDArray[np.int32]


@dataclass(frozen=True)
class EdgeBlocks:
    """What each block of examples adds to the scores of the strongest edges: shares [edge, block]."""

    edge: NDArray[np.int32]
    shares: NDArray[np.float32]
