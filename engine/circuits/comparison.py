"""Ranks of edges, and the overlap of two circuits at every K (METHOD, "Circuits and comparison").

A circuit is the prefix of K edges of an order by |score|. Overlap of two orders at every K comes from one pass: an
edge is shared at K when the larger of its two ranks is below K, so the counts are a cumulative histogram of that
larger rank. Pure numpy: nothing here reads a file or a model. tests/engine/circuits/test_comparison.py holds each
function against a slow, literal reading of METHOD.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isnan
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.circuits.edges import Floats, Ints
from engine.circuits.graph import Graph
from engine.circuits.profiles import (
    Specialisation,
    components,
    early_ratio,
    early_share,
    effective_number,
    gini,
    importance,
    layer_profile,
)
from engine.errors import UserError

EVERY_K = 100  # up to here a curve over K has every K,
A_DECADE = 120  # above so many, evenly on a logarithmic axis: more than a screen shows


class ScoredEdges(Protocol):
    """Edges from the largest |score| on, as engine.runs.read.edge_table returns them."""

    @property
    def edge(self) -> NDArray[np.int32]:
        """[rank]: Graph's edge index."""
        ...

    @property
    def score(self) -> NDArray[np.float32]:
        """[rank]: in the metric's unit."""
        ...


@dataclass(frozen=True)
class Comparison:
    """What two circuits of K edges each have in common."""

    k: int
    shared: int  # edges
    jaccard: float
    chance: float  # the Jaccard of two random sets of K edges
    arm: Specialisation
    mdm: Specialisation
    early_ratio: float  # MDM / ARM; nan where the ARM's early share is 0 or one has none


def printed(value: float, form: str) -> str:
    """A number in a format such as ".2f"; "none" where there is none (nan)."""
    return "none" if isnan(value) else f"{value:{form}}"


@dataclass(frozen=True)
class SplitHalf:
    """Overlaps of circuits that were found on half of the examples each, no example in both (METHOD, "Split-half").

    They are compared with each other, not with the overlap of circuits that were found on all examples.
    """

    arm: float  # the ARM's circuits on both halves
    mdm: float  # the MDM's
    pair: float  # the ARM's on one half, the MDM's on the other; the mean of both ways


def order_of(scores: Floats) -> NDArray[np.int32]:
    """[rank] -> edge: by |score| from the largest, ties by edge index. `scores` is [edge]."""
    return np.argsort(-np.abs(scores), kind="stable").astype(np.int32)


def rank_of(scores: Floats) -> NDArray[np.int32]:
    """[edge] -> rank, 0 for the largest |score|; the inverse of `order_of`."""
    return _inverse(order_of(scores))


def shared_counts(order_a: Ints, order_b: Ints) -> NDArray[np.int32]:
    """[K - 1]: how many edges the top K of both orders have in common, for K = 1 .. N in one pass.

    Raises:
        ValueError: the orders aren't of the same number of edges.
    """
    if len(order_a) != len(order_b):
        raise ValueError(f"orders of {len(order_a)} and {len(order_b)} edges can't be compared")
    return shared_counts_of_ranks(_inverse(order_a), _inverse(order_b))


def shared_counts_of_ranks(rank_a: Ints, rank_b: Ints) -> NDArray[np.int32]:
    """[K - 1]: `shared_counts` from the ranks [edge] (0 = strongest) of both models instead of the orders."""
    later = np.maximum(rank_a, rank_b)
    return np.cumsum(np.bincount(later, minlength=len(later))).astype(np.int32)


def shared_counts_of_prefixes(edges_a: Ints, edges_b: Ints) -> NDArray[np.int32]:
    """[K - 1]: how many edges the top K of two orders have in common, K up to the length of these prefixes [rank]."""
    _, rank_a, rank_b = np.intersect1d(edges_a, edges_b, assume_unique=True, return_indices=True)
    return np.cumsum(np.bincount(np.maximum(rank_a, rank_b), minlength=len(edges_a))).astype(np.int32)


def curve_sizes(n: int) -> NDArray[np.int32]:
    """[point]: the K, from 1 to `n` edges, at which a curve is kept and drawn: a few hundred, however many edges."""
    few = np.arange(1, min(n, EVERY_K) + 1)
    steps = max(2, ceil(A_DECADE * np.log10(max(n, EVERY_K) / EVERY_K)))
    many = np.geomspace(min(n, EVERY_K), n, steps).round()
    return np.unique(np.concatenate([few, many])).astype(np.int32)


def jaccard_at(shared: Ints, k: Ints) -> NDArray[np.float64]:
    """[...]: the Jaccard index of two sets of `k` [...] edges with `shared` [...] in common."""
    return np.asarray(shared / (2 * k.astype(np.int64) - shared), dtype=np.float64)


def shared_edges(edges_a: Ints, edges_b: Ints) -> int:
    """How many edges are in both of `edges_a` [edge] and `edges_b` [edge], each without repeats."""
    in_a = np.zeros(1 + int(max(edges_a.max(initial=0), edges_b.max(initial=0))), dtype=np.bool_)
    in_a[edges_a] = True
    return int(np.count_nonzero(in_a[edges_b]))


def jaccard(shared: Ints) -> NDArray[np.float64]:
    """[K - 1]: the Jaccard index of the two top-K sets, from `shared_counts`."""
    return jaccard_at(shared, np.arange(1, len(shared) + 1))


def chance(k: int, n: int) -> float:
    """The Jaccard index expected of two random sets of `k` of `n` edges."""
    return k / (2 * n - k)


def chance_curve(n: int) -> NDArray[np.float64]:
    """[K - 1]: `chance` for K = 1 .. n."""
    return chance_at(np.arange(1, n + 1), n)


def chance_at(k: Ints, n: int) -> NDArray[np.float64]:
    """[...]: `chance` for every entry of `k` [...]."""
    return np.asarray(k / (2 * n - k), dtype=np.float64)


def split_half(arm: tuple[Ints, Ints], mdm: tuple[Ints, Ints]) -> SplitHalf:
    """Split-half overlaps (METHOD, "Circuits and comparison") of circuits of equal size.

    `arm` and `mdm`: a model's edges [k] on half A of the examples, and those on half B.
    """
    (arm_a, arm_b), (mdm_a, mdm_b) = arm, mdm
    pair = (overlap_of(arm_a, mdm_b) + overlap_of(arm_b, mdm_a)) / 2
    return SplitHalf(arm=overlap_of(arm_a, arm_b), mdm=overlap_of(mdm_a, mdm_b), pair=pair)


def overlap_of(edges_a: Ints, edges_b: Ints) -> float:
    """The Jaccard index of two circuits, `edges_a` and `edges_b` [edge]."""
    shared = shared_edges(edges_a, edges_b)
    return shared / (len(edges_a) + len(edges_b) - shared)


def compare(graph: Graph, arm: ScoredEdges, mdm: ScoredEdges, k: int, boundary: int | None = None) -> Comparison:
    """Compare the top `k` edges of an ARM and an MDM; `arm` and `mdm` may be prefixes of at least `k` edges.

    Raises:
        UserError: fewer than `k` edges, or no such early boundary.
    """
    known = min(len(arm.edge), len(mdm.edge))
    if not 1 <= k <= known:
        raise UserError(f"K is {k}. Choose a number of edges from 1 to {known}.")
    shared = shared_edges(arm.edge[:k], mdm.edge[:k])
    of_arm, of_mdm = (_specialisation(graph, side, k, boundary) for side in (arm, mdm))
    return Comparison(
        k=k,
        shared=shared,
        jaccard=shared / (2 * k - shared),
        chance=chance(k, graph.n_edges),
        arm=of_arm,
        mdm=of_mdm,
        early_ratio=early_ratio(of_mdm.early_share, of_arm.early_share),
    )


def _specialisation(graph: Graph, side: ScoredEdges, k: int, boundary: int | None) -> Specialisation:
    by_node = importance(graph, side.edge[:k], side.score[:k])
    inner = components(by_node)
    early = early_share(layer_profile(graph, by_node), boundary)
    return Specialisation(early, effective_number(inner), gini(inner))


def _inverse(order: Ints) -> NDArray[np.int32]:
    inverse = np.empty(len(order), dtype=np.int32)
    inverse[order] = np.arange(len(order), dtype=np.int32)
    return inverse
