"""The graph against METHOD's counts and a literal reading of its rule for edges."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest

from engine.circuits.graph import QKV, Graph

GRAPH = Graph(n_layers=3, n_heads=2)


@pytest.mark.parametrize(
    ("layers", "heads", "sources", "edges"),
    [(12, 12, 157, 32_491), (30, 9, 301, 123_211), (28, 28, 813, 935_747), (32, 32, 1_057, 1_592_881)],
    ids=["gpt2", "smollm2-135m", "qwen2.5-7b", "llama-2-7b"],
)
def test_counts_are_those_of_the_method(layers: int, heads: int, sources: int, edges: int) -> None:
    graph = Graph(layers, heads)
    assert (graph.n_sources, graph.n_edges) == (sources, edges)


def layer_of(name: str) -> float:
    """When a node writes, in layers: an MLP half a layer after the heads, `logits` after everything."""
    if name in ("input", "logits"):
        return -1.0 if name == "input" else float("inf")
    match = re.fullmatch(r"(?:a(\d+)\.h\d+|m(\d+))", name)
    assert match
    return float(match[1]) if match[1] else int(match[2]) + 0.5


def test_edges_are_exactly_those_of_the_method() -> None:
    """Attention reads what earlier layers wrote, an MLP also the heads of its layer, `logits` everything."""
    sources = [n for n in GRAPH.node_names if n != "logits"]
    expected = {
        f"{source}->{target}"
        for source, target in product(sources, GRAPH.destination_names)
        if layer_of(source) < layer_of(target.split("<")[0])
    }
    assert [GRAPH.edge_name(e) for e in range(GRAPH.n_edges)] == sorted(
        expected,
        key=lambda name: (
            GRAPH.node_names.index(name.split("->")[0]),
            GRAPH.destination_names.index(name.split("->")[1]),
        ),
    )


def test_names_and_indices_are_inverse() -> None:
    assert [GRAPH.edge_named(GRAPH.edge_name(e)) for e in range(GRAPH.n_edges)] == list(range(GRAPH.n_edges))
    for name in ("a0.h3->m2", "m1->a1.h0<q>", "logits->m1", "a0.h0->a1.h0", "nonsense", "input->", "m2->m2"):
        with pytest.raises(KeyError, match=re.escape(repr(name))):
            GRAPH.edge_named(name)


def test_nodes_are_where_their_names_say() -> None:
    names = GRAPH.node_names
    assert names[0] == "input"
    assert names[GRAPH.logits] == "logits"
    assert len(names) == GRAPH.n_nodes
    for layer in range(3):
        assert names[GRAPH.mlp(layer)] == f"m{layer}"
        for head in range(2):
            assert names[GRAPH.head(layer, head)] == f"a{layer}.h{head}"
            assert GRAPH.node_layer[GRAPH.head(layer, head)] == GRAPH.node_layer[GRAPH.mlp(layer)] == layer
    assert (GRAPH.node_layer[0], GRAPH.node_layer[GRAPH.logits]) == (-1, 3)


def test_destinations_belong_to_the_nodes_they_name() -> None:
    assert len(GRAPH.destination_names) == GRAPH.n_destinations == len(set(GRAPH.destination_names))
    owners = [GRAPH.node_names[node] for node in GRAPH.destination_node]
    assert owners == [name.split("<")[0] for name in GRAPH.destination_names]
    kinds = [name[-2] if name.endswith(">") else name[0] for name in GRAPH.destination_names]
    assert GRAPH.destination_kind.tolist() == [[*QKV, "m", "l"].index(kind) for kind in kinds]


def test_a_layers_destinations_are_q_then_k_then_v() -> None:
    assert GRAPH.destination_names[GRAPH.attention_destinations(1)] == [
        "a1.h0<q>", "a1.h1<q>", "a1.h0<k>", "a1.h1<k>", "a1.h0<v>", "a1.h1<v>",
    ]  # fmt: skip
    assert GRAPH.destination_names[GRAPH.mlp_destination(1)] == "m1"


def test_endpoints_are_the_nodes_in_an_edges_name() -> None:
    sources, targets = GRAPH.endpoints(np.arange(GRAPH.n_edges))
    for edge in range(GRAPH.n_edges):
        source, _, target = GRAPH.edge_name(edge).partition("->")
        assert (GRAPH.node_names[sources[edge]], GRAPH.node_names[targets[edge]]) == (source, target.split("<")[0])
