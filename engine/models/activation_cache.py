"""The activations of one forward pass, by hook name, and the weights that components read and write with.

A model can be spread over several GPUs, a few layers on each. Whatever is taken out of it here is moved to the one of
the unembedding (`model.device`), where it can be combined with what comes from other layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from engine.models.model import Model
from engine.models.norms import Norm

ActivationCache = dict[str, Tensor]


@contextmanager
def recording(model: Model, names: Sequence[str], embedding: Tensor | None = None) -> Iterator[ActivationCache]:
    """Record the named hooks of the forward passes run inside, keeping each tensor on the autograd path.

    `embedding` [batch, pos, d_model] replaces the token embedding.
    """
    cache: ActivationCache = {}

    def keep(name: str, tensor: Tensor, hook: Any) -> Tensor:
        cache[name] = tensor.to(model.device)
        # Returned, not only kept: some hooks get a reshaped view, and gradients must flow through what is kept.
        return tensor

    # Named by partial because a hook's own name is canonical, not the alias in `names`.
    hooks: list[tuple[str, Any]] = [(name, partial(keep, name)) for name in names]
    if embedding is not None:
        hooks.insert(0, ("embed.hook_out", lambda tensor, hook: embedding))
    with model.bridge.hooks(fwd_hooks=hooks):
        yield cache


def has_hook(model: Model, name: str) -> bool:
    return name in model.bridge.hook_dict


def ln1(model: Model, layer: int) -> Norm:
    """The norm before the attention of a layer."""
    return Norm.of(model.bridge.blocks[layer].ln1.original_component).on(model.device)


def ln2(model: Model, layer: int) -> Norm:
    """The norm before the MLP of a layer."""
    return Norm.of(model.bridge.blocks[layer].ln2.original_component).on(model.device)


def final_norm(model: Model) -> Norm:
    """The norm before the unembedding."""
    return Norm.of(model.bridge.ln_final.original_component).on(model.device)


def qkv_weights(model: Model, layer: int) -> Tensor:
    """[3, head, d_model, d_head] in fp32, keys and values repeated for every query head."""
    attn = model.bridge.blocks[layer].attn
    heads = model.graph.n_heads
    return torch.stack([repeat_heads(w.float(), heads, 0) for w in (attn.W_Q, attn.W_K, attn.W_V)]).to(model.device)


def output_weights(model: Model, layer: int) -> Tensor:
    """[head, d_head, d_model] in fp32."""
    return model.bridge.blocks[layer].attn.W_O.to(model.device).float()


def neuron_weights(model: Model, layer: int, name: str) -> Any:
    """W_in or W_gate [d_model, neuron] or W_out [neuron, d_model] of an MLP; None for the gate of one without."""
    weights = getattr(model.bridge.blocks[layer].mlp, name)
    return None if weights is None else weights.to(model.device)


def embedding_weights(model: Model) -> Tensor:
    """W_E [vocab, d_model]."""
    return model.bridge.W_E.to(model.device)


def repeat_heads(x: Tensor, heads: int, dim: int) -> Tensor:
    """`x` [..., key head, ...] -> [..., head, ...] along `dim`: grouped keys or values, one for every query head."""
    return x if x.shape[dim] == heads else x.repeat_interleave(heads // x.shape[dim], dim)
