"""The logit lens over layers: how concentrated it is after every layer, and when an answer becomes readable.

`LensLayers` observes the survey's batches (engine/inspection/observers.py) and keeps, at the sites of every example,
how concentrated the residual's lens is after each layer; at those of the first examples also how concentrated the
lenses of that layer's own components are, which takes a product with the vocabulary for each. `position_lens` reads
every answer position that is not yet revealed, at every denoising step of a few examples. Both handle one chunk of
positions at a time, as all lenses together are far larger than their summary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from engine.attribution.sites import masked_answer
from engine.inspection.lens import constant_logits, entropy_and_top, residual_logits, unembed
from engine.inspection.observers import Batch
from engine.models import activation_cache
from engine.models.activation_cache import ActivationCache, recording
from engine.models.batching import TOKENS, padded
from engine.models.decoding import Order
from engine.models.encoding import Encoded, Ids
from engine.models.model import Model
from engine.schema import arrow
from engine.schema.vocabulary import COMPONENT_EXAMPLES, SHOWN_EXAMPLES

LOGITS_BUDGET = 2**25  # logits computed at once
MEASURES = ("residual_entropy", "residual_top", "node_entropy", "node_top")


class LensLayers:
    """Observes the sites of `examples` examples; `sums` [example, layer, measure] are over the sites of each."""

    def __init__(self, model: Model, examples: int) -> None:
        self.model, self.layers = model, model.graph.n_layers
        per_layer = ("hook_resid_pre", "attn.hook_z", "hook_mlp_out")
        names = [f"blocks.{layer}.{name}" for layer in range(self.layers) for name in per_layer]
        self.hooks = [*names, "ln_final.hook_in"]
        self.sums = torch.zeros(examples, self.layers, len(MEASURES), dtype=torch.float64, device=model.device)
        self.sites = torch.zeros(examples, dtype=torch.int64, device=model.device)

    def observe(self, batch: Batch, cache: ActivationCache) -> None:
        reads = [(i, item.example, at) for i, item in enumerate(batch.inputs) for at in item.reads]
        for nodes in (True, False):
            chosen = [read for read in reads if (read[1] < COMPONENT_EXAMPLES) == nodes]
            lenses = self.model.graph.n_heads + 2 if nodes else 1
            size = max(1, LOGITS_BUDGET // (self.model.bridge.W_U.shape[1] * lenses))
            for start in range(0, len(chosen), size):
                rows, examples, positions = torch.tensor(chosen[start : start + size]).T.to(self.model.device)
                read = {name: cache[name][rows, positions].float() for name in self.hooks}  # [site, ...]
                self.sites.index_add_(0, examples, torch.ones_like(examples))
                self.sums.index_add_(0, examples, self._measured(read, nodes))

    def _measured(self, read: ActivationCache, with_nodes: bool) -> Tensor:
        """[site, layer, measure] of what was recorded at some sites, in double precision.

        Measures of components are nan unless they are asked for.
        """
        model, final = self.model, read["ln_final.hook_in"]  # [site, d_model]
        norm, constant, by_layer = activation_cache.final_norm(model), constant_logits(model), []
        for layer in range(self.layers):
            after = read[f"blocks.{layer + 1}.hook_resid_pre"] if layer + 1 < self.layers else final
            residual = norm.apply_with_frozen_scale(after, after)[:, None]
            if not with_nodes:
                entropies, tops = entropy_and_top(unembed(model, residual) + constant)  # [site, 1]
                none = torch.full_like(entropies, torch.nan)
                by_layer.append(torch.cat([entropies, tops, none, none], -1))
                continue
            z = read[f"blocks.{layer}.attn.hook_z"]  # [site, head, d_head]
            heads = torch.einsum("she,hed->shd", z, activation_cache.output_weights(model, layer))
            writes = torch.cat([heads, read[f"blocks.{layer}.hook_mlp_out"][:, None]], 1)  # [site, head + 1, d_model]
            nodes = norm.apply_with_frozen_scale(final[:, None], writes)
            logits = unembed(model, torch.cat([residual, nodes], 1))  # [site, 1 + head + 1, vocab], in one product
            logits[:, 0] += constant
            entropies, tops = entropy_and_top(logits)
            measures = [entropies[:, 0], tops[:, 0], entropies[:, 1:].mean(1), tops[:, 1:].mean(1)]
            by_layer.append(torch.stack(measures, -1))
        return torch.stack(by_layer, 1).double()

    def table(self) -> pa.Table:
        """`lens_layers` of docs/tables.md: a row per example and layer, means over the example's sites."""
        means = (self.sums / self.sites[:, None, None]).float().cpu().numpy()
        examples, layers, _ = means.shape
        return arrow.table(
            "lens_layers",
            {
                "example": np.repeat(np.arange(examples, dtype=np.int32), layers),
                "layer": np.tile(np.arange(layers, dtype=np.int32), examples),
                **{name: pa.array(means[:, :, i].ravel(), from_pandas=True) for i, name in enumerate(MEASURES)},
            },
        )


@dataclass(frozen=True)
class _OpenPosition:
    """A position whose token is not yet revealed: `ids` is the model's input, `target` the position to fill."""

    example: int
    step: int
    ids: Ids
    target: int
    answer: int  # the right token


def _open_positions(model: Model, encoded: Sequence[Encoded], orders: Sequence[Order]) -> Iterator[_OpenPosition]:
    for i, e in enumerate(encoded):
        visible: set[int] = set()
        for step, revealed in enumerate(((),) if model.causal else orders[i]):
            ids = e.prompt + (e.answer if model.causal else masked_answer(model, e.answer, visible))
            for t, answer in enumerate(e.answer):
                if t not in visible:
                    yield _OpenPosition(i, step, ids, e.start + t, answer)
            visible |= set(revealed)


@torch.no_grad()
def position_lens(model: Model, encoded: Sequence[Encoded], orders: Sequence[Order] = ()) -> pa.Table:
    """`position_lens` of docs/tables.md: the residual at the hidden positions of the first examples.

    An MDM is read at every masked answer position at every step of the run's own `orders`, in which the right tokens
    are revealed; an ARM, which has no orders, at every answer position of one teacher-forced pass.
    """
    places = list(_open_positions(model, encoded[:SHOWN_EXAMPLES], orders))
    layers = model.graph.n_layers + 1
    inputs = list(dict.fromkeys(place.ids for place in places))
    residuals = _residuals(model, inputs, places)  # [place, layer, d_model]
    answers = torch.tensor([place.answer for place in places], device=model.device)
    size = max(1, LOGITS_BUDGET // (model.bridge.W_U.shape[1] * layers))
    parts = [_token_columns(model, r, a) for r, a in zip(residuals.split(size), answers.split(size), strict=True)]
    best, top, right, rank = (torch.cat(values).flatten().cpu().numpy() for values in zip(*parts, strict=True))
    columns = {
        name: np.repeat(np.array([getattr(place, name) for place in places], np.int32), layers)
        for name in ("example", "step", "target")
    }
    return arrow.table(
        "position_lens",
        {
            **columns,
            "layer": np.tile(np.arange(layers, dtype=np.int32), len(places)),
            "token": pa.array(model.words(best.tolist()), pa.string()),
            "probability": top,
            "answer_probability": right,
            "answer_rank": rank.astype(np.int32),
        },
    )


def _residuals(model: Model, inputs: Sequence[Ids], places: Sequence[_OpenPosition]) -> Tensor:
    """[place, layer + 1, d_model]: the residual where the logits for every place are, embedding first."""
    names = [*(f"blocks.{layer}.hook_resid_pre" for layer in range(model.graph.n_layers)), "ln_final.hook_in"]
    residuals: dict[tuple[Ids, int], Tensor] = {}
    wanted: dict[Ids, list[int]] = {ids: [] for ids in inputs}
    for place in places:
        wanted[place.ids].append(model.read_position(place.target))
    size = max(1, TOKENS // max(map(len, inputs)))
    for start in range(0, len(inputs), size):
        batch = inputs[start : start + size]
        ids, real = padded(model, batch)
        with recording(model, names) as cache:
            model.logits(ids, real, at=[0])  # only what is recorded counts
        for i, tokens in enumerate(batch):
            stacked = torch.stack([cache[name][i, wanted[tokens]] for name in names], 1).float()  # [read, layer + 1, d]
            residuals |= {(tokens, read): values for read, values in zip(wanted[tokens], stacked, strict=True)}
    return torch.stack([residuals[place.ids, model.read_position(place.target)] for place in places])


def _token_columns(model: Model, residuals: Tensor, answers: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top token, its probability, the answer's probability and rank: [place, layer] each."""
    logits = residual_logits(model, residuals)  # [place, layer, vocab]
    right = logits.gather(-1, answers[:, None, None].expand(-1, logits.shape[1], 1))  # [place, layer, 1]
    total = logits.logsumexp(-1)
    top, best = logits.max(-1)
    return best, (top - total).exp(), (right[..., 0] - total).exp(), (logits > right).sum(-1)
