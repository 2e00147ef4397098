"""Intervals of many overlaps over prompts, as engine/circuits/ranked_anew.py defines them, with each run ranked once.

1. Blocks of examples are drawn with replacement, the same in all runs of as many blocks.
2. In every draw a run's own edges that have blocks are ranked by |score|; `TopEdges` holds which are among the top K,
   at every K that is asked for.
3. Of two runs the edges that are in both circuits are counted in every draw. An edge of which only one run has blocks
   is in no circuit of the other.

pair_overlaps of ranked_anew.py ranks both runs for every overlap and every K; numbers are the same. Pure numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.circuits.comparison import jaccard_at
from engine.circuits.edges import EdgeBlocks
from engine.circuits.intervals import FEWEST, RESAMPLES, Estimate, draws
from engine.circuits.ranked_anew import Redrawn, top_k


@dataclass(frozen=True)
class TopEdges:
    """The circuits of a run in every draw, by K; without the K that it has too few edges with blocks for."""

    blocks: int
    circuits: dict[int, tuple[NDArray[np.int32], NDArray[np.bool_]]]
    """By K: edges [edge], ascending, that are in the circuit in any draw, and in which they are [resample, edge]."""


def top_edges(run: EdgeBlocks, sizes: Sequence[int], resamples: int = RESAMPLES) -> TopEdges:
    """Rank the edges of a run in every draw; none where it has too few blocks to draw from."""
    order = np.argsort(run.edge)
    edge, shares = run.edge[order], run.shares[order]
    blocks = shares.shape[1]
    known = sorted(k for k in sizes if k <= len(edge))
    if blocks < FEWEST or not known:
        return TopEdges(blocks, {})
    strength = draws(blocks, resamples).astype(np.float32) @ shares.T  # [resample, edge]
    np.abs(strength, out=strength)
    most, largest = len(edge), known[-1]
    highest = np.sort(np.partition(strength, most - largest, axis=1)[:, most - largest :], axis=1)
    circuits = {}
    for k in known:
        chosen = _chosen(strength, highest[:, largest - k, None], k)
        ever = np.flatnonzero(chosen.any(axis=0))
        circuits[k] = edge[ever], chosen[:, ever]
    return TopEdges(blocks, circuits)


def overlap(value: float, arm: TopEdges, other: TopEdges, k: int) -> Estimate:
    """An overlap, `value` as it is stored, with its interval; without one where there are too few prompts or edges."""
    if k not in arm.circuits or k not in other.circuits or arm.blocks != other.blocks:
        return Estimate(value, None, None)
    (edges_a, chosen_a), (edges_b, chosen_b) = arm.circuits[k], other.circuits[k]
    _, in_a, in_b = np.intersect1d(edges_a, edges_b, assume_unique=True, return_indices=True)
    shared = np.count_nonzero(chosen_a[:, in_a] & chosen_b[:, in_b], axis=1)
    return Redrawn(value, jaccard_at(shared, np.full(len(shared), k)), arm.blocks).estimate


def _chosen(strength: NDArray[np.float32], smallest: NDArray[np.float32], k: int) -> NDArray[np.bool_]:
    """[resample, edge]: as ranked_anew.top_k, from the k-th largest strength of every draw."""
    chosen = np.asarray(strength >= smallest)
    tied = np.flatnonzero(chosen.sum(axis=1) > k)
    if len(tied):
        chosen[tied] = top_k(strength[tied].T, k)
    return chosen
