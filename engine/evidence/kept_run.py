"""What is kept of a clean or corrupted run: residuals at every read, and what heads and MLPs computed.

Where positions before `start` are the same in every run (engine/evidence/changed_positions.py), only their keys and
values are kept, which attention of later positions reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from engine.models.fast_model import Block, final_norm_of

Kept = dict[int, Tensor]  # by layer


class EarlierKeys:
    """Keys and values of the positions before `start`, by layer, given to attention as transformers' cache.

    The first pass, of whole inputs, fills it; later ones have the positions from `start` on.
    """

    def __init__(self, start: int) -> None:
        self._start = start
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}  # [row, key head, pos, d_head] each

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: object) -> tuple[Tensor, Tensor]:
        """What attention reads where it has computed `keys` and `values` [copy * row, key head, pos, d_head]."""
        if layer not in self._kept:
            self._kept[layer] = keys[:, :, : self._start].clone(), values[:, :, : self._start].clone()
            return keys, values
        earlier_keys, earlier_values = (kept.repeat(len(keys) // len(kept), 1, 1, 1) for kept in self._kept[layer])
        return torch.cat([earlier_keys, keys], 2), torch.cat([earlier_values, values], 2)

    def joined(self, layer: int, heads: NDArray[np.intp], n_heads: int, later: Sequence[Tensor]) -> list[Tensor]:
        """Keys and values of every position for some heads; `later` and result [head, circuit, row, pos, d_head]."""
        joined = []
        for kept, own in zip(self._kept[layer], later, strict=True):
            earlier = kept.to(own)[:, heads // (n_heads // kept.shape[1])].transpose(0, 1)[:, None]
            joined.append(torch.cat([earlier.expand(-1, own.shape[1], -1, -1, -1), own], 3))
        return joined


class KeptRun:
    """Everything [row, pos, ...] from position `start` on, on the device where the model computed it."""

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.earlier = EarlierKeys(start) if start else None
        self.before: Kept = {}  # residual before the norm of a layer's attention [row, pos, d_model]
        self.between: Kept = {}  # residual before the norm of its MLP [row, pos, d_model]
        self.heads: Kept = {}  # z [row, pos, head * d_head]
        self.mlps: Kept = {}  # [row, pos, d_model]
        self.last: Kept = {}  # residual before the final norm [row, pos, d_model], one entry

    def since(self, start: int) -> KeptRun:
        """Of a run that was kept from the first position on, what it has from position `start` on, as views."""
        later = KeptRun()
        later.before, later.between, later.heads, later.mlps, later.last = (
            {layer: x[:, start:] for layer, x in kept.items()}
            for kept in (self.before, self.between, self.heads, self.mlps, self.last)
        )
        return later

    def attended(self, layer: int, heads: NDArray[np.intp], n_heads: int, values: Sequence[Tensor]) -> list[Tensor]:
        """What some heads attend with: q as it is, k and v of the positions before `start` as well.

        `values`: q, k and v [head, circuit, row, pos, d_head]; every query head has a key and a value of its own.
        """
        query, *later = values
        return [query, *(later if self.earlier is None else self.earlier.joined(layer, heads, n_heads, later))]

    def hooks(self, model: Any, blocks: Sequence[Block]) -> list[RemovableHandle]:
        """To be set for the pass of the inputs through a plain model."""
        handles = [final_norm_of(model).register_forward_pre_hook(partial(self._keep_input, self.last, 0))]
        for layer, block in enumerate(blocks):
            handles.append(block.ln1.register_forward_pre_hook(partial(self._keep_input, self.before, layer)))
            handles.append(block.ln2.register_forward_pre_hook(partial(self._keep_input, self.between, layer)))
            handles.append(block.out.register_forward_pre_hook(partial(self._keep_input, self.heads, layer)))
            handles.append(block.mlp.register_forward_hook(partial(self._keep_output, self.mlps, layer)))
            if self.earlier is not None:
                handles.append(block.attention.register_forward_pre_hook(self._keep_keys, with_kwargs=True))
        return handles

    def _keep_input(self, kept: Kept, layer: int, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        kept[layer] = self._later(inputs[0])

    def _keep_output(self, kept: Kept, layer: int, module: nn.Module, inputs: object, output: Tensor) -> None:
        kept[layer] = self._later(output)

    def _keep_keys(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return args, {**kwargs, "past_key_values": self.earlier}

    def _later(self, x: Tensor) -> Tensor:
        """A copy where it is a part, so that the whole can go."""
        return x[:, self.start :].clone() if self.start else x


class Rotation:
    """The model's rotary embeddings of the positions that it ran; none where it does not rotate."""

    def __init__(self) -> None:
        self.cos_sin: tuple[Tensor, Tensor] | None = None  # [1, pos, d_head] each

    def hooks(self, model: Any) -> list[RemovableHandle]:
        if not hasattr(model.base_model, "rotary_emb"):
            return []
        return [model.base_model.rotary_emb.register_forward_hook(self._keep)]

    def since(self, start: int) -> tuple[Tensor, Tensor] | None:
        """cos and sin from position `start` on."""
        return None if self.cos_sin is None else (self.cos_sin[0][:, start:], self.cos_sin[1][:, start:])

    def _keep(self, module: nn.Module, inputs: object, output: tuple[Tensor, Tensor]) -> None:
        self.cos_sin = output
