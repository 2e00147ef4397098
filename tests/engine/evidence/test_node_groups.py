"""Groups of nodes that are removed together, worked out by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from engine.circuits.graph import graph_of
from engine.evidence.node_groups import Group, core_heads, groups_of, sizes

GRAPH = graph_of(2, 3)  # input, a0.h0 .. a0.h2, m0, a1.h0 .. a1.h2, m1, logits
IMPORTANCE = np.array([99, 0, 5, 2, 5, 30, 0, 1, 8, 99], dtype=float)  # of all but input and logits 51
OTHER = np.array([0, 0, 1, 9, 50, 40, 0, 0, 0, 0], dtype=float)


@pytest.mark.parametrize(
    ("n", "expected"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 4, 5]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 9])]
)
def test_sizes(n: int, expected: list[int]) -> None:
    assert sizes(n) == expected


def test_the_strongest_come_first_and_ties_by_node() -> None:
    strongest = [group for group in groups_of(GRAPH, IMPORTANCE) if group.name == "strongest"]
    assert strongest == [
        Group("strongest", 0, nodes) for nodes in ((5,), (5, 8), (2, 4, 5, 8), (1, 2, 3, 4, 5, 6, 7, 8))
    ]


def test_random_groups_grow_draw_by_draw_and_are_the_same_every_time() -> None:
    random = [group for group in groups_of(GRAPH, IMPORTANCE) if group.name == "random"]
    assert [(group.draw, len(group.nodes)) for group in random] == [(d, n) for d in range(5) for n in (1, 2, 4, 8)]
    for smaller, larger in pairwise(random):
        assert set(smaller.nodes) < set(larger.nodes) or smaller.draw != larger.draw
    assert all(set(group.nodes) <= set(range(1, 9)) for group in random)
    assert random == [group for group in groups_of(GRAPH, IMPORTANCE, OTHER) if group.name == "random"]
    assert random != [group for group in groups_of(GRAPH, IMPORTANCE, seed=1) if group.name == "random"]


def test_heads_of_both_models_and_of_one_alone() -> None:
    """90 % of 51 are held by a1.h0, m1, a0.h1, m0 (48); of 100 by m0 and a1.h0: MLPs are no heads."""
    assert np.flatnonzero(core_heads(GRAPH, IMPORTANCE)).tolist() == [2, 5]
    assert np.flatnonzero(core_heads(GRAPH, OTHER)).tolist() == [5]
    groups = {group.name: group.nodes for group in groups_of(GRAPH, IMPORTANCE, OTHER)}
    assert (groups["shared"], groups["only"]) == ((5,), (2,))
    groups = {group.name: group.nodes for group in groups_of(GRAPH, OTHER, IMPORTANCE)}
    assert groups["shared"] == (5,) and "only" not in groups
    assert {group.name for group in groups_of(GRAPH, IMPORTANCE)} == {"strongest", "random"}
