"""The memory that running circuits will need, part by part, known before anything is loaded. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from engine.attribution.footprint import BUFFER, BYTES
from engine.circuits.graph import Graph
from engine.models.architecture import Shape

SCORES = 3  # of attention, in fp32, that are held at once: products, softmax, and in the model's number format


@dataclass(frozen=True)
class Footprint:
    """Bytes of one batch of rows with as many circuits at once as the buffer holds."""

    weights: int
    corrupted: int  # the corrupted run that all circuits share
    circuits: int  # how many run at once; no bytes
    buffer: int  # what their sources write and what a layer's destinations read
    layer: int  # a layer's queries, keys, values and attention, or its neurons
    logits: int
    masks: int  # which destination reads which source

    @property
    def peak(self) -> int:
        return self.weights + self.corrupted + self.buffer + self.masks + max(self.layer, self.logits)


def footprint(
    shape: Shape, circuits: int, rows: int, length: int, dtype: str, device: str, buffer: int | None = None
) -> Footprint:
    """Of `circuits` circuits on a batch of `rows` rows of `length` tokens, read once a row, on "cpu" or "cuda".

    `buffer`: bytes that circuits at once may take together; one circuit is run whatever it takes.
    """
    size, tokens, graph = BYTES[dtype], rows * length, Graph(shape.layers, shape.heads)
    each = tokens * token_bytes(graph, shape.d_model, size)
    at_once = circuits_at_once(circuits, each, BUFFER[device] if buffer is None else buffer)
    written = shape.heads * shape.d_head
    attention = 4 * size * tokens * written + SCORES * 4 * tokens * shape.heads * length
    neurons = size * tokens * ((3 if shape.gated else 4) * shape.mlp + 3 * shape.d_model)
    return Footprint(
        weights=shape.parameters * size,
        corrupted=tokens * size * (shape.layers * (3 * shape.d_model + written) + 3 * shape.d_model),
        circuits=at_once,
        buffer=at_once * each,
        layer=at_once * max(attention, neurons) + 3 * written * shape.d_model * (4 + size),
        logits=(2 + 3 * at_once) * rows * shape.vocabulary * 4,
        masks=at_once * graph.n_sources * graph.n_destinations * (4 + size),
    )


def rows_at_once(shape: Shape, rows: int, length: int, dtype: str, device: str) -> int:
    """How many of `rows` rows of `length` tokens one circuit's buffer holds: one at least."""
    each = length * token_bytes(Graph(shape.layers, shape.heads), shape.d_model, BYTES[dtype])
    return max(1, min(rows, BUFFER[device] // each))


def token_bytes(graph: Graph, d_model: int, itemsize: int) -> int:
    """What a circuit's pass holds for a token: what all sources write, and what the destinations of a layer read."""
    return itemsize * d_model * (2 + graph.n_sources + 3 * graph.n_heads + 1)


def circuits_at_once(circuits: int, each: int, buffer: int) -> int:
    """How many of `circuits` run together where each takes `each` bytes of a buffer: one at least."""
    return max(1, min(circuits, buffer // max(1, each)))
