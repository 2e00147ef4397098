"""Pruning, against paths in a graph library."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from engine.circuits.comparison import order_of
from engine.circuits.graph import Graph
from engine.circuits.pruning import prune

GRAPH = Graph(n_layers=3, n_heads=2)


def scores(seed: int, n: int = GRAPH.n_edges, levels: int | None = None) -> np.ndarray:
    """Random scores; with `levels`, few different ones, so that there are many ties."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n).astype(np.float32) if levels is None else rng.integers(-levels, levels + 1, n) / 4


def endpoints(graph: Graph, edge: int) -> tuple[str, str]:
    """Node names of both ends, read from the edge's name."""
    source, _, target = graph.edge_name(edge).partition("->")
    return source, target.split("<")[0]


@pytest.mark.parametrize("k", [1, 3, 6, 10, 15, 25, 60, GRAPH.n_edges])
@pytest.mark.parametrize("seed", range(6))
def test_pruned_circuit_is_what_lies_on_paths(seed: int, k: int) -> None:
    """An edge survives exactly when its source hangs on `input` and its target reaches `logits`."""
    edges = order_of(scores(seed))[:k]
    whole = nx.DiGraph([("input", "input"), ("logits", "logits"), *(endpoints(GRAPH, edge) for edge in edges)])
    below, above = nx.descendants(whole, "input") | {"input"}, nx.ancestors(whole, "logits") | {"logits"}
    expected = [u in below and v in above for u, v in (endpoints(GRAPH, edge) for edge in edges)]
    assert prune(GRAPH, edges).tolist() == expected


def test_any_of_q_k_v_keeps_a_head() -> None:
    edges = [GRAPH.edge_named(name) for name in ("input->a1.h0<v>", "a1.h0->logits", "a0.h0->a1.h0<q>", "m1->m2")]
    assert prune(GRAPH, np.array(edges)).tolist() == [True, True, False, False]


def test_pruning_again_leaves_out_nothing_more() -> None:
    edges = order_of(scores(3))[:12]
    left = edges[prune(GRAPH, edges)]
    assert prune(GRAPH, left).all()


def test_the_whole_graph_lies_on_paths_and_nothing_is_left_of_nothing() -> None:
    assert prune(GRAPH, np.arange(GRAPH.n_edges)).all()
    assert prune(GRAPH, np.array([], dtype=np.int32)).tolist() == []
