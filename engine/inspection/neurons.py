"""What every neuron does on the task's clean inputs: moments, range and histogram of its activation.

`Activity` observes the survey's batches (engine/inspection/observers.py) and adds up on the model's device. Activation
is hook_post: what is multiplied with W_out. Padding is never counted, and nothing here loops over neurons: a 7B model
has 530,000 of them. `tests/engine/inspection/test_neurons.py` holds the table against raw activations.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.inspection.activations import bin_numbers
from engine.inspection.bins import BINS
from engine.inspection.observers import Batch
from engine.models.activation_cache import ActivationCache
from engine.models.model import Model
from engine.schema import arrow
from engine.schema.list_columns import lists


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
        cells = torch.arange(self.width, dtype=torch.int32, device=self.sum.device) * BINS
        for layer in range(self.layers):
            values = cache[f"blocks.{layer}.mlp.hook_post"][batch.real].float()  # [token, neuron]
            double = values.double()
            self.sum[layer] += double.sum(0)
            self.squares[layer] += (double**2).sum(0)
            self.low[layer] = torch.minimum(self.low[layer], values.amin(0))
            self.high[layer] = torch.maximum(self.high[layer], values.amax(0))
            self.active[layer] += (cache[f"blocks.{layer}.mlp.hook_pre"][batch.real] > 0).sum(0)
            filled = torch.bincount((bin_numbers(values) + cells).ravel(), minlength=self.width * BINS)
            self.counts[layer] += filled.view(self.width, BINS).int()

    def table(self) -> pa.Table:
        """The columns of `neurons` (docs/tables.md) that come from activations; `std` is the population's."""
        mean = self.sum / self.tokens
        std = (self.squares / self.tokens - mean**2).clamp_min(0).sqrt()
        share = self.active.double() / self.tokens
        numbers = {"mean": mean, "std": std, "low": self.low, "high": self.high, "active": share}
        columns = {name: flat(values) for name, values in numbers.items()}
        counts = lists(self.counts.cpu().numpy().reshape(-1, BINS))
        return arrow.table(
            "neurons", {**neuron_numbers(self.layers, self.width), **columns, "counts": counts}, "activity"
        )


def neuron_numbers(layers: int, width: int) -> dict[str, NDArray[np.int32]]:
    """[layer * neuron] each: the columns by which the rows of `neurons` are told apart."""
    return {"layer": layer_numbers(layers, width), "neuron": np.tile(np.arange(width, dtype=np.int32), layers)}


def layer_numbers(layers: int, rows: int) -> NDArray[np.int32]:
    """[layer * row]: the layer of every row, where each layer has `rows`."""
    return np.repeat(np.arange(layers, dtype=np.int32), rows)


def flat(values: Tensor) -> NDArray[np.float32]:
    """[layer * neuron] of values [layer, neuron]."""
    return values.float().cpu().numpy().ravel()
