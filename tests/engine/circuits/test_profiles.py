"""How a circuit is spread, against a slow, literal reading of METHOD."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.circuits import profiles
from engine.circuits.comparison import order_of
from engine.circuits.graph import Graph
from engine.errors import UserError

GRAPH = Graph(n_layers=3, n_heads=2)


def scores(seed: int, n: int = GRAPH.n_edges, levels: int | None = None) -> np.ndarray:
    """Random scores; with `levels`, few different ones, so that there are many ties."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n).astype(np.float32) if levels is None else rng.integers(-levels, levels + 1, n) / 4


def endpoints(graph: Graph, edge: int) -> tuple[str, str]:
    """Node names of both ends, read from the edge's name."""
    source, _, target = graph.edge_name(edge).partition("->")
    return source, target.split("<")[0]


def test_importance_sums_magnitudes_over_both_ends() -> None:
    chosen = order_of(scores(5))[:30]
    values = scores(5)[chosen]
    expected = dict.fromkeys(GRAPH.node_names, 0.0)
    for edge, value in zip(chosen, values, strict=True):
        for node in endpoints(GRAPH, edge):
            expected[node] += abs(float(value))
    by_node = profiles.importance(GRAPH, chosen, values)
    assert by_node == pytest.approx(list(expected.values()))
    assert by_node.sum() == pytest.approx(2 * np.abs(values).sum())


def test_profile_leaves_out_input_and_logits() -> None:
    edges = [GRAPH.edge_named(name) for name in ("input->logits", "a0.h1->m2", "input->a1.h0<k>", "m2->logits")]
    by_node = profiles.importance(GRAPH, np.array(edges), np.array([100.0, -1.0, 2.0, 1.0]))
    assert profiles.layer_profile(GRAPH, by_node) == pytest.approx([1 / 5, 2 / 5, 2 / 5])
    alone = profiles.importance(GRAPH, np.array(edges[:1]), np.array([100.0]))
    assert profiles.layer_profile(GRAPH, alone).tolist() == [0, 0, 0]


def test_early_share_is_the_first_third_rounded_up() -> None:
    assert [profiles.early_boundary(n) for n in (1, 2, 3, 4, 6, 28, 32)] == [1, 1, 1, 2, 2, 10, 11]
    profile = np.array([0.1, 0.2, 0.3, 0.1, 0.1, 0.2])
    assert profiles.early_share(profile) == pytest.approx(0.3)
    assert profiles.early_share(profile, boundary=3) == pytest.approx(0.6)
    for boundary in (0, 7):
        with pytest.raises(UserError, match=f"boundary is {boundary}.*1 to 6"):
            profiles.early_share(profile, boundary)


def test_early_ratio_is_nan_when_there_is_none() -> None:
    assert profiles.early_ratio(mdm=0.6, arm=0.3) == pytest.approx(2)
    assert math.isnan(profiles.early_ratio(mdm=0.6, arm=0.0))


def test_effective_number_and_gini_of_known_shapes() -> None:
    even, single = np.full(8, 0.125), np.eye(8)[3]
    assert profiles.effective_number(even) == pytest.approx(8)
    assert profiles.effective_number(single) == pytest.approx(1)
    assert profiles.effective_number(np.array([0.5, 0.5, 0, 0])) == pytest.approx(2)
    assert profiles.effective_number(np.ones(500)) == pytest.approx(500)
    assert profiles.gini(even) == pytest.approx(0)
    assert profiles.gini(single) == pytest.approx(1 - 1 / 8)
    assert profiles.effective_number(np.zeros(8)) == 0
    assert np.isnan(profiles.gini(np.zeros(8)))
    assert np.isnan(profiles.ginis(np.stack([even, np.zeros(8)]))).tolist() == [False, True]


@given(st.lists(st.floats(0, 100), min_size=2, max_size=20).filter(lambda values: sum(values) > 1e-3))
@settings(deadline=None, max_examples=50)
def test_gini_is_half_the_relative_mean_difference(values: list[float]) -> None:
    x = np.array(values)
    expected = np.abs(x[:, None] - x[None, :]).mean() / (2 * x.mean())
    assert profiles.gini(x) == pytest.approx(expected, abs=1e-9)
    assert profiles.gini(7 * x) == pytest.approx(expected, abs=1e-9)
    assert profiles.effective_number(7 * x) == pytest.approx(profiles.effective_number(x))


@pytest.mark.parametrize("measure", ["early_share", "effective_number", "gini"])
def test_many_rows_at_once_are_the_rows_one_by_one(measure: str) -> None:
    rows = np.abs(np.random.default_rng(0).standard_normal((4, 5, 6)))
    rows[1, 2] = 0  # a circuit without heads and MLPs
    single, many = getattr(profiles, measure), getattr(profiles, f"{measure}s")
    expected = [[single(row) for row in block] for block in rows]
    np.testing.assert_allclose(many(rows), expected)


def test_shares_by_layer_keep_what_the_components_have() -> None:
    """The importance of every component is in exactly one layer, so shares by layer sum to 1."""
    chosen = order_of(scores(9))[:80]
    by_node = profiles.importance(GRAPH, chosen, scores(9)[chosen])
    inner = profiles.components(by_node)
    profile = profiles.layer_profile(GRAPH, by_node)
    assert profile.sum() == pytest.approx(1)
    for layer in range(GRAPH.n_layers):
        mine = [by_node[i] for i, name in enumerate(GRAPH.node_names) if name.startswith((f"a{layer}.", f"m{layer}"))]
        assert profile[layer] == pytest.approx(sum(mine) / inner.sum())
