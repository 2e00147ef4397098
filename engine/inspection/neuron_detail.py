"""The neurons of largest attribution, each in detail: where it is most active, on which tokens, and what it reads.

1. `strongest_neurons` chooses the neurons of each layer with the largest |attribution|; only these are kept token by
   token.
2. Two observers of the survey (engine/inspection/observers.py) gather, batch by batch on the model's device:
   `Strongest` the examples on which a detailed neuron is most active, `Traces` its activation, gate and up part on
   every token of the kept inputs.
3. The tables add which tokens it reads (engine/inspection/neuron_directions.py).

Activation is hook_post: what is multiplied with W_out. Padding is never counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.attribution.edge_scores import Attribution
from engine.inspection.neuron_directions import NearestTokens, embedding_directions, input_tokens, token_texts
from engine.inspection.neurons import flat, layer_numbers, neuron_numbers
from engine.inspection.observers import Batch, Input
from engine.models.activation_cache import ActivationCache, has_hook
from engine.models.model import Model
from engine.schema import arrow
from engine.schema.list_columns import lists, ragged, word_lists
from engine.schema.vocabulary import DETAILED_NEURONS, DETAILED_OF_LAYER, NEURON_EXAMPLES


def strongest_neurons(attribution: Attribution) -> Tensor:
    """[layer, k]: the neurons of each layer with the largest |attribution|, in ascending order."""
    scores = attribution.neurons.sum(0)  # [layer, neuron]
    k = min(scores.shape[1], max(DETAILED_OF_LAYER, DETAILED_NEURONS // len(scores)))
    order = scores.abs().sort(dim=1, descending=True, stable=True).indices  # of equals the first, on every device
    return order[:, :k].sort(1).values


class Strongest:
    """The examples on which every detailed neuron is most active, each once, and where in them.

    `values`, `numbers` and `positions` are [layer, k, NEURON_EXAMPLES], the strongest first; -inf where there is none.
    """

    def __init__(self, model: Model, inputs: Sequence[Input], neurons: Tensor) -> None:
        self.inputs, self.neurons = inputs, neurons
        self.hooks = [f"blocks.{layer}.mlp.hook_post" for layer in range(len(neurons))]
        self.example_of = torch.tensor([item.example for item in inputs], device=model.device)
        shape = (*neurons.shape, NEURON_EXAMPLES)
        self.values = torch.full(shape, -torch.inf, device=model.device)
        self.numbers = torch.zeros(shape, dtype=torch.int64, device=model.device)  # places in `inputs`
        self.positions = torch.zeros(shape, dtype=torch.int64, device=model.device)

    def observe(self, batch: Batch, cache: ActivationCache) -> None:
        numbers = torch.tensor(batch.numbers, device=self.values.device)
        for layer, hook in enumerate(self.hooks):
            picked = cache[hook][..., self.neurons[layer]].float()  # [batch, pos, k]
            values, positions = picked.masked_fill(~batch.real[..., None], -torch.inf).max(1)  # [batch, k]
            self._merge(layer, values.T, numbers.expand(len(self.neurons[layer]), -1), positions.T)

    def _merge(self, layer: int, values: Tensor, numbers: Tensor, positions: Tensor) -> None:
        """Keep the strongest of those so far and of new candidates [k, batch], an example's strongest only."""
        values = torch.cat([self.values[layer], values], 1)
        order = values.argsort(dim=1, descending=True, stable=True)
        values = values.gather(1, order)
        numbers = torch.cat([self.numbers[layer], numbers], 1).gather(1, order)
        positions = torch.cat([self.positions[layer], positions], 1).gather(1, order)
        examples = self.example_of[numbers]  # [k, candidate]
        repeated = (examples[:, :, None] == examples[:, None, :]).tril(-1).any(-1)  # of an example further up
        values = values.masked_fill(repeated, -torch.inf)
        best = values.argsort(dim=1, descending=True, stable=True)[:, :NEURON_EXAMPLES]
        self.values[layer], self.numbers[layer] = values.gather(1, best), numbers.gather(1, best)
        self.positions[layer] = positions.gather(1, best)

    def columns(self) -> dict[str, pa.Array]:
        """List columns, a list a detailed neuron."""
        there = min(NEURON_EXAMPLES, len({item.example for item in self.inputs}))
        values, numbers, positions = (
            kept[..., :there].flatten(0, 1).cpu().numpy() for kept in (self.values, self.numbers, self.positions)
        )
        parts = pa.array([item.part for item in self.inputs], pa.string())
        return {
            "top_input_example": lists(self.example_of.cpu().numpy()[numbers].astype(np.int32)),
            "top_part": word_lists(numbers, parts),
            "top_position": lists(positions.astype(np.int32)),
            "top_value": lists(values),
        }


class Traces:
    """What goes through every detailed neuron on every token of the kept inputs."""

    NAMES = ("hook_post", "hook_pre", "hook_pre_linear")
    COLUMNS = ("activations", "gates", "ups")

    def __init__(self, model: Model, kept: Sequence[int], neurons: Tensor) -> None:
        self.kept, self.neurons = sorted(kept), neurons
        self.gated = has_hook(model, "blocks.0.mlp.hook_pre_linear")
        self.names = self.NAMES if self.gated else self.NAMES[:2]
        self.hooks = [f"blocks.{layer}.mlp.{name}" for layer in range(len(neurons)) for name in self.names]
        self.traces: dict[tuple[int, int], NDArray[np.float32]] = {}  # by input and layer: [name, k, token]

    def observe(self, batch: Batch, cache: ActivationCache) -> None:
        for i, number in enumerate(batch.numbers):
            if number not in self.kept:
                continue
            length = len(batch.inputs[i].ids)
            for layer, chosen in enumerate(self.neurons):
                values = [cache[f"blocks.{layer}.mlp.{name}"][i, :length, chosen].T for name in self.names]
                self.traces[number, layer] = torch.stack(values).float().cpu().numpy()

    def table(self) -> pa.Table:
        """A row per kept input (numbered in the order of the inputs), layer and detailed neuron."""
        layers, k = self.neurons.shape
        blocks = [
            self.traces[number, layer] for number in self.kept for layer in range(layers)
        ]  # [name, k, token] each
        flat = [np.concatenate([block[name].ravel() for block in blocks]) for name in range(len(self.names))]
        lengths = np.repeat([block.shape[2] for block in blocks], k)
        columns = {name: ragged(values, lengths) for name, values in zip(self.COLUMNS, flat, strict=False)}
        none = ragged(np.empty(0, np.float32), np.zeros_like(lengths))
        neuron = self.neurons.cpu().numpy().astype(np.int32).ravel()
        return arrow.table(
            "neuron_tokens",
            {
                "input": np.repeat(np.arange(len(self.kept), dtype=np.int32), layers * k),
                "layer": np.tile(layer_numbers(layers, k), len(self.kept)),
                "neuron": np.tile(neuron, len(self.kept)),
                **{name: columns.get(name, none) for name in self.COLUMNS},
            },
        )


def neuron_attribution_table(attribution: Attribution, n: int) -> pa.Table:
    """The columns of `neurons` (docs/tables.md) that hold the scores of `n` examples; every neuron has a row."""
    even, odd = attribution.neurons  # [layer, neuron] each
    scores = {
        "attribution": flat((even + odd) / n),
        "half_a": flat(even / ((n + 1) // 2)),
        "half_b": flat(odd / max(1, n // 2)),
    }
    return arrow.table("neurons", {**neuron_numbers(*even.shape), **scores}, "circuit")


def detail_table(model: Model, neurons: Tensor, strongest: Strongest) -> pa.Table:
    """The detailed `neurons` [layer, k]: where they are most active and which tokens they read."""
    layers, k = neurons.shape
    words, embeddings = token_texts(model), embedding_directions(model)
    reads = [input_tokens(model, layer, chosen, embeddings) for layer, chosen in enumerate(neurons)]
    ups = [of_layer.up for of_layer in reads if of_layer.up is not None]
    return arrow.table(
        "neuron_detail",
        {
            "layer": layer_numbers(layers, k),
            "neuron": neurons.cpu().numpy().astype(np.int32).ravel(),
            **strongest.columns(),
            **_nearest_columns("gate", [of_layer.gate for of_layer in reads], words, layers * k),
            **_nearest_columns("up", ups, words, layers * k),
        },
    )


def _nearest_columns(name: str, nearest: Sequence[NearestTokens], words: pa.Array, rows: int) -> dict[str, pa.Array]:
    """Empty lists where there is nothing to read with."""
    tokens = _rows([of_layer.tokens for of_layer in nearest]) if nearest else np.empty((rows, 0), np.int64)
    cosines = _rows([of_layer.cosines for of_layer in nearest]) if nearest else np.empty((rows, 0), np.float32)
    return {f"{name}_tokens": word_lists(tokens, words), f"{name}_cosine": lists(cosines)}


def _rows(parts: Sequence[Tensor]) -> NDArray[Any]:
    return torch.cat(list(parts)).cpu().numpy()
