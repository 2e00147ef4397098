"""Intervals over examples: what a circuit's numbers would have been, had other examples been drawn.

1. Examples are grouped in blocks: block b holds those with example % blocks == b (the table `edge_blocks`).
2. Blocks are drawn with replacement, as many as there are (`draws`); both models ran the same examples, so both get
   the same draws, and a difference of the two is one of the same examples.
3. The circuit's edges stay as they are; their scores, and with them importance, early share, effective number and
   Gini, are computed again from every draw.
4. An interval is the basic bootstrap's (Davison and Hinkley 1997, section 5.2): the percentiles of the draws
   reflected at the value itself. Noise makes importance look less even in every draw than in the value, and
   reflecting takes that out; plain percentiles would lie to one side of the truth.

Fewer than FEWEST blocks give no interval (None). Pure numpy; tests/engine/circuits/test_intervals.py holds it against
loops and against examples whose truth is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from engine.circuits import profiles
from engine.circuits.edges import EdgeBlocks, Floats
from engine.circuits.graph import Graph
from engine.schema.vocabulary import BLOCKS

RESAMPLES = 1000
LEVEL = 0.95
Z95 = 1.959964  # the normal distribution's two-sided 95 %
FEWEST = 8  # blocks; a bootstrap of fewer is too rough


@dataclass(frozen=True)
class Scored:
    """One model's circuit: its edges, their scores, and what blocks of examples add to them."""

    edge: NDArray[np.int32]
    score: Floats
    blocks: EdgeBlocks


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval over examples.

    None and None where there are too few examples, or where some draws of them have no such number.
    """

    value: float  # nan where there is none
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Contrast:
    """A number of both models and how they differ."""

    arm: Estimate
    mdm: Estimate
    difference: Estimate  # ARM - MDM


@dataclass(frozen=True)
class SpecialisationIntervals:
    """How two circuits are spread over layers and components, with intervals."""

    early: Contrast  # share of importance in the early layers
    early_ratio: Estimate  # MDM / ARM
    effective_number: Contrast  # of components
    gini: Contrast


@dataclass(frozen=True)
class Bands:
    """Means over examples and their 95 % intervals, entry by entry."""

    value: NDArray[np.float64]
    low: NDArray[np.float64] | None
    high: NDArray[np.float64] | None


@dataclass(frozen=True)
class BandContrast:
    arm: Bands
    mdm: Bands
    difference: Bands  # ARM - MDM


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share measured on `n` problems (Wilson 1927); of none, anything from 0 to 1."""
    if n == 0:
        return 0.0, 1.0
    z2 = Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def draws(n_blocks: int, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.int64]:
    """[resample, block]: how often each block is drawn; the same for the same arguments."""
    return np.random.default_rng(seed).multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=resamples)


def importance_draws(graph: Graph, scored: Scored, n_examples: int, drawn: NDArray[np.int64]) -> NDArray[np.float64]:
    """[resample, node]: importance (profiles.importance) of the same edges, with scores of the drawn blocks.

    Only the strongest edges of a run have blocks (4,096); where a circuit is larger, its other edges keep their value
    in every draw, which makes the interval somewhat too narrow.
    """
    row = np.full(graph.n_edges, -1)
    row[scored.blocks.edge] = np.arange(len(scored.blocks.edge))
    known = row[scored.edge] >= 0
    shares = scored.blocks.shares[row[scored.edge[known]]].astype(np.float64)  # [edge, block]
    scores = np.abs(shares @ _weights(n_examples, drawn).T)  # [edge, resample]
    rest = profiles.importance(graph, scored.edge[~known], scored.score[~known])
    leaving, reaching = (_summed_by(nodes, scores, graph.n_nodes) for nodes in graph.endpoints(scored.edge[known]))
    return np.asarray((leaving + reaching).T + rest)


def specialisation(
    graph: Graph, arm: Scored, mdm: Scored, n_examples: int, boundary: int | None = None
) -> SpecialisationIntervals:
    """How both circuits are spread, with intervals; `boundary` as in profiles.early_share."""
    blocks = arm.blocks.shares.shape[1]
    drawn = draws(blocks) if blocks >= FEWEST else np.empty((0, blocks), dtype=np.int64)
    points = [profiles.importance(graph, side.edge, side.score) for side in (arm, mdm)]
    redrawn = [importance_draws(graph, side, n_examples, drawn) for side in (arm, mdm)]

    def early(node_importance: Floats) -> Floats:
        return profiles.early_shares(profiles.layer_profile(graph, node_importance), boundary)

    def number(node_importance: Floats) -> Floats:
        return profiles.effective_numbers(profiles.components(node_importance))

    def gini(node_importance: Floats) -> Floats:
        return profiles.ginis(profiles.components(node_importance))

    of_early = [_each(early, point, many) for point, many in zip(points, redrawn, strict=True)]
    ratios = [profiles.early_ratio(b, a) for a, b in zip(*of_early, strict=True)]
    contrasts = [
        _contrast(*(_each(measure, point, many) for point, many in zip(points, redrawn, strict=True)))
        for measure in (number, gini)
    ]
    return SpecialisationIntervals(_contrast(*of_early), estimate(np.array(ratios)), *contrasts)


def mean_contrast(arm: Floats, mdm: Floats) -> BandContrast:
    """Means over examples of both models' [example, ...] values, row i of both the same example, with intervals."""
    return BandContrast(mean_bands(arm), mean_bands(mdm), mean_bands(np.asarray(arm, dtype=np.float64) - mdm))


def mean_bands(values: Floats) -> Bands:
    """Means over examples of [example, ...] with intervals from the same draws of blocks as the circuits'."""
    means = redrawn_means(values)
    if len(means) == 1:
        return Bands(means[0], None, None)
    low, high = _reflected(means[0], means[1:])
    return Bands(means[0], low, high)


def redrawn_means(values: Floats) -> NDArray[np.float64]:
    """[1 + resample, ...]: the mean over examples of [example, ...] values, then its mean in every draw of blocks.

    No draws where there are too few blocks. What is computed from each of these means goes to `estimate`.
    """
    n_examples = len(values)
    blocks = min(BLOCKS, n_examples)
    value = np.asarray(values.mean(axis=0), dtype=np.float64)[None]
    if blocks < FEWEST:
        return value
    parts = np.zeros((blocks, *values.shape[1:]))
    np.add.at(parts, np.arange(n_examples) % blocks, values / n_examples)
    return np.concatenate([value, np.tensordot(_weights(n_examples, draws(blocks)), parts, axes=1)])


def estimate(values: NDArray[np.float64]) -> Estimate:
    """From a number's values [1 + draw]: the one of all examples, then those of the draws, if there are any."""
    point = float(values[0])
    if len(values) == 1 or not np.isfinite(values).all():
        return Estimate(point, None, None)
    low, high = _reflected(values[0], values[1:])
    return Estimate(point, float(low), float(high))


def _weights(n_examples: int, drawn: NDArray[np.int64]) -> NDArray[np.float64]:
    """[resample, block]: what to multiply a block's part of a mean by; blocks may differ by one example in size."""
    blocks = drawn.shape[1]
    sizes = np.bincount(np.arange(n_examples) % blocks, minlength=blocks)
    return np.asarray(drawn * (n_examples / (drawn @ sizes))[:, None], dtype=np.float64)


def _summed_by(nodes: NDArray[np.int32], scores: Floats, n_nodes: int) -> NDArray[np.float64]:
    """[node, resample]: the sum of the rows of `scores` [edge, resample] whose edge has the node at an end."""
    sums = np.zeros((n_nodes, scores.shape[1]))
    order = np.argsort(nodes, kind="stable")
    present, first = np.unique(nodes[order], return_index=True)
    if len(present):
        sums[present] = np.add.reduceat(scores[order], first, axis=0)
    return sums


def _each(measure: Callable[[Floats], Floats], point: Floats, redrawn: Floats) -> NDArray[np.float64]:
    """A measure of the point and then of every draw."""
    return np.asarray(measure(np.concatenate([point[None], redrawn])))


def _contrast(arm: NDArray[np.float64], mdm: NDArray[np.float64]) -> Contrast:
    return Contrast(estimate(arm), estimate(mdm), estimate(arm - mdm))


def _reflected(value: Floats, redrawn: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The basic bootstrap interval of `value` [...] from `redrawn` [resample, ...]."""
    outside = 50 * (1 - LEVEL)
    low, high = np.percentile(redrawn, [outside, 100 - outside], axis=0)
    return np.asarray(2 * value - high), np.asarray(2 * value - low)
