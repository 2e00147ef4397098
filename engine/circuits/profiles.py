"""How a circuit is spread over nodes, layers and components (METHOD, "Circuits and comparison").

Pure numpy: nothing here reads a file or a model. tests/engine/circuits/test_profiles.py holds each function against a
slow, literal reading of METHOD.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from engine.circuits.edges import Floats, Ints
from engine.circuits.graph import Graph
from engine.errors import UserError


@dataclass(frozen=True)
class Specialisation:
    """How one model's circuit is spread over layers and components (heads and MLPs)."""

    early_share: float  # of the importance, in the early layers; 0 .. 1; nan without any component
    effective_number: float  # of components; 1 .. their number; 0 without any
    gini: float  # of the components' importance; 0 = all alike; nan without any component


def importance(graph: Graph, edges: Ints, scores: Floats) -> NDArray[np.float64]:
    """[node]: the sum of |score| over the circuit's edges that begin or end at the node, in the metric's unit.

    `scores[i]` belongs to `edges[i]`, both [edge]. A head's q, k and v edges all count for the head.
    """
    weight = np.abs(scores).astype(np.float64)
    sources, targets = graph.endpoints(edges)
    leaving = np.bincount(sources, weights=weight, minlength=graph.n_nodes)
    return np.asarray(leaving + np.bincount(targets, weights=weight, minlength=graph.n_nodes), dtype=np.float64)


def layer_profile(graph: Graph, node_importance: Floats) -> NDArray[np.float64]:
    """[..., layer]: the share of the importance [..., node] of heads and MLPs that lies in each layer.

    `input` and `logits` belong to no layer and are left out. The shares sum to 1, or are all 0 where no head or MLP
    is in the circuit.
    """
    inner = components(node_importance)
    by_layer = inner.reshape(*inner.shape[:-1], graph.n_layers, graph.n_heads + 1).sum(axis=-1)
    return _shares(by_layer)


def components(node_importance: Floats) -> Floats:
    """[..., head or MLP]: the importance [..., node] of all nodes but `input` and `logits`."""
    return node_importance[..., 1:-1]


def early_boundary(n_layers: int) -> int:
    """How many layers are early: those that begin within the first third, so a third rounded up."""
    return ceil(n_layers / 3)


def early_share(profile: Floats, boundary: int | None = None) -> float:
    """The share of `profile` [layer] in the first `boundary` layers; in the first third (`early_boundary`) when None.

    Raises:
        UserError: no such boundary in so many layers.
    """
    return float(early_shares(profile, boundary))


def early_shares(profiles: Floats, boundary: int | None = None) -> NDArray[np.float64]:
    """`early_share` of each of [..., layer]; nan where nothing lies in any layer."""
    layers = profiles.shape[-1]
    chosen = early_boundary(layers) if boundary is None else boundary
    if not 1 <= chosen <= layers:
        raise UserError(f"The early boundary is {boundary}. Choose a number of layers from 1 to {layers}.")
    shares = profiles[..., :chosen].sum(axis=-1)
    return np.asarray(np.where(profiles.any(axis=-1), shares, np.nan), dtype=np.float64)


def early_ratio(mdm: float, arm: float) -> float:
    """The MDM's early share as a multiple of the ARM's; nan where that is 0 or there is none."""
    return mdm / arm if arm else float("nan")


def effective_number(shares: Floats) -> float:
    """exp of the entropy of `shares` [share], scaled to sum to 1: n for n equal ones, 1 for one, 0 for none."""
    return float(effective_numbers(shares))


def effective_numbers(shares: Floats) -> NDArray[np.float64]:
    """`effective_number` of each of [..., share]."""
    p = _shares(shares)
    entropy = -np.sum(p * np.log(p, out=np.zeros_like(p), where=p > 0), axis=-1)
    return np.asarray(np.where(shares.any(axis=-1), np.exp(entropy), 0.0), dtype=np.float64)


def gini(shares: Floats) -> float:
    """The Gini coefficient over all of `shares` [share], zeros too: 0 for equal ones, 1 - 1/n for a single one of n.

    nan where all are 0: nothing is shared out.
    """
    return float(ginis(shares))


def ginis(shares: Floats) -> NDArray[np.float64]:
    """`gini` of each of [..., share]."""
    n = shares.shape[-1]
    coefficients = np.sort(_shares(shares), axis=-1) @ (2 * np.arange(1, n + 1) - n - 1) / n
    return np.asarray(np.where(shares.any(axis=-1), coefficients, np.nan), dtype=np.float64)


def _shares(values: Floats) -> NDArray[np.float64]:
    """[..., value] scaled to sum to 1; zeros stay zeros."""
    total = values.sum(axis=-1, keepdims=True)
    return np.asarray(values / np.where(total, total, 1.0), dtype=np.float64)
