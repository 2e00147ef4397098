"""What changes with K, at many K in one pass over the edges (METHOD, "Circuits and comparison").

A circuit of K edges is a prefix of the order by |score|, so a node's importance at every size is a cumulative sum of
what the edges between two sizes add to it. Pure numpy. tests/engine/circuits/test_along_k.py holds each function
against a slow, literal reading of METHOD, and against comparison.py and profiles.py at one size.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.circuits.comparison import ScoredEdges
from engine.circuits.edges import Floats, Ints
from engine.circuits.graph import Graph
from engine.circuits.profiles import components, early_shares, effective_numbers, importance, layer_profile
from engine.errors import UserError

SHARE = 0.9  # of the importance of all heads and MLPs, which the core components hold


@dataclass(frozen=True)
class AlongK:
    """Two circuits of K edges each, compared at several K; of an ARM (0) and an MDM (1) where the first axis is 2."""

    k: NDArray[np.int32]  # [size]: increasing
    shared: NDArray[np.int32]  # [size]: edges in both circuits
    components: NDArray[np.float64]  # [size]: Jaccard index of the core components; nan where neither has any
    early_share: NDArray[np.float64]  # [2, size]: of the importance; nan without any head or MLP
    effective_number: NDArray[np.float64]  # [2, size]: of heads and MLPs; 0 without any
    layer_profile: NDArray[np.float64]  # [2, size, layer]: shares of the importance; all 0 without any head or MLP


def along_k(graph: Graph, arm: ScoredEdges, mdm: ScoredEdges, sizes: Ints, boundary: int | None = None) -> AlongK:
    """Compare the top K edges of an ARM and an MDM at every K of `sizes` [size], which increase.

    `arm` and `mdm` hold edges from the strongest on, at least as many as the largest size; `boundary`: how many of the
    first layers are early, a third when None.

    Raises:
        UserError: sizes that do not increase, or that go beyond the edges; no such early boundary.
    """
    known = min(len(arm.edge), len(mdm.edge))
    if not len(sizes) or sizes[0] < 1 or sizes[-1] > known or (np.diff(sizes) <= 0).any():
        raise UserError(f"Sizes K must increase, from 1 at least to {known} at most; they are {sizes}.")
    by_node = np.stack([importance_along(graph, side, sizes) for side in (arm, mdm)])
    profile = layer_profile(graph, by_node)
    return AlongK(
        k=np.asarray(sizes, dtype=np.int32),
        shared=_shared_along(graph, arm.edge, mdm.edge, sizes),
        components=overlap_of_sets(*core(components(by_node))),
        early_share=early_shares(profile, boundary),
        effective_number=effective_numbers(components(by_node)),
        layer_profile=profile,
    )


def importance_along(graph: Graph, side: ScoredEdges, sizes: Ints) -> NDArray[np.float64]:
    """[size, node]: the importance of every node in the circuits of `sizes` [size] edges, in the metric's unit."""
    ends = np.asarray(sizes).tolist()
    sources, targets = graph.endpoints(side.edge[: ends[-1]])
    weight = np.abs(side.score[: ends[-1]]).astype(np.float64)
    added = np.zeros((len(ends), graph.n_nodes))
    for size, (start, end) in enumerate(pairwise([0, *ends])):
        added[size] += np.bincount(sources[start:end], weight[start:end], graph.n_nodes)
        added[size] += np.bincount(targets[start:end], weight[start:end], graph.n_nodes)
    return np.cumsum(added, axis=0)


def _shared_along(graph: Graph, arm: Ints, mdm: Ints, sizes: Ints) -> NDArray[np.int32]:
    """[size]: edges in both circuits; an edge is from the first size on that holds it in both orders."""
    first = np.repeat(np.arange(len(sizes), dtype=np.int32), np.diff(sizes, prepend=0))  # [rank] -> size
    in_mdm = np.full(graph.n_edges, len(sizes), dtype=np.int32)
    in_mdm[mdm[: len(first)]] = first
    later = np.maximum(first, in_mdm[arm[: len(first)]])
    return np.cumsum(np.bincount(later, minlength=len(sizes))[: len(sizes)]).astype(np.int32)


def core(component_importance: Floats, share: float = SHARE) -> NDArray[np.bool_]:
    """[..., head or MLP]: whether it is a core component, of which `profiles.components` gives the importance.

    The core is the smallest set that holds at least `share` of the importance of all, taken from the most important
    on, ties by node index; empty where none has any.
    """
    n = component_importance.shape[-1]
    falling = np.sort(component_importance, axis=-1)[..., ::-1]
    held = np.cumsum(falling, axis=-1)
    total = held[..., -1:]
    size = np.where(total > 0, np.argmax(held >= share * total, axis=-1, keepdims=True) + 1, 0)
    smallest = np.take_along_axis(falling, np.clip(size - 1, 0, n - 1), axis=-1)
    above, equal = component_importance > smallest, component_importance == smallest
    wanted = size - above.sum(axis=-1, keepdims=True)  # of the equal ones, the first
    return np.asarray(np.where(size > 0, above | (equal & (np.cumsum(equal, axis=-1) <= wanted)), False))


def core_overlap(graph: Graph, arm: ScoredEdges, mdm: ScoredEdges) -> float:
    """The Jaccard index of the core components of two circuits; nan where neither has any."""
    sides = (importance(graph, side.edge, side.score) for side in (arm, mdm))
    return float(overlap_of_sets(*(core(components(by_node)) for by_node in sides)))


def overlap_of_sets(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[...]: the Jaccard index of sets, each given as [..., member]; nan where both are empty."""
    either = (a | b).sum(axis=-1)
    return np.asarray(np.where(either > 0, (a & b).sum(axis=-1) / np.maximum(either, 1), np.nan), dtype=np.float64)


def rank_in_other(order: Ints, other: Ints) -> NDArray[np.int32]:
    """[edge of `order`]: the rank, 0 = strongest, that each edge has in the order `other` [edge].

    An edge that `other`, a prefix, does not hold gets `len(other)`, the rank beyond its last.
    """
    known = 1 + int(max(order.max(initial=0), other.max(initial=0)))
    rank = np.full(known, len(other), dtype=np.int32)
    rank[other] = np.arange(len(other), dtype=np.int32)
    return rank[order]
