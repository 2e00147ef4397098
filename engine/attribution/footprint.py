"""The memory that attribution will need, part by part, known before anything is loaded. Imports no torch.

A batch runs in three phases (engine/attribution/edge_scores.py); the passes' activations are freed before the
contraction begins, so that the larger of the two counts. Tests compare the parts with what is really kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.circuits.graph import Graph
from engine.errors import one_line
from engine.models.architecture import Shape

BYTES = {"float32": 4, "bfloat16": 2}
BUFFER = {"cpu": 2**28, "cuda": 2**32}  # at most, for the contraction; a processor's caches make more useless
LAYERS_AT_ONCE = 4  # whose destinations are multiplied with the sources together
TABLES = 66  # of edge scores: a block of examples each, of the run and of the batch, and a part's two
PATTERNS = 3  # in fp32, of one layer, that the way back through its attention needs beside what is kept
BEGINNING = 60  # characters of a prompt within a message
UNGATED = 4  # what an MLP without a gate keeps for the backward pass, in neurons: its GELU is made of small steps


@dataclass(frozen=True)
class Footprint:
    """Bytes. `activations` are what one pass keeps for its way back and what that needs for a layer at a time."""

    weights: int
    differences: int  # clean minus corrupted, of what sources are made of
    sums: int  # gradients, summed over the points
    activations: int
    logits: int
    buffer: int  # for both sides of the contraction
    scores: int

    @property
    def peak(self) -> int:
        kept = self.weights + self.differences + self.sums + self.scores
        return kept + max(self.activations + self.logits, self.buffer)


def footprint(shape: Shape, tokens: int, length: int, dtype: str, device: str, points: int = 5) -> Footprint:
    """Of a batch of `tokens` tokens in rows of `length` tokens, read once a row, on "cpu" or "cuda"."""
    size, graph = BYTES[dtype], Graph(shape.layers, shape.heads)
    expanded = token_bytes(graph, shape.d_model, size if device == "cuda" else BYTES["float32"])
    written = shape.heads * shape.d_head
    attention = written + 2 * shape.kv_heads * shape.d_head + shape.heads * length
    mlp = (2 if shape.gated else UNGATED) * shape.mlp
    layer = max(4 * shape.mlp * size, PATTERNS * shape.heads * length * BYTES["float32"])
    return Footprint(
        weights=shape.parameters * size,
        differences=tokens * size * (shape.layers * (written + shape.d_model + shape.mlp) + 3 * shape.d_model),
        sums=tokens * shape.layers * (size * points * shape.d_model + 4 * (3 * written + shape.d_model)),
        activations=tokens * (size * shape.layers * (2 * shape.d_model + attention + mlp) + layer),
        logits=4 * max(1, tokens // length) * shape.vocabulary * 4,
        buffer=min(BUFFER[device], tokens * expanded),
        scores=TABLES * graph.n_sources * graph.n_destinations * 4,
    )


def token_bytes(graph: Graph, d_model: int, itemsize: int) -> int:
    """What the contraction holds for a token: all sources, the destinations of a few layers, and one layer's again."""
    destinations = min(LAYERS_AT_ONCE, graph.n_layers) * (3 * graph.n_heads + 1)
    return itemsize * d_model * (graph.n_sources + destinations + 3 * graph.n_heads)


def row_named(example: int, tokens: int, prompt: str) -> str:
    """A row of `tokens` tokens as a message names it, in the middle of a sentence."""
    return f"example {example}, whose input has {tokens:,} tokens ({one_line(prompt, BEGINNING)})"
