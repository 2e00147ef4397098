"""Histograms of MLP activations and norms of the residual stream, by layer (docs/tables.md).

`Histograms` counts the activations (hook_post) of all neurons of a layer over the prompt, over the answer and over
the positions where sites are read, in the bins of engine/inspection/bins.py, with their moments. `ResidualNorms`
measures the norm of the residual stream by its distance to the first answer token. Padding is never counted. Sums are
kept in double precision on the model's device; `tests/engine/inspection/test_activations.py` holds them against numpy
on raw activations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from engine.inspection.bins import BINS, float32_edges
from engine.inspection.observers import Batch, Input
from engine.models.activation_cache import ActivationCache
from engine.models.model import Model
from engine.schema import arrow
from engine.schema.list_columns import lists
from engine.schema.vocabulary import REGIONS

VARIES = 1e-7  # variance by mean square, from which kurtosis is exact to a few per cent in double precision
POWERS = 4  # of raw moments: mean, variance, skewness and kurtosis need no more


def bin_numbers(values: Tensor) -> Tensor:
    """[...]: the bin of every one of `values` in float32 or less, as engine.inspection.bins.counts has it."""
    edges = torch.from_numpy(float32_edges()).to(values.device)
    return torch.bucketize(values.float(), edges, right=True, out_int32=True)


def regions(batch: Batch) -> dict[str, Tensor]:
    """[batch, pos] by region: which positions belong to it. A readout may lie in the prompt or in the answer."""
    positions = torch.arange(batch.real.shape[1], device=batch.real.device)
    starts = torch.tensor([item.start for item in batch.inputs], device=batch.real.device)
    in_answer = positions >= starts[:, None]
    readout = torch.zeros_like(batch.real)
    for i, item in enumerate(batch.inputs):
        readout[i, list(item.reads)] = True
    return {"prompt": batch.real & ~in_answer, "answer": batch.real & in_answer, "readout": readout}


class Histograms:
    """Counts and moments of a layer's activations by region, all neurons together."""

    def __init__(self, model: Model) -> None:
        self.layers = model.graph.n_layers
        self.hooks = [
            f"blocks.{layer}.mlp.{name}" for layer in range(self.layers) for name in ("hook_post", "hook_pre")
        ]
        shape, device = (self.layers, len(REGIONS)), model.device
        self.counts = torch.zeros(*shape, BINS, dtype=torch.int64, device=device)
        self.powers = torch.zeros(*shape, POWERS, dtype=torch.float64, device=device)  # sums of x, x**2, ...
        self.active = torch.zeros(shape, dtype=torch.int64, device=device)

    def observe(self, batch: Batch, cache: ActivationCache) -> None:
        for region, inside in enumerate(regions(batch).values()):
            for layer in range(self.layers):
                values = cache[f"blocks.{layer}.mlp.hook_post"][inside].ravel()  # [token * neuron]
                self.counts[layer, region] += torch.bincount(bin_numbers(values), minlength=BINS)
                self.powers[layer, region] += _power_sums(values.double())
                self.active[layer, region] += (cache[f"blocks.{layer}.mlp.hook_pre"][inside] > 0).sum()

    def table(self) -> pa.Table:
        """A row per layer and region that has tokens."""
        counts = self.counts.cpu().numpy().reshape(-1, BINS)
        n = counts.sum(1)
        there = n > 0
        counts, n = counts[there], n[there]
        moments = self.powers.cpu().numpy().reshape(-1, POWERS)[there] / n[:, None]
        mean, variance, kurtosis = _central(moments)
        active = self.active.cpu().numpy().ravel()[there] / n
        return arrow.table(
            "activation_histograms",
            {
                "layer": np.repeat(np.arange(self.layers, dtype=np.int32), len(REGIONS))[there],
                "region": pa.array(np.tile(REGIONS, self.layers)[there], pa.string()),
                "counts": lists(counts),
                "n": n,
                "mean": mean.astype(np.float32),
                "std": np.sqrt(variance).astype(np.float32),
                "kurtosis": pa.array(kurtosis.astype(np.float32), mask=np.isnan(kurtosis)),
                "active": active.astype(np.float32),
            },
        )


def _power_sums(x: Tensor) -> Tensor:
    """[POWERS]: sums of x, x**2, x**3 and x**4 of x [value]."""
    squares = x * x
    return torch.stack([x.sum(), squares.sum(), x.dot(squares), squares.dot(squares)])


def _central(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, variance and excess kurtosis from raw moments [row, POWERS].

    Kurtosis is nan where values vary so little that the fourth moment's rounding is all that is left of it.
    """
    m1, m2, m3, m4 = raw.T
    variance = np.maximum(m2 - m1**2, 0.0)
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    excess = np.divide(fourth, variance**2, out=np.full_like(fourth, np.nan), where=variance > VARIES * m2) - 3.0
    return m1, variance, excess


class ResidualNorms:
    """Mean and spread of the residual's norm by layer and by distance to the first answer token."""

    def __init__(self, model: Model, inputs: Sequence[Input]) -> None:
        layers = range(model.graph.n_layers)
        self.hooks = [*(f"blocks.{layer}.hook_resid_pre" for layer in layers), "ln_final.hook_in"]
        self.first = -max(item.start for item in inputs)  # the smallest offset
        offsets = max(len(item.ids) - item.start for item in inputs) - self.first
        self.sums = torch.zeros(len(self.hooks), 3, offsets, dtype=torch.float64, device=model.device)  # n, x, x**2

    def observe(self, batch: Batch, cache: ActivationCache) -> None:
        positions = torch.arange(batch.real.shape[1], device=batch.real.device)
        starts = torch.tensor([item.start for item in batch.inputs], device=batch.real.device)
        places = (positions - starts[:, None] - self.first)[batch.real]  # [token]
        for layer, hook in enumerate(self.hooks):
            norms = cache[hook][batch.real].double().norm(dim=-1)  # [token]
            self.sums[layer].index_add_(1, places, torch.stack([torch.ones_like(norms), norms, norms**2]))

    def table(self) -> pa.Table:
        """A row per layer (0: the embedding) and offset that occurs."""
        n, total, squares = self.sums.cpu().numpy().transpose(1, 0, 2)  # each [layer, offset]
        layer, offset = np.nonzero(n)
        n, total, squares = (values[layer, offset] for values in (n, total, squares))
        variance = np.maximum(squares / n - (total / n) ** 2, 0.0)
        return arrow.table(
            "residual_norms",
            {
                "layer": layer.astype(np.int32),
                "offset": (offset + self.first).astype(np.int32),
                "mean": (total / n).astype(np.float32),
                "std": np.sqrt(variance).astype(np.float32),
                "n": n.astype(np.int32),
            },
        )
