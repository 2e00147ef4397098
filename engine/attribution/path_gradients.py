"""What an attribution keeps of its passes: differences of what sources write, and gradients summed along the path.

Everything is recorded by hooks on the plain model (engine/models/fast_model.py); gradients of heads come from its
attention. An MLP and the logits read the residual through an alias of their own, whose gradient is METHOD's G at that
point. Of heads there are sums in head space and a scalar per token, head and point, with the residuals that the scalars
multiply.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from engine.models.fast_model import Block, HeadGradients, final_norm_of
from engine.models.norms import Norm, rotate, rotate_back

Sums = dict[int, Tensor]  # by layer, in fp32


class ActivationDifference:
    """Clean minus corrupted run of what sources are made of; dictionaries are by layer."""

    def __init__(self, blocks: Sequence[Block], embedding: Tensor) -> None:
        self.embedding = embedding  # [batch, pos, d_model]
        self.heads: dict[int, Tensor] = {}  # z [batch, pos, head * d_head]
        self.mlps: dict[int, Tensor] = {}  # [batch, pos, d_model]
        self.neurons: dict[int, Tensor] = {}  # [batch, pos, neuron]
        self._blocks = blocks

    def hooks(self) -> list[RemovableHandle]:
        """To be set for the clean run, and again for the corrupted one."""
        handles = []
        for layer, block in enumerate(self._blocks):
            handles.append(block.out.register_forward_pre_hook(partial(_keep_input, self.heads, layer)))
            handles.append(block.down.register_forward_pre_hook(partial(_keep_input, self.neurons, layer)))
            handles.append(block.mlp.register_forward_hook(partial(_keep_output, self.mlps, layer)))
        return handles


class Path:
    """Sums over integration points; lists are by layer, inner lists by point."""

    def __init__(self, model: Any, blocks: Sequence[Block], halves: Tensor, scales_held: bool = False) -> None:
        """`halves` [2, batch] is 1 where a row belongs to the even or to the odd examples.

        `scales_held`: norms are differentiated with their scale held, so that there are no residuals and norm terms.
        """
        self.residuals: list[list[Tensor]] = [[] for _ in blocks]  # centred x_k [batch, pos, d_model]
        self.norm_terms: list[list[Tensor]] = [[] for _ in blocks]  # c_k [3, batch, head, pos]
        self.heads: Sums = {}  # sum of g_k / r_k [3, batch, head, pos, d_head]
        self.mlps: Sums = {}  # G [batch, pos, d_model]
        self.logits: Sums = {}  # G [batch, pos, d_model], one entry
        self.neurons: Sums = {}  # scores [2, neuron], of both halves
        self._model, self._blocks, self._halves, self._scales_held = model, blocks, halves, scales_held
        self._norms = [Norm.of(block.ln1) for block in blocks]
        self._scales: dict[int, Tensor] = {}  # r at the current point [batch, 1, pos, 1]
        self._raw: dict[tuple[int, str], Tensor] = {}  # q and k before their norms [batch, head, pos, d_head]
        self._constants: dict[int, list[Tensor]] = {}
        self._rotation: tuple[Tensor, Tensor] | None = None  # cos and sin [1, pos, d_head]

    def hooks(self, difference: ActivationDifference) -> list[RemovableHandle]:
        """To be set for the pass at one point, whose attention calls `add_heads`."""
        handles = [final_norm_of(self._model).register_forward_pre_hook(partial(_sum_reads, self.logits, 0))]
        if hasattr(self._model.base_model, "rotary_emb"):
            handles.append(self._model.base_model.rotary_emb.register_forward_hook(self._keep_rotation))
        for layer, block in enumerate(self._blocks):
            handles.append(block.ln1.register_forward_pre_hook(partial(self._keep_residual, layer)))
            handles.append(block.ln2.register_forward_pre_hook(partial(_sum_reads, self.mlps, layer)))
            handles.append(block.down.register_forward_pre_hook(partial(self._sum_neurons, difference.neurons, layer)))
            for part, module in block.norms.items():
                handles.append(module.register_forward_pre_hook(partial(self._keep_raw, (layer, part))))
        return handles

    def add_heads(self, at: HeadGradients) -> None:
        """Add a layer's gradients at one point."""
        layer, inverse = at.layer, 1 / self._scales[at.layer]
        values, gradients = [at.q, at.k, at.v], [at.dq.float(), at.dk.float(), at.dv.float()]
        if self._scales_held:
            _add(self.heads, layer, torch.stack(gradients).mul_(inverse))
            return
        if self._blocks[layer].norms:
            values[:2] = self._raw[layer, "q"], self._raw[layer, "k"]
            gradients[:2] = self._before_norms(layer, gradients[0], gradients[1])
        linear = [x.float() - b for x, b in zip(values, self._constants_of(layer), strict=True)]
        products = torch.stack([_products(x, g) for x, g in zip(linear, gradients, strict=True)])
        d_model = self.residuals[layer][-1].shape[-1]
        self.norm_terms[layer].append(products * inverse[..., 0] ** 2 / d_model)
        _add(self.heads, layer, torch.stack(gradients).mul_(inverse))

    def finish(self) -> None:
        """Undo the rotation of queries and keys (RoPE), in which sums over points were taken."""
        for layer, heads in self.heads.items():
            if not self._blocks[layer].norms:
                for part in heads[:2]:
                    part.copy_(self._rotated_back(part))

    def _before_norms(self, layer: int, dq: Tensor, dk: Tensor) -> list[Tensor]:
        """Gradients at queries and keys before their own norms and the rotation."""
        gradients = []
        for (part, module), g in zip(self._blocks[layer].norms.items(), (dq, dk), strict=True):
            raw = self._raw[layer, part].float()[:, :, None]  # [batch, head of its own, 1, pos, d_head]
            grouped = self._rotated_back(g).unflatten(1, (raw.shape[1], -1))
            gradients.append(Norm.of(module).vjp(raw, grouped).flatten(1, 2))
        return gradients

    def _rotated_back(self, g: Tensor) -> Tensor:
        return g if self._rotation is None else rotate_back(g, *(part.to(g) for part in self._rotation))

    def _constants_of(self, layer: int) -> list[Tensor]:
        """Whatever in q, k and v does not depend on the residual's direction, rotated as they are.

        [head, pos, d_head] each, pos being 1 where nothing is rotated.
        """
        if layer not in self._constants:
            constants = [constant[:, None] for constant in self._blocks[layer].constants(self._norms[layer])]
            if self._rotation is not None and not self._blocks[layer].norms:
                cos, sin = (part.to(constants[0]) for part in self._rotation)
                constants[:2] = (rotate(constant[None], cos, sin)[0] for constant in constants[:2])
            self._constants[layer] = constants
        return self._constants[layer]

    def _keep_rotation(self, module: nn.Module, inputs: object, output: tuple[Tensor, Tensor]) -> None:
        self._rotation = output

    def _keep_residual(self, layer: int, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x, norm = inputs[0].detach(), self._norms[layer]
        if not self._scales_held:
            self.residuals[layer].append(norm.centre(x))
        self._scales[layer] = norm.scale(x.float())[:, None]

    def _keep_raw(self, name: tuple[int, str], module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._raw[name] = inputs[0].detach().transpose(1, 2)

    def _sum_neurons(
        self, differences: dict[int, Tensor], layer: int, module: nn.Module, inputs: tuple[Tensor, ...]
    ) -> None:
        def score(g: Tensor) -> None:
            by_row = torch.linalg.vecdot(differences[layer].float(), g.float(), dim=1)  # [batch, neuron]
            _add(self.neurons, layer, self._halves.to(by_row) @ by_row)

        inputs[0].register_hook(score)


def _keep_input(kept: dict[int, Tensor], layer: int, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    _subtract(kept, layer, inputs[0].detach())


def _keep_output(kept: dict[int, Tensor], layer: int, module: nn.Module, inputs: object, output: Tensor) -> None:
    _subtract(kept, layer, output.detach())


def _subtract(kept: dict[int, Tensor], layer: int, x: Tensor) -> None:
    """Keep what comes first, and take off what comes second."""
    kept[layer] = kept[layer].sub_(x) if layer in kept else x


def _sum_reads(sums: Sums, layer: int, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Give a norm an alias of the residual, so that the alias's gradient is what this reader alone takes from it."""
    alias = inputs[0].view_as(inputs[0])
    alias.register_hook(lambda g: _add(sums, layer, g))
    return (alias, *inputs[1:])


def _add(sums: Sums, layer: int, x: Tensor) -> None:
    sums[layer] = sums[layer].add_(x) if layer in sums else x.to(torch.float32, copy=True)


def _products(x: Tensor, g: Tensor) -> Tensor:
    """[batch, head, pos] inner products; `x` has one head for each group of heads of `g`."""
    return (x[:, :, None] * g.unflatten(1, (x.shape[1], -1))).sum(-1).flatten(1, 2)
