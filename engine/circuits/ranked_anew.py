"""Intervals of overlaps over prompts, with the edges ranked anew in every resample (METHOD, "Overlaps ranked anew").

1. Blocks of examples are drawn with replacement, the same for both models (engine/circuits/intervals.py, `draws`). For
   split halves the blocks of each half are drawn by themselves: even blocks hold the even examples, odd ones the odd.
2. In every draw scores are summed over the drawn blocks, edges are ranked by |score| (ties by edge index), and the
   overlap of the top K of both is counted. Only edges that have blocks can enter (the 4,096 strongest of each run).
3. The interval is that of the draws' percentiles, moved so that the mean of the draws lies at the value itself. A draw
   has noise twice, its own and that of the prompts, so that its overlap is lower than the value: plain percentiles lie
   too low. The basic bootstrap, which reflects them, is too unsteady, as the overlap jumps where edges change places.
   The interval is widened as Hesterberg (2015, The American Statistician 69, section 4.1) does for small samples: by
   Student's quantile over the normal one, and by sqrt(blocks / (blocks - 1)).

What the interval holds is the overlap that circuits of so many other prompts would have on average, not that of
circuits of infinitely many prompts, which noise makes an overlap of few prompts fall short of.
tests/engine/circuits/test_ranked_anew.py measures by simulation how often it does. Pure numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from engine.circuits.comparison import SplitHalf, jaccard_at
from engine.circuits.edges import EdgeBlocks, Floats
from engine.circuits.intervals import FEWEST, LEVEL, RESAMPLES, Z95, Estimate, draws

Overlaps = NDArray[np.float64]  # [size, resample], 0 .. 1
Blocks = Sequence[NDArray[np.float32]]  # of each model: [edge, block], rows the same edges in all


@dataclass(frozen=True)
class Redrawn:
    """An overlap, or a difference of overlaps, and what it is in every draw of the prompts."""

    value: float
    draws: NDArray[np.float64]  # [resample]; empty where there are too few prompts or edges
    blocks: int  # that were drawn; of halves, those of the smaller half
    least: float = 0.0  # what it can be; -1 of a difference

    @property
    def estimate(self) -> Estimate:
        """With its 95 % interval: the draws' percentiles, moved so that their mean lies at the value."""
        if not self.draws.size or not np.isfinite(self.value):
            return Estimate(self.value, None, None)
        outside = 50 * (1 - LEVEL)
        ends = np.percentile(self.draws - self.draws.mean(), [outside, 100 - outside])
        ends = np.array([min(ends[0], 0.0), max(ends[1], 0.0)])  # also where nearly all draws are equal
        low, high = (self.value + widened(self.blocks) * ends).clip(self.least, 1.0)
        return Estimate(self.value, float(low), float(high))

    def minus(self, other: Redrawn) -> Redrawn:
        """The difference to another overlap of the same draws."""
        return self._minus(other, other.draws)

    def minus_independent(self, other: Redrawn) -> Redrawn:
        """The difference to an overlap on another task: every draw meets another draw, as the prompts are others."""
        return self._minus(other, np.roll(other.draws, 1))

    def _minus(self, other: Redrawn, draws_of_other: NDArray[np.float64]) -> Redrawn:
        known = self.draws.size and other.draws.size
        redrawn = self.draws - draws_of_other if known else np.empty(0)
        return Redrawn(self.value - other.value, redrawn, min(self.blocks, other.blocks), least=-1.0)


@dataclass(frozen=True)
class SplitHalfRedrawn:
    """Like comparison.SplitHalf, with draws."""

    arm: Redrawn
    mdm: Redrawn
    pair: Redrawn

    @property
    def pair_below_own(self) -> Redrawn:
        """The pair's overlap minus the lower one of the two models' own."""
        known = self.pair.draws.size and self.arm.draws.size
        redrawn = self.pair.draws - np.minimum(self.arm.draws, self.mdm.draws) if known else np.empty(0)
        return Redrawn(self.pair.value - min(self.arm.value, self.mdm.value), redrawn, self.pair.blocks, least=-1.0)


def widened(blocks: int) -> float:
    """How much wider than its percentiles an interval from so few blocks has to be; 1 for infinitely many."""
    free = blocks - 1
    student = Z95 + (Z95**3 + Z95) / (4 * free) + (5 * Z95**5 + 16 * Z95**3 + 3 * Z95) / (96 * free**2)
    return student / Z95 * sqrt(blocks / free)


def aligned(*runs: EdgeBlocks) -> list[NDArray[np.float32]]:
    """[edge, block] of every run, on the edges that any of them has, by index; 0 where a run does not have the edge.

    Raises:
        ValueError: the runs have different numbers of blocks, so that their draws cannot be the same.
    """
    if len({run.shares.shape[1] for run in runs}) > 1:
        raise ValueError(f"runs of {', '.join(str(run.shares.shape[1]) for run in runs)} blocks cannot be aligned")
    edges = np.unique(np.concatenate([run.edge for run in runs]))
    shares = [np.zeros((len(edges), run.shares.shape[1]), dtype=np.float32) for run in runs]
    for own, run in zip(shares, runs, strict=True):
        own[np.searchsorted(edges, run.edge)] = run.shares
    return shares


def pair_overlap(value: float, arm: EdgeBlocks, mdm: EdgeBlocks, k: int, resamples: int = RESAMPLES) -> Redrawn:
    """The overlap of two runs on the same prompts at `k` edges; `value` as it is stored.

    Two tasks' overlaps are independent: compare them by `minus_independent`.
    """
    return pair_overlaps([value], [mdm], arm, k, resamples)[0]


def pair_overlaps(
    values: Sequence[float], others: Sequence[EdgeBlocks], arm: EdgeBlocks, k: int, resamples: int = RESAMPLES
) -> list[Redrawn]:
    """The overlap of one run with several others on the same prompts, all on the same draws (for `minus`)."""
    blocks = arm.shares.shape[1]
    if not _enough(blocks, k, (arm, *others)):
        return [Redrawn(value, np.empty(0), blocks) for value in values]
    drawn = draws(blocks, resamples)
    first, *rest = (top_k(scores @ drawn.T.astype(np.float32), k) for scores in aligned(arm, *others))
    return [Redrawn(value, _jaccard(first, top, k), blocks) for value, top in zip(values, rest, strict=True)]


def split_half(
    values: SplitHalf, arm: EdgeBlocks, mdm: EdgeBlocks, k: int, resamples: int = RESAMPLES
) -> SplitHalfRedrawn:
    """Split-half overlaps with draws, the blocks of each half drawn by themselves; `values` as they are stored."""
    everything = arm.shares.shape[1]
    blocks = everything // 2
    if not _enough(blocks, k, (arm, mdm)):
        return SplitHalfRedrawn(*(Redrawn(v, np.empty(0), blocks) for v in (values.arm, values.mdm, values.pair)))
    shares = aligned(arm, mdm)
    drawn = [draws(len(range(half, everything, 2)), resamples, seed=half).T.astype(np.float32) for half in (0, 1)]
    (arm_a, arm_b), (mdm_a, mdm_b) = (
        [top_k(own[:, half::2] @ drawn[half], k) for half in (0, 1)] for own in shares
    )  # fmt: skip
    crossed = (_jaccard(arm_a, mdm_b, k) + _jaccard(arm_b, mdm_a, k)) / 2
    return SplitHalfRedrawn(
        arm=Redrawn(values.arm, _jaccard(arm_a, arm_b, k), blocks),
        mdm=Redrawn(values.mdm, _jaccard(mdm_a, mdm_b, k), blocks),
        pair=Redrawn(values.pair, crossed, blocks),
    )


def top_k(scores: Floats, k: int) -> NDArray[np.bool_]:
    """[resample, edge]: whether an edge is among the `k` of largest |score| of scores [edge, resample].

    Ties by edge index, as in METHOD; found by the k-th largest instead of a sort.
    """
    strength = np.abs(scores.T, order="C")  # rows that lie together are partitioned four times as fast
    smallest = np.partition(strength, strength.shape[1] - k, axis=1)[:, strength.shape[1] - k, None]
    chosen = np.asarray(strength >= smallest)
    tied = np.flatnonzero(chosen.sum(axis=1) > k)
    if len(tied):
        above, equal = strength[tied] > smallest[tied], strength[tied] == smallest[tied]
        wanted = k - above.sum(axis=1, keepdims=True)  # of the equal ones, the first
        chosen[tied] = above | (equal & (np.cumsum(equal, axis=1) <= wanted))
    return chosen


def _jaccard(a: NDArray[np.bool_], b: NDArray[np.bool_], k: int) -> NDArray[np.float64]:
    """[resample]: the Jaccard index of two sets of `k` edges each, given as [resample, edge]."""
    return jaccard_at(np.count_nonzero(a & b, axis=1), np.full(len(a), k))


def _enough(blocks: int, k: int, runs: Sequence[EdgeBlocks]) -> bool:
    """Whether there are blocks enough to draw from, and edges enough to rank."""
    return blocks >= FEWEST and all(k <= len(run.edge) for run in runs)
