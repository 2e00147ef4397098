"""Filters of a circuit, against a loop over its edges by their names."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from engine.circuits.comparison import order_of
from engine.circuits.filters import CLASSES, KINDS, SIGNS, Filters, choose
from engine.circuits.graph import Graph
from engine.errors import UserError

GRAPH = Graph(n_layers=3, n_heads=2)
K = 30


def circuit() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges, scores and whether the edge is in another circuit too."""
    rng = np.random.default_rng(1)
    scores = rng.standard_normal(GRAPH.n_edges).astype(np.float32)
    edges = order_of(scores)[:K]
    return edges, scores[edges], rng.random(K) < 0.5


def on_paths(names: list[str]) -> list[bool]:
    """Whether each edge lies on a path from `input` to `logits` made of these edges."""
    ends = [(source, target.split("<")[0]) for source, target in (name.split("->") for name in names)]
    whole = nx.DiGraph([("input", "input"), ("logits", "logits"), *ends])
    below, above = nx.descendants(whole, "input") | {"input"}, nx.ancestors(whole, "logits") | {"logits"}
    return [source in below and target in above for source, target in ends]


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("show", CLASSES)
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("kinds", [KINDS, ("q", "k"), ("v", "mlp", "logits"), ()])
def test_what_is_left_equals_a_loop_over_edges(kinds: tuple[str, ...], sign: str, show: str, pruned: bool) -> None:
    edges, scores, shared = circuit()
    names = [GRAPH.edge_name(edge) for edge in edges]
    expected = []
    for name, score, both, alive in zip(names, scores, shared, on_paths(names), strict=True):
        target = name.split("->")[1]
        kind = target[-2] if "<" in target else "logits" if target == "logits" else "mlp"
        right_sign = sign == "both" or (score > 0) == (sign == "positive")
        right_class = show == "all" or both == (show == "shared")
        expected.append(kind in kinds and right_sign and right_class and (alive or not pruned))
    chosen = choose(GRAPH, edges, scores, Filters(kinds, sign, show, pruned), shared)
    assert chosen.keep.tolist() == expected
    assert len(chosen) == sum(expected)
    assert chosen.pruned == (on_paths(names).count(False) if pruned else 0)


def test_without_filters_everything_is_left() -> None:
    edges, scores, _ = circuit()
    filters = Filters()
    assert choose(GRAPH, edges, scores, filters).keep.all()
    assert (filters.active, filters.words, filters.stem) == (False, (), "")


def test_words_and_file_names_list_what_was_chosen() -> None:
    filters = Filters(("v", "q"), "positive", "only", pruned=True)
    assert filters.words == ("read as q, v", "positive", "not shared", "pruned")  # in the graph's order
    assert filters.stem == "q-v-positive-only-pruned"
    assert Filters(()).words == ("read as nothing",) and Filters(()).stem == "nothing"


def test_wrong_values_are_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"kind is 'attention'. Choose some of: q, k, v, mlp, logits"):
        Filters(("attention",))
    with pytest.raises(UserError, match="sign is 'up'"):
        Filters(sign="up")
    with pytest.raises(UserError, match="show is 'mine'"):
        Filters(show="mine")


def test_shared_edges_need_another_circuit() -> None:
    edges, scores, _ = circuit()
    with pytest.raises(UserError, match="not shared are asked for, but there is no circuit to compare"):
        choose(GRAPH, edges, scores, Filters(show="only"))
