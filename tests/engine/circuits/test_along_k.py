"""What changes with K, against a slow, literal reading of METHOD and the same numbers at one size."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.circuits import along_k, comparison, profiles
from engine.circuits.along_k import SHARE, core, core_overlap, rank_in_other
from engine.circuits.edges import EdgeTable
from engine.circuits.graph import Graph, graph_of
from engine.errors import UserError

GRAPH = Graph(n_layers=3, n_heads=2)


def ranked(seed: int, graph: Graph = GRAPH, levels: int | None = None) -> EdgeTable:
    """Random scores, strongest first; with `levels`, few different ones, so that there are many ties, and zeros."""
    rng, n = np.random.default_rng(seed), graph.n_edges
    values = rng.standard_normal(n) ** 3 if levels is None else rng.integers(-levels, levels + 1, n) / 4
    order = comparison.order_of(values)
    return EdgeTable(order, values[order].astype(np.float32))


def top(table: EdgeTable, k: int) -> EdgeTable:
    return EdgeTable(table.edge[:k], table.score[:k])


def slow_core(importance: list[float]) -> set[int]:
    """The smallest set, as the definition says it: add the most important component until 90 % are there."""
    total, held, chosen = sum(importance), 0.0, set()
    for node in sorted(range(len(importance)), key=lambda node: (-importance[node], node)):
        if total == 0 or held >= SHARE * total:
            break
        chosen.add(node)
        held += importance[node]
    return chosen


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12))
@settings(deadline=None, max_examples=200)
def test_core_equals_adding_the_most_important_one_by_one(importance: list[int]) -> None:
    values = np.array(importance, dtype=np.float64)
    assert set(np.flatnonzero(core(values)).tolist()) == slow_core([float(value) for value in importance])


def test_core_of_known_shapes() -> None:
    assert np.flatnonzero(core(np.array([0.0, 90.0, 9.0, 1.0]))).tolist() == [1], "exactly 90 % are enough"
    assert np.flatnonzero(core(np.array([0.0, 89.0, 1.0, 10.0]))).tolist() == [1, 3]
    assert np.flatnonzero(core(np.ones(10))).tolist() == list(range(9)), "ties by node index"
    assert not core(np.zeros(4)).any()
    assert np.flatnonzero(core(np.array([3.0, 2.0, 5.0]), share=0.5)).tolist() == [2]
    rows = np.array([[0.0, 1.0], [0.0, 0.0], [2.0, 2.0]])
    assert core(rows).tolist() == [[False, True], [False, False], [True, True]]


def test_core_overlap_counts_heads_and_mlps_alone() -> None:
    def circuit(*names: str) -> EdgeTable:
        edges = np.array([GRAPH.edge_named(name) for name in names], dtype=np.int32)
        return EdgeTable(edges, np.linspace(-1, -0.9, len(edges), dtype=np.float32))

    arm, mdm = circuit("input->a0.h1<q>", "a0.h1->m2"), circuit("input->a0.h1<v>", "input->m0", "m0->a1.h1<k>")
    assert core_overlap(GRAPH, arm, mdm) == pytest.approx(1 / 4)  # a0.h1, m2 and a0.h1, m0, a1.h1
    assert core_overlap(GRAPH, arm, arm) == 1
    assert core_overlap(GRAPH, arm, circuit("input->logits")) == 0
    assert math.isnan(core_overlap(GRAPH, circuit("input->logits"), circuit("input->logits")))


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("boundary", [None, 2])
def test_every_size_equals_the_comparison_at_that_size(levels: int | None, boundary: int | None) -> None:
    arm, mdm = ranked(1, levels=levels), ranked(2, levels=levels)
    sizes = np.array([1, 2, 3, 7, 20, 21, 50, GRAPH.n_edges - 1, GRAPH.n_edges])
    along = along_k.along_k(GRAPH, arm, mdm, sizes, boundary)
    assert along.k.tolist() == sizes.tolist()
    for at, k in enumerate(sizes.tolist()):
        compared = comparison.compare(GRAPH, arm, mdm, k, boundary)
        assert along.shared[at] == compared.shared
        for model, side, table in ((0, compared.arm, arm), (1, compared.mdm, mdm)):
            by_node = profiles.importance(GRAPH, table.edge[:k], table.score[:k])
            assert along.early_share[model, at] == pytest.approx(side.early_share, rel=1e-9, nan_ok=True)
            assert along.effective_number[model, at] == pytest.approx(side.effective_number, rel=1e-9)
            profile = profiles.layer_profile(GRAPH, by_node)
            assert along.layer_profile[model, at] == pytest.approx(profile, rel=1e-9)
            assert along_k.importance_along(GRAPH, table, np.array([k]))[0] == pytest.approx(by_node, rel=1e-9)
        overlap = core_overlap(GRAPH, top(arm, k), top(mdm, k))
        assert along.components[at] == pytest.approx(overlap, rel=1e-9, nan_ok=True)


def test_the_overlap_of_components_equals_a_literal_reading() -> None:
    arm, mdm = ranked(3), ranked(4)
    sizes = np.arange(1, GRAPH.n_edges + 1)
    along = along_k.along_k(GRAPH, arm, mdm, sizes)
    for k in sizes.tolist():
        sets = []
        for table in (arm, mdm):
            importance = dict.fromkeys(GRAPH.node_names, 0.0)
            for edge, score in zip(table.edge[:k].tolist(), table.score[:k].tolist(), strict=True):
                source, _, target = GRAPH.edge_name(edge).partition("->")
                importance[source] += abs(score)
                importance[target.split("<")[0]] += abs(score)
            sets.append(slow_core([importance[name] for name in GRAPH.node_names if name not in ("input", "logits")]))
        either = sets[0] | sets[1]
        expected = len(sets[0] & sets[1]) / len(either) if either else math.nan
        assert along.components[k - 1] == pytest.approx(expected, nan_ok=True)


def test_circuits_without_a_component_have_no_shares() -> None:
    direct = GRAPH.edge_named("input->logits")
    order = np.array([direct, *(edge for edge in range(GRAPH.n_edges) if edge != direct)], dtype=np.int32)
    table = EdgeTable(order, np.linspace(1, 0.1, GRAPH.n_edges, dtype=np.float32))
    along = along_k.along_k(GRAPH, table, table, np.array([1, 2]))
    assert np.isnan(along.components).tolist() == [True, False]
    assert np.isnan(along.early_share).tolist() == [[True, False]] * 2
    assert along.effective_number[:, 0].tolist() == [0, 0] and not along.layer_profile[:, 0].any()


def test_prefixes_are_enough_for_the_sizes_that_they_hold() -> None:
    arm, mdm, sizes = ranked(5), ranked(6), np.array([4, 30])
    whole, part = along_k.along_k(GRAPH, arm, mdm, sizes), along_k.along_k(GRAPH, top(arm, 30), top(mdm, 31), sizes)
    for name in ("shared", "components", "early_share", "effective_number", "layer_profile"):
        assert getattr(whole, name).tolist() == getattr(part, name).tolist()


@pytest.mark.parametrize("sizes", [[], [0, 3], [3, 3], [5, 2], [1, GRAPH.n_edges + 1]])
def test_sizes_that_cannot_be_are_refused(sizes: list[int]) -> None:
    with pytest.raises(UserError, match=f"must increase, from 1 at least to {GRAPH.n_edges} at most"):
        along_k.along_k(GRAPH, ranked(1), ranked(2), np.array(sizes, dtype=np.int32))


def test_rank_in_the_other_order() -> None:
    a, b = ranked(7).edge, ranked(8).edge
    place = {edge: rank for rank, edge in enumerate(b.tolist())}
    ranks = rank_in_other(a[:20], b)
    assert ranks.dtype == np.int32
    assert ranks.tolist() == [place[edge] for edge in a[:20].tolist()]
    assert rank_in_other(a[:20], b[:10]).tolist() == [min(place[edge], 10) for edge in a[:20].tolist()]
    assert rank_in_other(a[:0], b).tolist() == []
    shared = [int((rank_in_other(a[:k], b) < k).sum()) for k in range(1, len(a) + 1)]
    assert shared == comparison.shared_counts(a, b).tolist()


def test_all_sizes_of_a_large_graph_are_one_pass() -> None:
    """About 100 ms of computing on one core: far less than 350 passes would take, however busy the machine is."""
    graph = graph_of(32, 32)
    arm, mdm = ranked(1, graph), ranked(2, graph)
    sizes = np.unique(np.geomspace(5_000, graph.n_edges, 350).astype(np.int32))
    start = time.process_time()
    along = along_k.along_k(graph, arm, mdm, sizes)
    assert time.process_time() - start < 1
    assert along.layer_profile.shape == (2, len(sizes), 32) and along.components[-1] > 0.5
