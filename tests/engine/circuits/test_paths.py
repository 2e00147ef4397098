"""Strongest paths, against all paths of small circuits as networkx lists them."""

from __future__ import annotations

import time
from itertools import islice, pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.circuits.comparison import order_of
from engine.circuits.graph import Graph, graph_of
from engine.circuits.paths import BY, Path, strongest_paths
from engine.errors import UserError

GRAPH = Graph(n_layers=2, n_heads=2)


def circuit(graph: Graph, seed: int, k: int, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The top `k` edges of random scores; with `levels`, few different ones, so that there are many ties."""
    rng, n = np.random.default_rng(seed), graph.n_edges
    scores = rng.standard_normal(n) if levels is None else rng.integers(1, levels + 1, n) * rng.choice([-1, 1], n)
    order = order_of(scores)[:k]
    return order, scores[order].astype(np.float32)


def named(graph: Graph, **scores: float) -> tuple[np.ndarray, np.ndarray]:
    """A circuit of edges by names, strongest first."""
    edges = np.array([graph.edge_named(name) for name in scores], dtype=np.int32)
    values = np.array(list(scores.values()), dtype=np.float32)
    order = np.argsort(-np.abs(values), kind="stable")
    return edges[order], values[order]


def drawn_by_networkx(graph: Graph, edges: np.ndarray) -> nx.DiGraph:
    """A circuit's edges with their positions; of the edges of two nodes, the strongest alone."""
    drawn = nx.DiGraph()
    drawn.add_nodes_from((0, graph.logits))
    sources, targets = (ends.tolist() for ends in graph.endpoints(edges))
    for position in reversed(range(len(edges))):  # the strongest of two nodes is added last, and stays
        drawn.add_edge(sources[position], targets[position], position=position)
    return drawn


def all_paths(graph: Graph, edges: np.ndarray, scores: np.ndarray, through: list[int]) -> list[list[int]]:
    """Every path through the nodes, as positions of its edges."""
    drawn = drawn_by_networkx(graph, edges)
    paths = [path for path in nx.all_simple_paths(drawn, 0, graph.logits) if set(through) <= set(path)]
    return [[drawn.edges[ends]["position"] for ends in pairwise(path)] for path in paths]


def strength(scores: np.ndarray, positions: list[int], by: str) -> float:
    weight = np.abs(scores.astype(np.float64))
    return float(weight[positions].min() if by == "bottleneck" else np.prod(weight[positions] / weight.max()))


def checked(graph: Graph, edges: np.ndarray, scores: np.ndarray, path: Path, by: str) -> list[int]:
    """Positions of a path's edges, of which ends, nodes and strength are checked."""
    place = {int(edge): position for position, edge in enumerate(edges)}
    positions = [place[edge] for edge in path.edges]
    sources, targets = graph.endpoints(np.array(path.edges))
    assert path.nodes == (0, *targets.tolist()) and path.nodes == (*sources.tolist(), graph.logits)
    assert path.strength == pytest.approx(strength(scores, positions, by))
    return positions


@pytest.mark.parametrize("by", BY)
@given(seed=st.integers(0, 10**6), k=st.integers(1, GRAPH.n_edges), levels=st.sampled_from([None, 3]), data=st.data())
@settings(deadline=None, max_examples=150)
def test_paths_are_the_strongest_of_all_paths(
    by: str, seed: int, k: int, levels: int | None, data: st.DataObject
) -> None:
    edges, scores = circuit(GRAPH, seed, k, levels)
    through = data.draw(st.lists(st.integers(0, GRAPH.n_nodes - 1), max_size=2))
    count = data.draw(st.integers(1, 12))
    every = all_paths(GRAPH, edges, scores, through)
    paths = strongest_paths(GRAPH, edges, scores, through, count, by)
    positions = [checked(GRAPH, edges, scores, path, by) for path in paths]
    assert len(paths) == min(count, len(every))
    assert len({path.nodes for path in paths}) == len(paths)
    assert all(at in every for at in positions)
    if by == "bottleneck":  # compared by the weakest edge, then the second weakest, ...: one order without ties
        assert positions == sorted(every, key=lambda at: sorted(at, reverse=True))[:count]
    else:
        expected = sorted((strength(scores, at, by) for at in every), reverse=True)[:count]
        assert [path.strength for path in paths] == pytest.approx(expected)


def test_a_weak_edge_counts_once_by_bottleneck_and_every_edge_by_product() -> None:
    edges, scores = named(
        GRAPH, **{"input->a0.h0<q>": 4, "a0.h0->m1": -4, "m1->logits": 4, "input->a0.h1<v>": 5, "a0.h1->logits": 3}
    )
    (wide, _), (short, _) = (strongest_paths(GRAPH, edges, scores, (), 2, by) for by in BY)
    assert [GRAPH.node_names[node] for node in wide.nodes] == ["input", "a0.h0", "m1", "logits"]
    assert wide.strength == 4
    assert [GRAPH.edge_name(edge) for edge in short.edges] == ["input->a0.h1<v>", "a0.h1->logits"]
    assert short.strength == pytest.approx(1 * 3 / 5)


@pytest.mark.parametrize("by", BY)
def test_the_strongest_of_q_k_and_v_is_named(by: str) -> None:
    scores = {"input->a1.h0<q>": 1.0, "input->a1.h0<k>": -3.0, "input->a1.h0<v>": 2.0, "a1.h0->logits": 5.0}
    paths = strongest_paths(GRAPH, *named(GRAPH, **scores), [GRAPH.head(1, 0)], 10, by)
    assert [[GRAPH.edge_name(edge) for edge in path.edges] for path in paths] == [["input->a1.h0<k>", "a1.h0->logits"]]


def test_no_path_where_there_is_none() -> None:
    edges, scores = named(GRAPH, **{"input->a0.h0<q>": 1, "m0->logits": 1, "input->logits": 0.5})
    assert strongest_paths(GRAPH, edges, scores, [GRAPH.mlp(0)], 3) == []
    assert strongest_paths(GRAPH, edges[:0], scores[:0], [], 3) == []
    assert strongest_paths(GRAPH, *circuit(GRAPH, 0, GRAPH.n_edges), [GRAPH.head(0, 0), GRAPH.head(0, 1)], 3) == []
    (path,) = strongest_paths(GRAPH, edges, scores, [0, GRAPH.logits], 3)
    assert path == Path((0, GRAPH.logits), (GRAPH.edge_named("input->logits"),), 0.5)


def test_scores_of_zero_are_no_strength() -> None:
    edges, scores = named(GRAPH, **{"input->m0": 0.0, "m0->logits": 0.0})
    assert [strongest_paths(GRAPH, edges, scores, (), 1, by)[0].strength for by in BY] == [0, 0]


@pytest.mark.parametrize(
    ("through", "count", "by", "message"),
    [
        ([], 0, "product", "0 paths are asked for"),
        ([GRAPH.n_nodes], 1, "product", f"no node {GRAPH.n_nodes}. Choose nodes from 0 to {GRAPH.n_nodes - 1}"),
        ([-1], 1, "product", "no node -1"),
        ([], 1, "length", "'length'. Choose one of: bottleneck, product"),
    ],
)
def test_what_cannot_be_asked_is_refused(through: list[int], count: int, by: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        strongest_paths(GRAPH, *circuit(GRAPH, 0, 9), through, count, by)


def test_products_of_a_dense_circuit_are_networkxs_shortest_paths() -> None:
    graph = graph_of(12, 12)
    edges, scores = circuit(graph, 2, 5_000)
    lengths = -np.log(np.abs(scores.astype(np.float64)) / np.abs(scores).max())
    drawn = drawn_by_networkx(graph, edges)
    for source, target in drawn.edges:
        drawn[source][target]["length"] = lengths[drawn[source][target]["position"]]
    expected = islice(nx.shortest_simple_paths(drawn, 0, graph.logits, weight="length"), 10)
    assert [path.nodes for path in strongest_paths(graph, edges, scores, [], 10, "product")] == list(
        map(tuple, expected)
    )


@pytest.mark.parametrize("by", BY)
def test_a_dense_circuit_of_5000_edges_takes_no_time_to_speak_of(by: str) -> None:
    """Below 10 ms of computing on one core, where every node has 20 incoming edges on average."""
    graph = graph_of(12, 12)
    edges, scores = circuit(graph, 1, 5_000)
    strongest_paths(graph, edges, scores, [], 1, by)  # arrays of the graph are made now
    start = time.process_time()
    assert len(strongest_paths(graph, edges, scores, [graph.mlp(5)], 10, by)) == 10
    assert time.process_time() - start < 0.1
