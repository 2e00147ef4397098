"""Circuits that are run: prefixes of orders of edges, and sets of edges made of two circuits. Pure numpy.

`comparison.order_of` is the order by |score|; here are the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.circuits.edges import Floats, Ints

RANDOM_DRAWS = 5  # random orders, whose mean and range are the floor

Masks = NDArray[np.bool_]


def signed_order(scores: Floats) -> NDArray[np.int32]:
    """[rank] -> edge: by score from the largest, ties by edge index. `scores` is [edge]. MIB ranks so for CPR."""
    return np.argsort(-scores, kind="stable").astype(np.int32)


def random_orders(n_edges: int, draws: int = RANDOM_DRAWS, seed: int = 0) -> NDArray[np.int32]:
    """[draw, rank] -> edge: permutations of all edges, the same for the same arguments."""
    generator = np.random.default_rng(seed)
    return np.stack([generator.permutation(n_edges) for _ in range(draws)]).astype(np.int32)


def prefixes(order: Ints, sizes: Sequence[int]) -> Masks:
    """[size, edge]: the first so many edges of an order [rank] of all edges.

    Raises:
        ValueError: more edges than there are.
    """
    if max(sizes, default=0) > len(order):
        raise ValueError(f"a circuit of {max(sizes)} edges can't be had of {len(order)}")
    return _members(order)[None] < np.asarray(sizes)[:, None]


def complement(circuit: Masks) -> Masks:
    """[edge]: everything but the circuit [edge]."""
    return ~circuit


def shared(circuit: Masks, other: Masks) -> Masks:
    """[edge]: what both circuits [edge] have."""
    return circuit & other


def only(circuit: Masks, other: Masks) -> Masks:
    """[edge]: what `circuit` [edge] has and `other` [edge] has not."""
    return circuit & ~other


def _members(order: Ints) -> NDArray[np.int32]:
    """[edge] -> rank."""
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank
