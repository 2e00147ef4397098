"""Compare the circuits of a run's parts (denoising steps, answer sites): overlaps of every two, matching positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MatchingPosition:
    """The answer position that most examples reveal at a denoising step."""

    index: int  # of the answer token, 0 = first
    share: float  # 0 .. 1, of the examples that reveal something at that step


def jaccard_matrix(
    rows: Sequence[NDArray[np.int32]], columns: Sequence[NDArray[np.int32]], n_edges: int
) -> NDArray[np.float64]:
    """[row, column]: the Jaccard index, 0 .. 1, of every two circuits, each given as edge indices below `n_edges`."""
    a, b = (_bits(circuits, n_edges) for circuits in (rows, columns))
    shared = np.array([[int(np.bitwise_count(x & y).sum()) for y in b] for x in a], dtype=np.float64)
    sizes = [np.array([len(edges) for edges in circuits]) for circuits in (rows, columns)]
    return np.asarray(shared / (sizes[0][:, None] + sizes[1][None, :] - shared))


def matching_position(reveals: Mapping[str, NDArray[Any]], step: int) -> MatchingPosition | None:
    """Which answer position represents a step: examples differ in their order, so the most frequent one.

    `reveals` has the columns example, step and index, each [row], as in the table `reveals`. None where no example
    reveals anything at the step.
    """
    at = reveals["step"] == step
    if not at.any():
        return None
    count = np.bincount(reveals["index"][at])
    index = int(count.argmax())
    return MatchingPosition(index, float(count[index] / len(np.unique(reveals["example"][at]))))


def _bits(circuits: Sequence[NDArray[np.int32]], n_edges: int) -> list[NDArray[np.uint8]]:
    """Each circuit's membership of all edges, eight edges a byte: ten times faster to intersect than sets."""
    packed = []
    for edges in circuits:
        member = np.zeros(n_edges, dtype=bool)
        member[edges] = True
        packed.append(np.packbits(member))
    return packed
