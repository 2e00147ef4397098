"""Single neurons: what they do on the task's clean inputs, and their tables (docs/tables.md).

1. `strongest_neurons` chooses the neurons of each layer with the largest |attribution|; only these are kept token by
   token.
2. Three observers of the survey gather, batch by batch on the model's device: `Activity` the moments and histogram of
   every neuron, `Strongest` the examples on which a detailed neuron is most active, `Traces` a detailed neuron's
   activation, gate and up part on every token of the kept inputs.
3. The tables add what follows from the weights: words (engine/inspection/neuron_directions.py) and cosines
   (engine/inspection/neuron_cosines.py).

Activation is hook_post: what is multiplied with W_out. Padding is never counted, and nothing here loops over neurons:
a 7B model has 530,000 of them. `tests/engine/inspection/test_neurons.py` holds the tables against raw activations.
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
from engine.inspection.activations import bin_numbers
from engine.inspection.bins import BINS
from engine.inspection.neuron_cosines import Cosines
from engine.inspection.neuron_directions import NearestTokens, input_tokens, output_tokens
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


class Activity:
    """Moments, range and histogram of every neuron's activation over all tokens."""

    def __init__(self, model: Model) -> None:
        self.layers, self.width = model.graph.n_layers, len(model.bridge.blocks[0].mlp.W_out)
        self.hooks = [
            f"blocks.{layer}.mlp.{name}" for layer in range(self.layers) for name in ("hook_post", "hook_pre")
        ]
        shape, device = (self.layers, self.width), model.device
        self.tokens = 0
        self.sum = torch.zeros(shape, dtype=torch.float64, device=device)
        self.squares = torch.zeros(shape, dtype=torch.float64, device=device)
        self.low = torch.full(shape, torch.inf, device=device)
        self.high = torch.full(shape, -torch.inf, device=device)
        self.active = torch.zeros(shape, dtype=torch.int64, device=device)
        self.counts = torch.zeros(*shape, BINS, dtype=torch.int32, device=device)

    def observe(self, batch: Batch, cache: ActivationCache) -> None:
        self.tokens += int(batch.real.sum())
        cells = torch.arange(self.width, device=self.sum.device) * BINS
        for layer in range(self.layers):
            values = cache[f"blocks.{layer}.mlp.hook_post"][batch.real].double()  # [token, neuron]
            self.sum[layer] += values.sum(0)
            self.squares[layer] += (values**2).sum(0)
            self.low[layer] = torch.minimum(self.low[layer], values.amin(0).float())
            self.high[layer] = torch.maximum(self.high[layer], values.amax(0).float())
            self.active[layer] += (cache[f"blocks.{layer}.mlp.hook_pre"][batch.real] > 0).sum(0)
            filled = torch.bincount((bin_numbers(values) + cells).ravel(), minlength=self.width * BINS)
            self.counts[layer] += filled.view(self.width, BINS).int()

    def columns(self) -> dict[str, Any]:
        """[layer * neuron] each, `counts` a list column; the standard deviation is the population's."""
        mean = self.sum / self.tokens
        std = (self.squares / self.tokens - mean**2).clamp_min(0).sqrt()
        share = self.active.double() / self.tokens
        numbers = {"mean": mean, "std": std, "low": self.low, "high": self.high, "active": share}
        return {name: _flat(values) for name, values in numbers.items()} | {
            "counts": lists(self.counts.cpu().numpy().reshape(-1, BINS))
        }


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
                "layer": np.tile(_layers(layers, k), len(self.kept)),
                "neuron": np.tile(neuron, len(self.kept)),
                **{name: columns.get(name, none) for name in self.COLUMNS},
            },
        )


def neuron_table(
    model: Model, attribution: Attribution, n: int, activity: Activity, cosines: Cosines | None
) -> pa.Table:
    """Every neuron of `n` examples' run; `cosines` against the ARM's weights, None in the ARM's own run."""
    even, odd = attribution.neurons  # [layer, neuron] each
    layers, width = even.shape
    words = token_texts(model)
    sides = [output_tokens(model, layer) for layer in range(layers)]
    return arrow.table(
        "neurons",
        {
            "layer": _layers(layers, width),
            "neuron": np.tile(np.arange(width, dtype=np.int32), layers),
            "attribution": _flat((even + odd) / n),
            "half_a": _flat(even / ((n + 1) // 2)),
            "half_b": _flat(odd / max(1, n // 2)),
            **activity.columns(),
            "promoted": word_lists(_rows([side.promoted for side in sides]), words),
            "promoted_logit": lists(_rows([side.promoted_logits for side in sides])),
            "suppressed": word_lists(_rows([side.suppressed for side in sides]), words),
            "suppressed_logit": lists(_rows([side.suppressed_logits for side in sides])),
            "cos_in": _nullable(cosines.into if cosines else None, layers * width),
            "cos_gate": _nullable(cosines.gate if cosines else None, layers * width),
            "cos_out": _nullable(cosines.out if cosines else None, layers * width),
        },
    )


def detail_table(model: Model, neurons: Tensor, strongest: Strongest) -> pa.Table:
    """The detailed `neurons` [layer, k]: where they are most active and which tokens they read."""
    layers, k = neurons.shape
    words = token_texts(model)
    reads = [input_tokens(model, layer, chosen) for layer, chosen in enumerate(neurons)]
    ups = [of_layer.up for of_layer in reads if of_layer.up is not None]
    return arrow.table(
        "neuron_detail",
        {
            "layer": _layers(layers, k),
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


def _layers(layers: int, rows: int) -> NDArray[np.int32]:
    return np.repeat(np.arange(layers, dtype=np.int32), rows)


def _rows(parts: Sequence[Tensor]) -> NDArray[Any]:
    return torch.cat(list(parts)).cpu().numpy()


def _flat(values: Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy().ravel()


def _nullable(values: NDArray[np.float32] | None, rows: int) -> pa.Array:
    return pa.nulls(rows, pa.float32()) if values is None else pa.array(values.ravel(), pa.float32())


def token_texts(model: Model) -> pa.Array:
    """Every token a model has an embedding or a logit for, by id."""
    rows = max(len(model.bridge.W_E), model.bridge.W_U.shape[1])
    return pa.array(model.words(range(rows)), pa.string())
