"""What is kept of a clean or corrupted run: residuals at every read, and what heads and MLPs computed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from engine.models.fast_model import Block, final_norm_of

Kept = dict[int, Tensor]  # by layer


class KeptRun:
    """Everything [row, pos, ...], on the device where the model computed it."""

    def __init__(self) -> None:
        self.before: Kept = {}  # residual before the norm of a layer's attention [row, pos, d_model]
        self.between: Kept = {}  # residual before the norm of its MLP [row, pos, d_model]
        self.heads: Kept = {}  # z [row, pos, head * d_head]
        self.mlps: Kept = {}  # [row, pos, d_model]
        self.last: Kept = {}  # residual before the final norm [row, pos, d_model], one entry

    def hooks(self, model: Any, blocks: Sequence[Block]) -> list[RemovableHandle]:
        """To be set for the pass of the inputs through a plain model."""
        handles = [final_norm_of(model).register_forward_pre_hook(partial(_keep_input, self.last, 0))]
        for layer, block in enumerate(blocks):
            handles.append(block.ln1.register_forward_pre_hook(partial(_keep_input, self.before, layer)))
            handles.append(block.ln2.register_forward_pre_hook(partial(_keep_input, self.between, layer)))
            handles.append(block.out.register_forward_pre_hook(partial(_keep_input, self.heads, layer)))
            handles.append(block.mlp.register_forward_hook(partial(_keep_output, self.mlps, layer)))
        return handles


class Rotation:
    """The model's rotary embeddings of the positions that it ran; none where it does not rotate."""

    def __init__(self) -> None:
        self.cos_sin: tuple[Tensor, Tensor] | None = None  # [1, pos, d_head] each

    def hooks(self, model: Any) -> list[RemovableHandle]:
        if not hasattr(model.base_model, "rotary_emb"):
            return []
        return [model.base_model.rotary_emb.register_forward_hook(self._keep)]

    def _keep(self, module: nn.Module, inputs: object, output: tuple[Tensor, Tensor]) -> None:
        self.cos_sin = output


def _keep_input(kept: Kept, layer: int, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    kept[layer] = inputs[0]


def _keep_output(kept: Kept, layer: int, module: nn.Module, inputs: object, output: Tensor) -> None:
    kept[layer] = output
