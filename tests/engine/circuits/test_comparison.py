"""Every function of engine/circuits/comparison.py against a slow, literal reading of METHOD."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.circuits import comparison, profiles, pruning
from engine.circuits.edges import EdgeTable
from engine.circuits.graph import Graph
from engine.errors import UserError

GRAPH = Graph(n_layers=3, n_heads=2)


def scores(seed: int, n: int = GRAPH.n_edges, levels: int | None = None) -> np.ndarray:
    """Random scores; with `levels`, few different ones, so that there are many ties."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n).astype(np.float32) if levels is None else rng.integers(-levels, levels + 1, n) / 4


def ranked(values: np.ndarray) -> SimpleNamespace:
    order = comparison.order_of(values)
    return SimpleNamespace(edge=order, score=values[order])


def test_order_is_by_magnitude_with_ties_by_index() -> None:
    values = np.array([0.5, -2.0, 2.0, 0.0, -0.5, 2.0])
    assert comparison.order_of(values).tolist() == [1, 2, 5, 0, 4, 3]
    assert comparison.rank_of(values).tolist() == [3, 0, 1, 5, 4, 2]


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=1, max_size=40))
@settings(deadline=None, max_examples=50)
def test_order_equals_sorting_by_magnitude_and_index(values: list[float]) -> None:
    expected = sorted(range(len(values)), key=lambda edge: (-abs(values[edge]), edge))
    assert comparison.order_of(np.array(values)).tolist() == expected


@pytest.mark.parametrize("levels", [None, 2])
def test_one_pass_curve_equals_brute_force(levels: int | None) -> None:
    a, b = (comparison.order_of(scores(seed, levels=levels)) for seed in (1, 2))
    sets = [(set(a[:k].tolist()), set(b[:k].tolist())) for k in range(1, len(a) + 1)]
    shared = comparison.shared_counts(a, b)
    assert shared.dtype == np.int32
    assert shared.tolist() == [len(x & y) for x, y in sets]
    assert comparison.jaccard(shared).tolist() == [len(x & y) / len(x | y) for x, y in sets]


@pytest.mark.parametrize("n", [1, 2, 60, 100, 101, 3_000, 1_592_881])
def test_a_curve_has_few_points_from_one_to_all(n: int) -> None:
    sizes = comparison.curve_sizes(n)
    assert (sizes[0], sizes[-1]) == (1, n) and (np.diff(sizes) > 0).all()
    assert sizes[: comparison.EVERY_K].tolist() == list(range(1, min(n, comparison.EVERY_K) + 1))
    assert len(sizes) <= 700
    assert (sizes[1:] / sizes[:-1])[comparison.EVERY_K :].max(initial=1) < 1.03  # no step that a screen would show


def test_shared_edges_are_those_in_both() -> None:
    assert comparison.shared_edges(np.array([4, 1, 9]), np.array([9, 3, 4, 7])) == 2
    assert comparison.shared_edges(np.array([], dtype=np.int32), np.array([1])) == 0


def test_overlap_with_itself_is_one_at_every_k() -> None:
    order = comparison.order_of(scores(3))
    assert comparison.shared_counts(order, order).tolist() == list(range(1, len(order) + 1))
    assert (comparison.jaccard(comparison.shared_counts(order, order)) == 1).all()


@pytest.mark.parametrize("k", [1, 7, 60, GRAPH.n_edges])
def test_like_with_like_equals_sets_counted_by_hand(k: int) -> None:
    sides = {
        name: set(comparison.order_of(scores(seed))[:k].tolist()) for seed, name in enumerate(("aa", "ab", "ma", "mb"))
    }
    arm, mdm = ((np.array(sorted(sides[f"{m}a"])), np.array(sorted(sides[f"{m}b"]))) for m in "am")

    def by_hand(name: str, other: str) -> float:
        return len(sides[name] & sides[other]) / len(sides[name] | sides[other])

    overlaps = comparison.split_half(arm, mdm)
    assert overlaps.arm == pytest.approx(by_hand("aa", "ab")) and overlaps.mdm == pytest.approx(by_hand("ma", "mb"))
    assert overlaps.pair == pytest.approx((by_hand("aa", "mb") + by_hand("ab", "ma")) / 2)
    assert (
        comparison.split_half(arm, arm).pair == comparison.split_half(arm, arm).arm
    )  # two equal models: like with like


def test_reversed_order_shares_nothing_until_half() -> None:
    order = np.arange(10, dtype=np.int32)
    assert comparison.shared_counts(order, order[::-1]).tolist() == [0, 0, 0, 0, 0, 2, 4, 6, 8, 10]


def test_next_k_adds_exactly_one_edge_even_among_ties() -> None:
    order = comparison.order_of(scores(4, levels=1))
    for k in range(1, len(order)):
        assert len(set(order[: k + 1].tolist()) - set(order[:k].tolist())) == 1
    assert sorted(order.tolist()) == list(range(GRAPH.n_edges))


def test_orders_of_different_graphs_are_refused() -> None:
    with pytest.raises(ValueError, match="4 and 5 edges"):
        comparison.shared_counts(np.arange(4), np.arange(5))


def test_chance_level_is_what_random_orders_give() -> None:
    n, rng = 400, np.random.default_rng(0)
    curves = [comparison.jaccard(comparison.shared_counts(rng.permutation(n), rng.permutation(n))) for _ in range(600)]
    measured, expected = np.mean(curves, axis=0), comparison.chance_curve(n)
    ks = [50, 100, 200, 300, 400]
    assert measured[[k - 1 for k in ks]] == pytest.approx(expected[[k - 1 for k in ks]], rel=0.04)
    assert [comparison.chance(k, n) for k in ks] == expected[[k - 1 for k in ks]].tolist()


def test_a_circuit_without_heads_and_mlps_has_no_early_share() -> None:
    """Of `input->logits` alone nothing lies in any layer."""
    graph = Graph(3, 2)
    (edge,) = np.flatnonzero(
        (graph.edge_source == 0) & (graph.destination_node[graph.edge_destination] == graph.logits)
    )
    alone = EdgeTable(np.array([edge], np.int32), np.array([1.0], np.float32))
    other = EdgeTable(np.array([0], np.int32), np.array([1.0], np.float32))
    for arm, mdm in ((alone, alone), (alone, other), (other, alone)):
        compared = comparison.compare(graph, arm, mdm, 1)
        for side, table in ((compared.arm, arm), (compared.mdm, mdm)):
            assert np.isnan([side.early_share, side.gini]).tolist() == [table is alone] * 2
            assert (side.effective_number == 0) == (table is alone)
        assert np.isnan(compared.early_ratio)
    assert not np.isnan(comparison.compare(graph, other, other, 1).early_ratio)


@pytest.mark.parametrize(("value", "text"), [(0.256, "0.26"), (0.0, "0.00"), (float("nan"), "none")])
def test_a_number_that_is_none_is_written_as_such(value: float, text: str) -> None:
    assert comparison.printed(value, ".2f") == text


def test_comparison_agrees_with_the_curve_and_the_single_measures() -> None:
    arm, mdm = scores(6), scores(7)
    curve = comparison.jaccard(comparison.shared_counts(comparison.order_of(arm), comparison.order_of(mdm)))
    compared = comparison.compare(GRAPH, ranked(arm), ranked(mdm), k=40)
    assert (compared.k, compared.jaccard, compared.chance) == (
        40,
        curve[39],
        comparison.chance_curve(GRAPH.n_edges)[39],
    )
    weight = profiles.importance(GRAPH, ranked(mdm).edge[:40], ranked(mdm).score[:40])
    assert compared.mdm.early_share == profiles.early_share(profiles.layer_profile(GRAPH, weight))
    assert compared.mdm.effective_number == profiles.effective_number(weight[1:-1])
    assert compared.mdm.gini == profiles.gini(weight[1:-1])
    assert compared.early_ratio == compared.mdm.early_share / compared.arm.early_share
    swapped = comparison.compare(GRAPH, ranked(mdm), ranked(arm), k=40)
    assert (swapped.arm, swapped.mdm) == (compared.mdm, compared.arm)


def test_k_outside_the_known_edges_is_refused() -> None:
    side = ranked(scores(8))
    for k in (0, GRAPH.n_edges + 1):
        with pytest.raises(UserError, match=f"K is {k}.*1 to {GRAPH.n_edges}"):
            comparison.compare(GRAPH, side, side, k)


def test_a_7b_model_takes_seconds() -> None:
    graph = Graph(n_layers=32, n_heads=32)
    assert graph.n_edges == 1_592_881
    arm, mdm = scores(9, graph.n_edges), scores(10, graph.n_edges)
    began = time.process_time()
    a, b = ranked(arm), ranked(mdm)
    comparison.jaccard(comparison.shared_counts(a.edge, b.edge))
    assert pruning.prune(graph, a.edge).all()
    comparison.compare(graph, a, b, graph.n_edges)
    assert time.process_time() - began < 6
