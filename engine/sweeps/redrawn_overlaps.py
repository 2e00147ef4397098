"""Intervals of many overlaps over prompts, as engine/circuits/ranked_anew.py defines them, with each run ranked once.

1. Blocks of examples are drawn with replacement, the same in all runs of as many blocks.
2. In every draw a run's own edges that have blocks are ranked by |score|; `TopEdges` holds which are among the top K,
   at every K that is asked for.
3. Of two runs the edges that both have are counted in every draw. An edge that only one of them has scores 0 in the
   other and is in none of its circuits there, unless fewer than K edges score anything.

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
    """The edges of a run that have blocks, and whether each is in the circuit of K edges, by K, in every draw."""

    edge: NDArray[np.int32]  # ascending
    blocks: int
    chosen: dict[int, NDArray[np.bool_]]  # by K: [resample, edge]; without the K that there are too few edges for


def top_edges(run: EdgeBlocks, sizes: Sequence[int], resamples: int = RESAMPLES) -> TopEdges:
    """Rank the edges of a run in every draw; none where it has too few blocks to draw from."""
    order = np.argsort(run.edge)
    edge, shares = run.edge[order], run.shares[order]
    blocks = shares.shape[1]
    known = sorted(k for k in sizes if k <= len(edge))
    if blocks < FEWEST or not known:
        return TopEdges(edge, blocks, {})
    scores = shares @ draws(blocks, resamples).T.astype(np.float32)
    strength = np.abs(scores.T, order="C")  # [resample, edge]
    most, largest = len(edge), known[-1]
    highest = np.sort(np.partition(strength, most - largest, axis=1)[:, most - largest :], axis=1)
    return TopEdges(edge, blocks, {k: _chosen(strength, highest[:, largest - k, None], k) for k in known})


def overlap(value: float, arm: TopEdges, other: TopEdges, k: int) -> Estimate:
    """An overlap, `value` as it is stored, with its interval; without one where there are too few prompts or edges."""
    if k not in arm.chosen or k not in other.chosen or arm.blocks != other.blocks:
        return Estimate(value, None, None)
    _, of_arm, of_other = np.intersect1d(arm.edge, other.edge, assume_unique=True, return_indices=True)
    both = _columns(arm.chosen[k], of_arm) & _columns(other.chosen[k], of_other)
    shared = np.count_nonzero(both, axis=1)
    return Redrawn(value, jaccard_at(shared, np.full(len(shared), k)), arm.blocks).estimate


def _columns(chosen: NDArray[np.bool_], which: NDArray[np.intp]) -> NDArray[np.bool_]:
    return chosen if len(which) == chosen.shape[1] else chosen[:, which]


def _chosen(strength: NDArray[np.float32], smallest: NDArray[np.float32], k: int) -> NDArray[np.bool_]:
    """[resample, edge]: as ranked_anew.top_k, from the k-th largest strength of every draw."""
    chosen = np.asarray(strength >= smallest)
    tied = np.flatnonzero(chosen.sum(axis=1) > k)
    if len(tied):
        chosen[tied] = top_k(strength[tied].T, k)
    return chosen
