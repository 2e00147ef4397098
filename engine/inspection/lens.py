"""Logit lens: residuals and single components, projected to the vocabulary (METHOD, "Logit lens").

Residual lens: final norm and unembedding applied to the residual after each layer. Component lens: a node's own
write, scaled by the norm of the *actual* final residual, then unembedded; over all nodes plus `Lens.bias` it sums to
the logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.attribution.sites import AttributionInput, Site
from engine.inspection.top_k import top_k
from engine.models import activation_cache
from engine.models.activation_cache import recording
from engine.models.batching import padded
from engine.models.model import Model
from engine.schema.vocabulary import LENS_TOKENS

CACHED_LOGITS = 2**19  # that a processor core has at hand: what is computed from them passes over them several times


@dataclass(frozen=True)
class Lens:
    """The lens of one readout's position; rows of `components` follow the graph's sources."""

    residuals: Tensor  # [layer + 1, vocab] logits of the residual: embedding first, then after every layer
    components: Tensor  # [source, vocab] every source's own share of the logits
    bias: Tensor  # [vocab] what no source wrote: positions, attention output biases, norm and unembedding biases


@torch.no_grad()
def lenses(model: Model, inputs: Sequence[tuple[int, ...]], reads: Sequence[int]) -> list[Lens]:
    """The lens of position `reads[i]` of `inputs[i]`."""
    layers = range(model.graph.n_layers)
    per_layer = ("hook_resid_pre", "attn.hook_z", "hook_mlp_out")
    names = [
        "embed.hook_out",
        *(f"blocks.{layer}.{name}" for layer in layers for name in per_layer),
        "ln_final.hook_in",
    ]
    ids, real = padded(model, inputs)
    with recording(model, names) as cache:
        model.logits(ids, real, at=[0])  # only what is recorded counts
    rows, at = torch.arange(len(inputs)), torch.tensor(list(reads))
    read = {name: value[rows, at].float() for name, value in cache.items()}  # [row, ...]
    result = []
    for i in range(len(inputs)):
        residuals = [read[f"blocks.{layer}.hook_resid_pre"][i] for layer in layers] + [read["ln_final.hook_in"][i]]
        writes = [read["embed.hook_out"][i][None]]
        for layer in layers:
            z = read[f"blocks.{layer}.attn.hook_z"][i]  # [head, d_head]
            writes.append(torch.einsum("he,hed->hd", z, activation_cache.output_weights(model, layer)))
            writes.append(read[f"blocks.{layer}.hook_mlp_out"][i][None])
        result.append(project(model, torch.stack(residuals), torch.cat(writes)))
    return result


def project(model: Model, residuals: Tensor, writes: Tensor) -> Lens:
    """The lens of residuals [layer + 1, d_model], the last being final, and of sources' writes [source, d_model]."""
    norm, final = activation_cache.final_norm(model), residuals[-1]
    components = unembed(model, norm.apply_with_frozen_scale(final, writes))  # [source, vocab]
    left = unembed(model, norm.apply_with_frozen_scale(final, final - writes.sum(0)))  # [vocab]
    return Lens(residual_logits(model, residuals), components, left + constant_logits(model))


def residual_logits(model: Model, residuals: Tensor) -> Tensor:
    """[..., vocab]: final norm and unembedding of residuals [..., d_model]."""
    norm = activation_cache.final_norm(model)
    return unembed(model, norm.apply_with_frozen_scale(residuals, residuals)) + constant_logits(model)


def constant_logits(model: Model) -> Tensor:
    """[vocab]: what the biases of the final norm and the unembedding add, whatever the residual."""
    norm = activation_cache.final_norm(model)
    bias = model.bridge.b_U
    constant = torch.zeros(model.bridge.W_U.shape[1], device=model.device) if bias is None else bias.float()
    return constant if norm.bias is None else constant + unembed(model, norm.bias)


def unembed(model: Model, x: Tensor) -> Tensor:
    """[..., vocab] of x [..., d_model], without biases."""
    return x @ model.bridge.W_U.float()


@torch.no_grad()
def neuron_lens(model: Model, final: Tensor, layer: int, activations: Tensor) -> Tensor:
    """[neuron, vocab]: what every neuron of an MLP adds to the logits at one position.

    `final` [d_model] is the residual there, `activations` [neuron] what the neurons write with (hook_post).
    Neuron j writes activation * W_out[j]; METHOD, "Neuron lens".
    """
    weights = activation_cache.neuron_weights(model, layer, "W_out")
    writes = activations.float()[:, None] * weights.float()  # [neuron, d_model]
    return unembed(model, activation_cache.final_norm(model).apply_with_frozen_scale(final, writes))


@dataclass(frozen=True)
class LensSite:
    """A position whose lens is kept: a site of a row."""

    row: AttributionInput
    site: Site


def readouts_of(rows: Sequence[AttributionInput], examples: int) -> list[LensSite]:
    """Every site of the first `examples` examples, in the order in which they are read."""
    return [LensSite(row, site) for row in rows if row.example < examples for site in row.sites]


@dataclass(frozen=True)
class TopTokens:
    """The largest and smallest of some logits, with their tokens: [row, most] each."""

    promoted: Tensor
    promoted_logits: Tensor
    suppressed: Tensor
    suppressed_logits: Tensor


def top_tokens(logits: Tensor, most: int = LENS_TOKENS) -> TopTokens:
    """Both ends of logits [row, vocab]."""
    (largest, most_likely), (smallest, least_likely) = top_k(logits, most), top_k(logits, most, largest=False)
    return TopTokens(most_likely, largest, least_likely, smallest)


def entropy(logits: Tensor) -> Tensor:
    """[...]: entropy in nats of the softmax of logits [..., vocab]."""
    return entropy_and_top(logits)[0]


def entropy_and_top(logits: Tensor) -> tuple[Tensor, Tensor]:
    """[...] each: entropy in nats and largest probability of the softmax of logits [..., vocab]."""
    rows = logits.reshape(-1, logits.shape[-1])
    at_once = max(1, CACHED_LOGITS // rows.shape[1]) if rows.device.type == "cpu" else len(rows)
    entropies, tops = [], []
    for chunk in rows.split(max(1, at_once)):
        below = chunk - chunk.amax(-1, keepdim=True)  # so that the largest weighs 1
        weights = below.exp()
        total = weights.sum(-1)
        entropies.append(total.log() - weights.mul_(below).sum(-1) / total)
        tops.append(1 / total)
    shape = logits.shape[:-1]
    return torch.cat(entropies).view(shape), torch.cat(tops).view(shape)


def ranks(logits: Tensor, token: int) -> Tensor:
    """[...]: how many tokens of logits [..., vocab] are above `token`; 0 is the top."""
    return (logits > logits[..., token, None]).sum(-1)
