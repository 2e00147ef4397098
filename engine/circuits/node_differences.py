"""Which components two circuits differ in most, and which they share most (METHOD, "Circuits and comparison").

A component's share is its importance divided by that of all heads and MLPs of its circuit, so that circuits whose
scores have another scale can be compared. Pure numpy: nothing here reads a file or a model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.circuits.comparison import ScoredEdges
from engine.circuits.graph import Graph
from engine.circuits.profiles import components, importance


@dataclass(frozen=True)
class NodeShares:
    """A head or MLP, and its share of the importance of all heads and MLPs in each circuit, 0 .. 1."""

    node: int
    arm: float
    mdm: float


def component_shares(graph: Graph, circuit: ScoredEdges) -> NDArray[np.float64]:
    """[node]: a head's or an MLP's share of the importance of all of them; 0 for `input` and `logits`.

    All 0 where no head or MLP is in the circuit.
    """
    by_node = importance(graph, circuit.edge, circuit.score)
    inner = components(by_node)
    shares = np.zeros(graph.n_nodes, dtype=np.float64)
    shares[1:-1] = inner / (inner.sum() or 1.0)
    return shares


def differ_most(graph: Graph, arm: ScoredEdges, mdm: ScoredEdges, count: int) -> list[NodeShares]:
    """The at most `count` components with the largest |share in the ARM - share in the MDM|, ties by node.

    `arm` and `mdm` are circuits of K edges; a component with equal shares is not listed.
    """
    of_arm, of_mdm = component_shares(graph, arm), component_shares(graph, mdm)
    return _largest(np.abs(of_arm - of_mdm), of_arm, of_mdm, count)


def share_most(graph: Graph, arm: ScoredEdges, mdm: ScoredEdges, count: int) -> list[NodeShares]:
    """The at most `count` components with the largest smaller one of both shares, ties by node.

    `arm` and `mdm` are circuits of K edges; a component that only one of them has is not listed.
    """
    of_arm, of_mdm = component_shares(graph, arm), component_shares(graph, mdm)
    return _largest(np.minimum(of_arm, of_mdm), of_arm, of_mdm, count)


def _largest(
    measure: NDArray[np.float64], arm: NDArray[np.float64], mdm: NDArray[np.float64], count: int
) -> list[NodeShares]:
    nodes = np.argsort(-measure, kind="stable")[:count]
    return [NodeShares(int(node), float(arm[node]), float(mdm[node])) for node in nodes if measure[node] > 0]
