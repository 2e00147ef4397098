"""The floor that heads set: the overlap with a circuit whose heads are permuted at random within their layers.

A head's number means nothing by itself, so that a model with the same circuit in other heads would overlap no more than
this. 1. Every layer's heads are permuted (seeded). 2. Each edge of the circuit goes to the edge between the permuted
nodes, q, k and v as they are; `input`, MLPs and `logits` stay. 3. The overlap with the other circuit is counted, and
over many permutations its mean and range are the floor. Pure numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.circuits.along_k import overlap_of_sets
from engine.circuits.comparison import overlap_of
from engine.circuits.edges import Ints
from engine.circuits.graph import Graph

PERMUTATIONS = 200


@dataclass(frozen=True)
class Floor:
    """Overlaps, 0 .. 1, over random permutations."""

    mean: float
    low: float  # the smallest
    high: float  # the largest


def permuted_overlap(graph: Graph, edges: Ints, other: Ints, permutations: int = PERMUTATIONS, seed: int = 0) -> Floor:
    """The overlap of a circuit `edges` [edge] with `other` [edge], whose heads are permuted within their layers."""
    overlaps = [
        overlap_of(edges, permuted_edges(graph, other, heads))
        for heads in random_permutations(graph.n_layers, graph.n_heads, permutations, seed)
    ]
    return Floor(float(np.mean(overlaps)), min(overlaps), max(overlaps))


def permuted_component_overlap(
    graph: Graph, core: NDArray[np.bool_], other: NDArray[np.bool_], permutations: int = PERMUTATIONS, seed: int = 0
) -> Floor:
    """Like `permuted_overlap`, of core components [head or MLP] as along_k.core gives them; nan without any."""
    by_layer = other.reshape(graph.n_layers, graph.n_heads + 1)
    overlaps = []
    for heads in random_permutations(graph.n_layers, graph.n_heads, permutations, seed):
        moved = by_layer.copy()
        np.put_along_axis(moved, heads, by_layer[:, :-1], axis=1)
        overlaps.append(float(overlap_of_sets(core, moved.ravel())))
    return Floor(float(np.mean(overlaps)), min(overlaps), max(overlaps))


def random_permutations(n_layers: int, n_heads: int, permutations: int, seed: int) -> NDArray[np.int64]:
    """[permutation, layer, head]: which head each head becomes, within its layer; the same for the same seed."""
    ordered = np.broadcast_to(np.arange(n_heads), (permutations, n_layers, n_heads))
    return np.random.default_rng(seed).permuted(ordered, axis=-1)


def permuted_edges(graph: Graph, edges: Ints, heads: Ints) -> NDArray[np.int32]:
    """[edge]: what `edges` [edge] become when head h of layer l becomes head `heads[l, h]` of that layer."""
    n_layers, n_heads = graph.n_layers, graph.n_heads
    moved = heads - np.arange(n_heads)  # [layer, head]: by how much
    node = np.arange(graph.n_sources)
    inner = node[1:].reshape(n_layers, n_heads + 1)  # a layer's heads, then its MLP
    inner[:, :n_heads] += moved
    destination = np.arange(graph.n_destinations)
    by_layer = destination[:-1].reshape(n_layers, 3 * n_heads + 1)  # q of every head, k, v, then the MLP
    by_layer[:, : 3 * n_heads] += np.tile(moved, 3)
    return edges_between(graph, node[graph.edge_source[edges]], destination[graph.edge_destination[edges]])


def edges_between(graph: Graph, sources: Ints, destinations: Ints) -> NDArray[np.int32]:
    """[edge]: the index of the edge from each of `sources` to each of `destinations` [edge], which has to exist.

    Edges are numbered by source, then by destination, and the destinations that read a source are all from some
    destination on.
    """
    first = np.searchsorted(graph.readable_sources, np.arange(graph.n_sources), side="right")  # [source]
    before = np.cumsum(graph.n_destinations - first) - (graph.n_destinations - first)  # [source]: edges of earlier ones
    return np.asarray(before[sources] + destinations - first[sources], dtype=np.int32)
