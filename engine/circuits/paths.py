"""The strongest paths from `input` to `logits` within a circuit (METHOD, "Circuits and comparison").

1. Of the edges that enter a head from one node at q, k and v, the strongest is kept.
2. Nodes are numbered in the order of a forward pass, so a path goes through a node unless one of its edges begins
   before the node and ends after it: such edges are left out.
3. In that order, each node gets its `count` strongest paths from `input`, merged from those of the nodes before it.

Both ways to compare paths keep their order when the same edge is added to two paths, so step 3 loses none.
networkx lists shortest paths by a sum of lengths: minus the logarithms give the products, but no sum of lengths tells
which path has the strongest weakest edge. So one algorithm does both here, and Graph numbers its nodes in topological
order already. tests/engine/circuits/test_paths.py compares both with paths as networkx lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from math import prod

import numpy as np
from numpy.typing import NDArray

from engine.circuits.comparison import rank_of
from engine.circuits.edges import Floats, Ints
from engine.circuits.graph import Graph
from engine.circuits.pruning import prune
from engine.errors import UserError

BY = ("bottleneck", "product")


@dataclass(frozen=True)
class Path:
    """A path from `input` to `logits`."""

    nodes: tuple[int, ...]  # from `input` to `logits`
    edges: tuple[int, ...]  # Graph's edge indices, which tell q, k and v of a head apart
    strength: float  # bottleneck: the smallest |score|; product: of |score| / the circuit's largest, 0 .. 1


@dataclass(frozen=True)
class _Partial:
    """A path from `input` to some node; of two, the one with the smaller `key` is stronger."""

    key: tuple[float, ...]
    before: _Partial | None = None
    last: int = -1  # position of its last edge among the circuit's edges

    @property
    def positions(self) -> list[int]:
        """Where its edges are among the circuit's, from `input` on."""
        return [] if self.before is None else [*self.before.positions, self.last]


Extend = Callable[[tuple[float, ...], int], tuple[float, ...]]  # a path's key and an edge's position -> a key


def strongest_paths(
    graph: Graph, edges: Ints, scores: Floats, through: Sequence[int], count: int, by: str = "bottleneck"
) -> list[Path]:
    """The `count` strongest paths within a circuit of `edges` [edge] with `scores` [edge] through all of some nodes.

    `through`: node indices in any order, or none. By "bottleneck", paths are compared by their weakest edge, those
    with the same one by their second weakest, and so on (shorter ones first); by "product", by the product of their
    |scores|, each divided by the circuit's largest so that the product is at most 1.

    Raises:
        UserError: no such way to compare paths, no such node, or less than one path is asked for.
    """
    if by not in BY:
        raise UserError(f"Paths are to be compared by {by!r}. Choose one of: {', '.join(BY)}.")
    if count < 1:
        raise UserError(f"{count} paths are asked for. Choose a number from 1.")
    for node in through:
        if not 0 <= node < graph.n_nodes:
            raise UserError(f"There is no node {node}. Choose nodes from 0 to {graph.n_nodes - 1}.")
    weight = np.abs(np.asarray(scores, dtype=np.float64))
    share = (weight / (weight.max(initial=0) or 1)).tolist()
    rank = rank_of(scores)
    usable = _usable(graph, edges, rank, through)
    extend = _weakest_first(rank.tolist()) if by == "bottleneck" else _product(share)
    sources, targets = graph.endpoints(edges)
    paths = []
    for partial in _best(graph, sources, targets, usable, count, extend):
        positions = partial.positions
        strength = float(weight[positions].min()) if by == "bottleneck" else prod(share[at] for at in positions)
        nodes = (0, *(int(targets[at]) for at in positions))
        paths.append(Path(nodes, tuple(int(edges[at]) for at in positions), strength))
    return paths


def _usable(graph: Graph, edges: Ints, rank: Ints, through: Sequence[int]) -> NDArray[np.intp]:
    """Positions of the edges that a path may use, in the order of the nodes at which they end (steps 1 and 2)."""
    sources, targets = (ends.astype(np.int64) for ends in graph.endpoints(edges))
    strongest = np.argsort(rank)
    _, first = np.unique((targets * graph.n_nodes + sources)[strongest], return_index=True)
    at = strongest[first]
    for node in through:
        at = at[~((sources[at] < node) & (targets[at] > node))]
    return at[prune(graph, edges[at])]


def _best(
    graph: Graph, sources: Ints, targets: Ints, usable: NDArray[np.intp], count: int, extend: Extend
) -> list[_Partial]:
    """The `count` best paths to `logits` over the edges at positions `usable` (step 3)."""
    partials: list[list[_Partial]] = [[] for _ in range(graph.n_nodes)]
    partials[0] = [_Partial(())]

    def extended(before: list[_Partial], position: int) -> Iterator[_Partial]:
        return (_Partial(extend(partial.key, position), partial, position) for partial in before)

    for group in np.split(usable, np.flatnonzero(np.diff(targets[usable])) + 1):
        positions = group.tolist()
        if positions:
            ways = (extended(partials[sources[position]], position) for position in positions)
            partials[targets[positions[0]]] = list(islice(merge(*ways, key=lambda partial: partial.key), count))
    return partials[graph.logits]


def _weakest_first(rank: list[int]) -> Extend:
    """Keys: the ranks of a path's edges, the weakest edge's, which is the largest, first."""
    return lambda key, position: tuple(sorted((*key, rank[position]), reverse=True))


def _product(share: list[float]) -> Extend:
    """Keys: minus the product of a path's shares."""
    return lambda key, position: ((key[0] if key else -1.0) * share[position],)
