"""Sliding windows of attention: a layer that has one sees only so many tokens before each token, itself among them.

Models get their attention mask from outside (engine/models/model.py), so a window is put into it on its way into the
attention of each layer that has one, in the bridge and in the plain model alike.
tests/engine/models/test_sliding_windows.py compares logits with transformers' own.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import UserError


def windows_of(config: Any, layers: int) -> list[int | None]:
    """The window of every layer, as transformers' classes take it from their config; None: sees everything."""
    window = getattr(config, "sliding_window", None)
    if config.model_type not in ("mistral", "qwen2", "qwen3") or window is None:
        return [None] * layers
    types = getattr(config, "layer_types", None) if config.model_type != "mistral" else None
    return [window if types is None or types[layer] == "sliding_attention" else None for layer in range(layers)]


def narrow(attentions: Iterable[nn.Module], windows: Iterable[int | None]) -> None:
    """Put every layer's window into the mask that its attention gets."""
    for attention, window in zip(attentions, windows, strict=True):
        if window is not None:
            attention.register_forward_pre_hook(partial(_narrow_mask, window), with_kwargs=True)


def refuse_beyond(windows: Iterable[int | None], length: int) -> None:
    """An MDM reads in both directions, and nothing says how its window lies then.

    Raises:
        UserError: an input is longer than a window.
    """
    shortest = min((window for window in windows if window is not None), default=None)
    if shortest is not None and length > shortest:
        raise UserError(
            f"An input has {length} tokens, but this MDM's config gives it a sliding window of {shortest}, and nothing "
            "says how such a window lies when a model reads in both directions. Use shorter prompts, or take "
            "sliding_window out of its config.json where it was trained without."
        )


def narrowed(bias: Tensor, window: int | None) -> Tensor:
    """A causal mask [batch, 1, new, pos] for a layer of this window; the last `new` of all positions attend."""
    new, size = bias.shape[-2:]
    if window is None or size <= window:
        return bias
    outside = torch.ones(new, size, dtype=torch.bool, device=bias.device).tril(size - new - window)
    return bias.masked_fill(outside, torch.finfo(bias.dtype).min)


def _narrow_mask(window: int, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args, {**kwargs, "attention_mask": narrowed(kwargs["attention_mask"], window)}
