"""Groups of heads and MLPs that are removed together (METHOD, "Knockouts"). Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.circuits.along_k import core
from engine.circuits.edges import Floats, Ints
from engine.circuits.graph import Graph
from engine.circuits.profiles import components
from engine.schema.evidence_tables import GROUPS

STRONGEST, RANDOM, SHARED, ONLY = GROUPS
DRAWS = 5  # of random groups


@dataclass(frozen=True)
class Group:
    """Nodes that are removed together."""

    name: str  # STRONGEST, RANDOM, SHARED or ONLY
    draw: int  # of random groups; 0 otherwise
    nodes: tuple[int, ...]  # heads and MLPs, at least one


def groups_of(
    graph: Graph, importance: Floats, other_importance: Floats | None = None, draws: int = DRAWS, seed: int = 0
) -> list[Group]:
    """The groups of a model whose nodes have this `importance` [node] (profiles.importance).

    The n strongest components and n random ones for every n of `sizes`, and, where the other model's importance [node]
    is given, the heads that are core components of both circuits and those that are of this model's alone. Groups
    without any node are left out.
    """
    strongest = 1 + np.argsort(-components(importance), kind="stable")  # ties by node
    generator = np.random.default_rng(seed)
    random = [1 + generator.permutation(graph.n_sources - 1) for _ in range(draws)]
    groups = _prefixes(STRONGEST, 0, strongest)
    groups += [group for draw, order in enumerate(random) for group in _prefixes(RANDOM, draw, order)]
    if other_importance is not None:
        own, other = core_heads(graph, importance), core_heads(graph, other_importance)
        groups += [_group(SHARED, 0, np.flatnonzero(own & other)), _group(ONLY, 0, np.flatnonzero(own & ~other))]
    return [group for group in groups if group.nodes]


def sizes(n: int) -> list[int]:
    """1, 2, 4 and so on below n, and n: how many of n components are removed together."""
    return [*(2**power for power in range(max(0, n - 1).bit_length())), n]


def core_heads(graph: Graph, importance: Floats) -> NDArray[np.bool_]:
    """[node]: whether it is a head, and a core component of a circuit with this importance [node]."""
    chosen = np.zeros(graph.n_nodes, dtype=np.bool_)
    chosen[1:-1] = core(components(importance))
    chosen[[graph.mlp(layer) for layer in range(graph.n_layers)]] = False
    return chosen


def _prefixes(name: str, draw: int, order: Ints) -> list[Group]:
    """The first nodes of an order [rank] -> node, in groups of all sizes."""
    return [_group(name, draw, order[:n]) for n in sizes(len(order))]


def _group(name: str, draw: int, nodes: Ints | Sequence[int]) -> Group:
    return Group(name, draw, tuple(sorted(int(node) for node in nodes)))
