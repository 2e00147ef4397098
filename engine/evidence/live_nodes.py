"""Which nodes and edges of circuits change anything when all other edges are patched: what a pass has to compute.

A node none of whose inputs leave the corrupted run writes what it wrote there, and a node that nobody in the circuit
reads changes nothing, so that edges on no path from input to logits drop out exactly (engine/circuits/pruning.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.circuits.graph import Graph
from engine.circuits.pruning import prune

SLOTS = 2  # columns before those of the sources: the corrupted residual before a layer's attention, and before its MLP
MLP_KIND = 3  # in Graph.destination_kind


@dataclass(frozen=True)
class LiveNodes:
    """The nodes that differ from the corrupted run in at least one of some circuits, and what they read in each.

    Columns of `reads` are the two corrupted residuals (`SLOTS`), then the live sources in the order of a forward pass.
    """

    sources: NDArray[np.intp]  # [source]: node indices; empty where every circuit is the corrupted run
    heads: list[NDArray[np.intp]]  # by layer: heads
    mlps: list[bool]  # by layer
    reads: Tensor  # [circuit, destination, column]: 1 where the destination reads the column

    def before(self, node: int) -> int:
        """How many columns there are before a node."""
        return SLOTS + int(np.searchsorted(self.sources, node))


def pruned_circuits(graph: Graph, circuits: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Of each of `circuits` [circuit, edge], the edges on a path from input to logits: an array [edge] each."""
    edges = [np.flatnonzero(mask) for mask in circuits]
    return [members[prune(graph, members)] for members in edges]


def live_nodes(graph: Graph, circuits: Sequence[NDArray[np.intp]], like: Tensor) -> LiveNodes:
    """Of pruned circuits, an array of edges each; `reads` gets the number format and the device of `like`."""
    sources = np.unique(np.concatenate([graph.edge_source[edges] for edges in circuits])).astype(np.intp)
    reads = np.zeros((len(circuits), graph.n_destinations, SLOTS + len(sources)), dtype=np.float32)
    for matrix, edges in zip(reads, circuits, strict=True):
        matrix[graph.edge_destination[edges], SLOTS + np.searchsorted(sources, graph.edge_source[edges])] = 1
    between = graph.destination_kind == MLP_KIND
    reads[:, ~between, 0] = reads[:, between, 1] = 1
    is_live = np.zeros(graph.n_nodes, dtype=np.bool_)
    is_live[sources] = True
    layers = range(graph.n_layers)
    return LiveNodes(
        sources,
        [np.flatnonzero(is_live[graph.head(layer, 0) : graph.mlp(layer)]) for layer in layers],
        [bool(is_live[graph.mlp(layer)]) for layer in layers],
        torch.from_numpy(reads).to(like),
    )
