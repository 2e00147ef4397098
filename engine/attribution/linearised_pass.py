"""A pass whose backward direction is linearised: relevance patching (RelP; Jafari et al. 2025, arXiv 2508.21258).

Values stay the model's own; what is differentiated is replaced (METHOD, "Edge scores"):

1. Attention patterns are held: queries and keys get no gradient, values do (fast_model.hidden).
2. Norms hold their scale, by a hook on each.
3. An activation function f multiplies with its ratio f(x) / x, which is held; of a product of gate and up branch each
   gets half of the gradient. Hooks on the modules around it replace what the MLP's last weights read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from engine.models.fast_model import Block, final_norm_of
from engine.models.norms import Norm

SMALLEST = 1e-6  # of |x|: below, the ratio f(x) / x is taken at this x

Before = dict[nn.Module, Tensor]  # the last output of a module


def linearising_hooks(model: Any, blocks: Sequence[Block]) -> list[RemovableHandle]:
    """Of 2. and 3., for one pass; to be set before any hook that wants the gradient at what an MLP's neurons write."""
    handles = [final_norm_of(model).register_forward_hook(_hold_scale)]
    for block in blocks:
        handles += [norm.register_forward_hook(_hold_scale) for norm in (block.ln1, block.ln2)]
        handles += _linearise_neurons(block)
    return handles


def _hold_scale(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    x, norm = inputs[0], Norm.of(module)
    y = norm.apply_with_frozen_scale(x.detach().float(), x.float())
    return (y if norm.bias is None else y + norm.bias).to(output.dtype)


def _linearise_neurons(block: Block) -> list[RemovableHandle]:
    """Replace what `block.down` reads by the same value with another derivative."""
    outputs: Before = {}
    kept = [module.register_forward_hook(partial(_keep, outputs)) for module in (block.gate, block.up) if module]

    def linearised(module: nn.Module, inputs: object) -> tuple[Tensor]:
        branches = [outputs.pop(branch) for branch in (block.gate, block.up) if branch]
        return (_product(block.activation, *branches),)

    return [*kept, block.down.register_forward_pre_hook(linearised)]


def _keep(outputs: Before, module: nn.Module, inputs: object, output: Tensor) -> None:
    outputs[module] = output


def _product(activation: Callable[[Tensor], Tensor], x: Tensor, up: Tensor | None = None) -> Tensor:
    """f(x) * up, or f(x) alone, [batch, pos, neuron]."""
    away = x.detach().float()
    away = torch.where(away.abs() < SMALLEST, SMALLEST, away)
    ratio = (activation(away) / away).to(x.dtype)
    if up is None:
        return ratio * x
    return ((ratio * up).detach() * x + (ratio * x).detach() * up) / 2
