"""What two circuits share, against a literal reading of it."""

from __future__ import annotations

import numpy as np

from engine.circuits.comparison import order_of
from engine.circuits.graph import Graph
from engine.circuits.shared_edges import (
    classify,
    edges_at_nodes,
    nodes_of,
    touches,
)

GRAPH = Graph(2, 2)
SCORES = np.random.default_rng(0).standard_normal((2, GRAPH.n_edges)).astype(np.float32)
ORDERS = [order_of(scores) for scores in SCORES]
K = 20
EDGE = ORDERS[0][:K]


def ends(edge: int) -> set[int]:
    return {int(GRAPH.edge_source[edge]), int(GRAPH.destination_node[GRAPH.edge_destination[edge]])}


def test_an_edge_is_shared_when_the_other_circuit_has_it() -> None:
    edges = classify(EDGE, SCORES[0][EDGE], ORDERS[1][:K])
    assert edges.shared.tolist() == [edge in set(ORDERS[1][:K].tolist()) for edge in EDGE.tolist()]
    assert edges.shared.any() and not edges.shared.all()
    assert edges.rank.tolist() == list(range(K)) and len(edges) == K
    own = edges.where(~edges.shared)
    assert own.edge.tolist() == [edge for edge in EDGE.tolist() if edge not in set(ORDERS[1][:K].tolist())]
    assert own.rank.tolist() == [rank for rank in range(K) if not edges.shared[rank]]


def test_nodes_and_their_edges_are_counted() -> None:
    counts = [sum(node in ends(edge) for edge in EDGE.tolist()) for node in range(GRAPH.n_nodes)]
    assert edges_at_nodes(GRAPH, EDGE).tolist() == counts
    assert nodes_of(GRAPH, EDGE).tolist() == [count > 0 for count in counts]
    node = int(np.argmax(counts))
    assert touches(GRAPH, EDGE, node).tolist() == [node in ends(edge) for edge in EDGE.tolist()]


def test_a_circuit_without_edges_has_no_nodes() -> None:
    none = EDGE[:0]
    assert not nodes_of(GRAPH, none).any()
    assert not touches(GRAPH, none, 0).size
