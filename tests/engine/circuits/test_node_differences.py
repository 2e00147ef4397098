"""Components in which two circuits differ most and which they share most, against a literal reading of METHOD."""

from __future__ import annotations

import numpy as np
import pytest

from engine.circuits.comparison import order_of
from engine.circuits.edges import EdgeTable
from engine.circuits.graph import Graph
from engine.circuits.node_differences import NodeShares, component_shares, differ_most, share_most

GRAPH = Graph(n_layers=3, n_heads=2)


def circuit(*edges: tuple[str, float]) -> EdgeTable:
    numbers = np.array([GRAPH.edge_named(name) for name, _ in edges], dtype=np.int32)
    return EdgeTable(numbers, np.array([score for _, score in edges], dtype=np.float32))


def random_circuit(seed: int, k: int) -> EdgeTable:
    scores = np.random.default_rng(seed).standard_normal(GRAPH.n_edges).astype(np.float32)
    edges = order_of(scores)[:k]
    return EdgeTable(edges, scores[edges])


def literal_shares(table: EdgeTable) -> dict[str, float]:
    """Share of every head and MLP, from the names of the edges alone."""
    of_node = {name: 0.0 for name in GRAPH.node_names if name not in ("input", "logits")}
    for edge, score in zip(table.edge.tolist(), table.score.tolist(), strict=True):
        source, _, target = GRAPH.edge_name(edge).partition("->")
        for name in (source, target.split("<")[0]):
            if name in of_node:
                of_node[name] += abs(score)
    total = sum(of_node.values())
    return {name: value / total for name, value in of_node.items()}


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_those_of_heads_and_mlps_and_sum_to_one(seed: int) -> None:
    table = random_circuit(seed, 20)
    shares = component_shares(GRAPH, table)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] == shares[-1] == 0
    for name, share in literal_shares(table).items():
        assert shares[GRAPH.node_names.index(name)] == pytest.approx(share)


@pytest.mark.parametrize("seed", range(5))
def test_both_lists_are_those_of_a_literal_reading(seed: int) -> None:
    arm, mdm = random_circuit(seed, 25), random_circuit(seed + 100, 25)
    of_arm, of_mdm = literal_shares(arm), literal_shares(mdm)
    apart = sorted(of_arm, key=lambda name: -abs(of_arm[name] - of_mdm[name]))[:4]
    common = sorted(of_arm, key=lambda name: -min(of_arm[name], of_mdm[name]))[:4]
    for listed, expected in ((differ_most(GRAPH, arm, mdm, 4), apart), (share_most(GRAPH, arm, mdm, 4), common)):
        assert [GRAPH.node_names[entry.node] for entry in listed] == expected
        for entry in listed:
            name = GRAPH.node_names[entry.node]
            assert (entry.arm, entry.mdm) == (pytest.approx(of_arm[name]), pytest.approx(of_mdm[name]))


def test_scores_of_another_scale_make_no_difference() -> None:
    arm = random_circuit(3, 15)
    mdm = EdgeTable(arm.edge, arm.score * np.float32(8))
    assert [entry for entry in differ_most(GRAPH, arm, mdm, 5) if abs(entry.arm - entry.mdm) > 1e-6] == []
    assert all(entry.arm == pytest.approx(entry.mdm) for entry in share_most(GRAPH, arm, mdm, 5))


def test_components_that_one_circuit_lacks_are_not_shared() -> None:
    arm, mdm = circuit(("input->m0", 1.0), ("m0->m1", 2.0)), circuit(("m0->m1", -2.0), ("m1->m2", 1.0))
    m0, m1, m2 = (GRAPH.mlp(layer) for layer in range(3))
    assert share_most(GRAPH, arm, mdm, 5) == [NodeShares(m1, 2 / 5, 3 / 6), NodeShares(m0, 3 / 5, 2 / 6)]
    assert [entry.node for entry in differ_most(GRAPH, arm, mdm, 5)] == [m0, m2, m1]


def test_circuits_without_heads_and_mlps_list_nothing() -> None:
    nothing = circuit(("input->logits", 1.0))
    assert differ_most(GRAPH, nothing, nothing, 5) == share_most(GRAPH, nothing, nothing, 5) == []
    assert component_shares(GRAPH, nothing).tolist() == [0.0] * GRAPH.n_nodes
