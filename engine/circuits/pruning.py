"""The edges of a circuit that lie on a path from the input to the logits (METHOD, "Circuits and comparison")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.circuits.edges import Ints
from engine.circuits.graph import Graph


def prune(graph: Graph, edges: Ints) -> NDArray[np.bool_]:
    """[edge of `edges`]: whether it lies on a path from `input` to `logits` within the circuit.

    Nodes without an incoming or without an outgoing edge are removed until every node has both; any of q, k
    and v is an incoming edge of a head; `input` and `logits` need only one side.
    """
    sources, targets = graph.endpoints(edges)
    keep = np.ones(len(edges), dtype=np.bool_)
    while True:
        fed, used = np.zeros((2, graph.n_nodes), dtype=np.bool_)
        fed[0] = used[graph.logits] = True
        fed[targets[keep]] = True
        used[sources[keep]] = True
        alive = fed & used
        kept = keep & alive[sources] & alive[targets]
        if kept.sum() == keep.sum():
            return keep
        keep = kept
