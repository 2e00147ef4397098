"""Which nodes circuits bring to life, and what their destinations read."""

from __future__ import annotations

import numpy as np
import torch

from engine.circuits.graph import graph_of
from engine.evidence.live_nodes import SLOTS, live_nodes, pruned_circuits
from engine.evidence.patching import circuit_masks

GRAPH = graph_of(2, 2)
LIKE = torch.zeros(1)


def edges(*names: str) -> np.ndarray:
    return np.array([GRAPH.edge_named(name) for name in names], dtype=int)


def test_edges_on_no_path_from_input_to_logits_are_dropped() -> None:
    path = edges("input->m0", "m0->logits")
    loose = edges("a0.h0->m1", "input->a1.h1<q>", "m1->logits")
    masks = circuit_masks(GRAPH.n_edges, [np.concatenate([path, loose]), loose, edges()])
    kept = pruned_circuits(GRAPH, masks)
    assert [circuit.tolist() for circuit in kept] == [sorted(path), [], []]


def test_nodes_of_several_circuits_together() -> None:
    first = edges("input->a0.h1<k>", "a0.h1->m0", "m0->logits")
    second = edges("input->logits")
    live = live_nodes(GRAPH, [first, second], LIKE)
    assert [GRAPH.node_names[node] for node in live.sources] == ["input", "a0.h1", "m0"]
    assert [heads.tolist() for heads in live.heads] == [[1], []]
    assert live.mlps == [True, False]
    columns = {"input": SLOTS, "a0.h1": SLOTS + 1, "m0": SLOTS + 2}
    assert all(live.before(GRAPH.node_names.index(name)) == column for name, column in columns.items())
    assert live.before(GRAPH.logits) == SLOTS + 3 == live.reads.shape[2]
    for circuit, members in enumerate((first, second)):
        read = {
            f"{name}->{GRAPH.destination_names[destination]}"
            for destination in range(GRAPH.n_destinations)
            for name, column in columns.items()
            if live.reads[circuit, destination, column]
        }
        assert read == {GRAPH.edge_name(edge) for edge in members}


def test_every_destination_reads_the_corrupted_residual_before_it() -> None:
    live = live_nodes(GRAPH, [edges()], LIKE)
    assert not len(live.sources) and live.mlps == [False, False] and not any(map(len, live.heads))
    between = [name in ("m0", "m1") for name in GRAPH.destination_names]
    assert live.reads[0, :, 1].bool().tolist() == between
    assert live.reads[0, :, 0].bool().tolist() == [not is_mlp for is_mlp in between]
