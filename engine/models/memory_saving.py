"""Modules that keep less for the backward pass than transformers' own, and compute the same.

Of what a layer keeps, most belongs to its MLP and its norms: a gated MLP keeps the gate, what the gate lets through and
what it is multiplied with; a norm keeps its input in fp32. Here the product is computed again when it is needed, and
norms are torch's own, which on a GPU are one kernel and keep their input as it is.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

SILU = ("SiLU", "SiLUActivation")


def save_memory(model: nn.Module) -> None:
    """Replace norms and gated MLPs of a model, in place; whatever is not known stays as it is."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if hasattr(child, "_hf_hook"):  # accelerate moves what it reads from device to device
                continue
            if type(child).__name__.endswith("RMSNorm") and hasattr(child, "variance_epsilon"):
                setattr(module, name, _norm_like(child))
            elif hasattr(child, "gate_proj") and type(getattr(child, "act_fn", None)).__name__ in SILU:
                child.forward = MethodType(_gated_forward, child)


def _norm_like(module: Any) -> nn.RMSNorm:
    """torch's norm with the same weight."""
    norm = nn.RMSNorm(module.weight.shape, eps=float(module.variance_epsilon), device="meta")
    norm.weight = module.weight
    return norm.train(module.training)


def _gated_forward(mlp: Any, x: Tensor) -> Tensor:
    return mlp.down_proj(_Gated.apply(mlp.gate_proj(x), mlp.up_proj(x)))


class _Gated(torch.autograd.Function):
    """silu(gate) * up, from which the backward pass keeps gate and up only."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return silu(gate) * up

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(g * up, gate), g * silu(gate)
