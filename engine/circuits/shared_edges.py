"""Which edges and nodes two circuits share: classified edges, nodes of edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.circuits.edges import Ints
from engine.circuits.graph import Graph


@dataclass(frozen=True)
class ClassifiedEdges:
    """Edges of one circuit, strongest first, each array [edge of the circuit]."""

    edge: NDArray[np.int32]  # Graph's edge index
    score: NDArray[np.float32]  # in the metric's unit
    rank: NDArray[np.int32]  # 0 = strongest
    shared: NDArray[np.bool_]  # whether the other circuit has the edge too

    def __len__(self) -> int:
        return len(self.edge)

    def where(self, keep: NDArray[np.bool_]) -> ClassifiedEdges:
        """The edges for which `keep` [edge of the circuit] is true, in the same order."""
        return ClassifiedEdges(self.edge[keep], self.score[keep], self.rank[keep], self.shared[keep])


def classify(edge: NDArray[np.int32], score: NDArray[np.float32], other: Ints) -> ClassifiedEdges:
    """A circuit's edges and scores [K], strongest first, classified by the edges of another circuit [any number]."""
    return ClassifiedEdges(edge, score, np.arange(len(edge), dtype=np.int32), np.isin(edge, other))


def nodes_of(graph: Graph, edge: Ints) -> NDArray[np.bool_]:
    """[node]: whether a node begins or ends one of the edges [any number]."""
    return edges_at_nodes(graph, edge) > 0


def edges_at_nodes(graph: Graph, edge: Ints) -> NDArray[np.int64]:
    """[node]: how many of the edges [any number] begin or end at a node."""
    return np.bincount(np.concatenate(graph.endpoints(edge)), minlength=graph.n_nodes)


def touches(graph: Graph, edge: Ints, node: int) -> NDArray[np.bool_]:
    """[edge of `edge`]: whether it begins or ends at the node."""
    sources, targets = graph.endpoints(edge)
    return np.asarray((sources == node) | (targets == node))
