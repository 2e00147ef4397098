"""Nodes, destinations and legal edges of an architecture (METHOD, "Computational graph").

Names follow EAP-IG (Hanna et al. 2024): `input`, `a{l}.h{h}`, `m{l}`, `logits`; an edge is
`a0.h3->m2` or `m1->a5.h0<q>`. Sources are in the order in which a forward pass writes them, so that
"every source before" is a prefix; destinations are in the order in which it reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

QKV = "qkv"


@cache
def graph_of(n_layers: int, n_heads: int) -> Graph:
    """The one Graph of an architecture in this process, so that its arrays of edges are made once."""
    return Graph(n_layers, n_heads)


@dataclass(frozen=True)
class Graph:
    """A transformer of `n_layers` x `n_heads` query heads; edges are numbered 0 .. n_edges - 1.

    Edge index order: by source, then by destination. METHOD breaks ties of |score| by this index.
    """

    n_layers: int
    n_heads: int

    @property
    def n_sources(self) -> int:
        """`input`, then per layer its heads and its MLP."""
        return 1 + self.n_layers * (self.n_heads + 1)

    @property
    def n_destinations(self) -> int:
        """Per layer q of every head, k of every head, v of every head, the MLP; then `logits`."""
        return self.n_layers * (3 * self.n_heads + 1) + 1

    @property
    def n_nodes(self) -> int:
        """Sources, then `logits` as the last node."""
        return self.n_sources + 1

    @property
    def n_edges(self) -> int:
        heads, layers = self.n_heads, self.n_layers
        before = layers + (heads + 1) * layers * (layers - 1) // 2  # sources below each layer, of all layers together
        return (3 * heads + 1) * before + layers * heads + self.n_sources

    def head(self, layer: int, head: int) -> int:
        """The node index of `a{layer}.h{head}`."""
        return 1 + layer * (self.n_heads + 1) + head

    def mlp(self, layer: int) -> int:
        """The node index of `m{layer}`."""
        return self.head(layer, self.n_heads)

    @property
    def logits(self) -> int:
        return self.n_sources

    def attention_destinations(self, layer: int) -> slice:
        """Destinations q, k, v of every head of a layer, in that order: 3 * n_heads of them."""
        start = layer * (3 * self.n_heads + 1)
        return slice(start, start + 3 * self.n_heads)

    def mlp_destination(self, layer: int) -> int:
        return self.attention_destinations(layer).stop

    @cached_property
    def node_names(self) -> list[str]:
        names = ["input"]
        for layer in range(self.n_layers):
            names += [f"a{layer}.h{head}" for head in range(self.n_heads)] + [f"m{layer}"]
        return [*names, "logits"]

    @cached_property
    def node_layer(self) -> NDArray[np.int32]:
        """[node]: its layer; -1 for `input` and n_layers for `logits`."""
        inner = np.repeat(np.arange(self.n_layers), self.n_heads + 1)
        return np.concatenate([[-1], inner, [self.n_layers]]).astype(np.int32)

    @cached_property
    def destination_names(self) -> list[str]:
        names = []
        for layer in range(self.n_layers):
            names += [f"a{layer}.h{head}<{part}>" for part in QKV for head in range(self.n_heads)] + [f"m{layer}"]
        return [*names, "logits"]

    @cached_property
    def destination_node(self) -> NDArray[np.int32]:
        """[destination]: the node that it belongs to."""
        nodes: list[int] = []
        for layer in range(self.n_layers):
            nodes += 3 * [self.head(layer, head) for head in range(self.n_heads)] + [self.mlp(layer)]
        return np.array([*nodes, self.logits], dtype=np.int32)

    @cached_property
    def destination_kind(self) -> NDArray[np.int8]:
        """[destination]: 0, 1, 2 for q, k, v; 3 for an MLP; 4 for `logits`."""
        layer = [0] * self.n_heads + [1] * self.n_heads + [2] * self.n_heads + [3]
        return np.array([*(layer * self.n_layers), 4], dtype=np.int8)

    @cached_property
    def readable_sources(self) -> NDArray[np.int32]:
        """[destination]: how many sources (a prefix) it reads."""
        counts: list[int] = []
        for layer in range(self.n_layers):
            counts += 3 * self.n_heads * [self.head(layer, 0)] + [self.mlp(layer)]
        return np.array([*counts, self.n_sources], dtype=np.int32)

    @cached_property
    def legal(self) -> NDArray[np.bool_]:
        """[source, destination]: whether the edge exists."""
        return np.arange(self.n_sources)[:, None] < self.readable_sources[None, :]

    @cached_property
    def _endpoints(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        sources, destinations = np.nonzero(self.legal)
        return sources.astype(np.int32), destinations.astype(np.int32)

    def endpoints(self, edges: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The nodes that `edges` [edge] begin at and the nodes that they end at: [edge] each."""
        return self.edge_source[edges], self.destination_node[self.edge_destination[edges]]

    @property
    def edge_source(self) -> NDArray[np.int32]:
        """[edge]: node index of the source."""
        return self._endpoints[0]

    @property
    def edge_destination(self) -> NDArray[np.int32]:
        """[edge]: destination index; `destination_node` maps it to a node."""
        return self._endpoints[1]

    def edge_name(self, edge: int) -> str:
        source, destination = self.edge_source[edge], self.edge_destination[edge]
        return f"{self.node_names[source]}->{self.destination_names[destination]}"

    def edge_named(self, name: str) -> int:
        """The index of an edge; KeyError when the graph has no such edge."""
        source, _, destination = name.partition("->")
        try:
            row, column = self.node_names.index(source), self.destination_names.index(destination)
            legal = row < self.n_sources and bool(self.legal[row, column])
        except ValueError:
            legal = False
        if not legal:
            raise KeyError(f"no edge {name!r} in a graph of {self.n_layers} layers x {self.n_heads} heads")
        return int(self.legal[:row].sum() + self.legal[row, :column].sum())
