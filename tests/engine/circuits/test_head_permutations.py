"""Heads permuted within layers: by names on a small graph, and as a floor."""

from __future__ import annotations

import re

import numpy as np
import pytest

from engine.circuits.graph import Graph
from engine.circuits.head_permutations import (
    edges_between,
    permuted_component_overlap,
    permuted_edges,
    permuted_overlap,
    random_permutations,
)

GRAPH = Graph(3, 3)


def renamed(name: str, heads: np.ndarray) -> str:
    """An edge's name with its heads permuted, by text."""
    return re.sub(r"a(\d+)\.h(\d+)", lambda m: f"a{m[1]}.h{heads[int(m[1]), int(m[2])]}", name)


def test_every_edge_goes_where_its_name_says() -> None:
    for heads in random_permutations(3, 3, 5, seed=1):
        moved = permuted_edges(GRAPH, np.arange(GRAPH.n_edges), heads)
        assert sorted(moved.tolist()) == list(range(GRAPH.n_edges))
        expected = [renamed(GRAPH.edge_name(edge), heads) for edge in range(GRAPH.n_edges)]
        assert [GRAPH.edge_name(edge) for edge in moved.tolist()] == expected


def test_a_swap_by_hand() -> None:
    graph, heads = Graph(2, 2), np.array([[1, 0], [0, 1]])
    names = ("a0.h0->a1.h1<k>", "a0.h1->m0", "input->a0.h0<v>", "m0->a1.h0<q>", "input->logits", "a1.h1->logits")
    moved = permuted_edges(graph, np.array([graph.edge_named(name) for name in names]), heads)
    assert [graph.edge_name(edge) for edge in moved.tolist()] == [
        "a0.h1->a1.h1<k>", "a0.h0->m0", "input->a0.h1<v>", "m0->a1.h0<q>", "input->logits", "a1.h1->logits",
    ]  # fmt: skip


@pytest.mark.parametrize("graph", [Graph(1, 1), Graph(2, 5), Graph(4, 3)])
def test_edges_are_known_by_their_ends(graph: Graph) -> None:
    edges = edges_between(graph, graph.edge_source, graph.edge_destination)
    assert edges.tolist() == list(range(graph.n_edges))


def test_permutations_are_those_of_a_layer_each_and_the_same_again() -> None:
    drawn = random_permutations(4, 6, 50, seed=3)
    assert (np.sort(drawn, axis=-1) == np.arange(6)).all()
    assert len({tuple(row) for row in drawn.reshape(-1, 6).tolist()}) > 100
    assert np.array_equal(drawn, random_permutations(4, 6, 50, seed=3))


def test_the_floor_is_1_where_no_edge_has_a_head_and_low_where_all_have() -> None:
    graph = Graph(4, 8)
    of_mlps = np.array([graph.edge_named(f"m{a}->m{b}") for a in range(4) for b in range(a + 1, 4)])
    floor = permuted_overlap(graph, of_mlps, of_mlps)
    assert (floor.mean, floor.low, floor.high) == (1.0, 1.0, 1.0)
    of_heads = np.array([graph.edge_named(f"a{layer}.h0->a{layer + 1}.h{h}<q>") for layer in range(3) for h in (0, 1)])
    floor = permuted_overlap(graph, of_heads, of_heads, permutations=400)
    assert floor.low == 0.0 and floor.low <= floor.mean <= floor.high <= 1.0
    assert floor.mean < 0.05  # a pair of heads stays with probability 1/8 x 1/8
    assert floor == permuted_overlap(graph, of_heads, of_heads, permutations=400)


def test_the_floor_of_components_is_that_of_sets_with_permuted_heads() -> None:
    graph = Graph(2, 4)
    arm, mdm = np.zeros((2, 2, 5), dtype=bool)
    arm[0, [0, 4]], mdm[0, [0, 4]] = True, True  # a head and the MLP of the first layer
    floor = permuted_component_overlap(graph, arm.ravel(), mdm.ravel(), permutations=400)
    assert (floor.low, floor.high) == (1 / 3, 1.0)  # the MLP stays, the head in one permutation of four
    assert floor.mean == pytest.approx(1 / 4 + 3 / 4 * 1 / 3, abs=0.07)
    nothing = np.zeros(10, dtype=bool)
    assert np.isnan(permuted_component_overlap(graph, nothing, nothing).mean)
