"""Low-rank adapters (LoRA, Hu et al. 2022, arXiv 2106.09685) of every linear map of a Llama's layers, to be trained.

1. A map W becomes W + s B A, with B [out, rank] and A [rank, in] in fp32 and W frozen; s = alpha / rank.
2. The sum is made once an optimiser step in the precision of the computation, so that a forward pass costs no more
   than without an adapter, and a backward pass only thin products more: dB = s g^T (x A^T), dA = s (g B)^T x.
3. All factors, and the embedding of a mask token, lie in one vector: one tensor to optimise, to average and to store.

Saved, they are a folder in the format of the PEFT library: adapter_config.json and adapter_model.safetensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import embedding

from engine.files.writing import write_whole
from engine.models.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MASK_EMBEDDING, PREFIX

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

MAPS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SAVED = torch.bfloat16


@dataclass(frozen=True)
class Shape:
    rank: int = 16
    alpha: float = 32.0

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


class _Product(torch.autograd.Function):
    """x (W + s B A)^T with gradients of x, A and B, but none of W."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, merged: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(x, merged, a, b)
        ctx.scale = scale
        return x @ merged.T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, merged, a, b = ctx.saved_tensors
        g, scale = gradients[0].flatten(0, -2), ctx.scale  # [token, out]
        rows = x.flatten(0, -2)  # [token, in]
        da = (g @ b.to(g.dtype)).T @ rows
        db = g.T @ (rows @ a.to(g.dtype).T)
        return (g @ merged).view_as(x), None, da.float() * scale, db.float() * scale, None


class AdaptedLinear(nn.Module):
    """A linear map without a bias, with its adapter. `merged` has to be made anew when the factors have changed."""

    def __init__(self, weight: Tensor, a: nn.Parameter, b: nn.Parameter, scale: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight, self.merged = weight, weight.to(dtype, copy=True)
        self.a, self.b, self.scale = a, b, scale

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = _Product.apply(x, self.merged, self.a, self.b, self.scale)
        return product

    @torch.no_grad()
    def merge(self) -> None:
        self.merged.copy_(self.merged_with(self.a, self.b))

    def merged_with(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.addmm(self.weight, b, a, alpha=self.scale)


class AdaptedModel:
    """A Llama whose layers' linear maps are adapted in place; nothing else of it is trained but the mask's embedding.

    `vector`: all trained numbers; `gradient` gathers their gradients and is its `grad`.
    """

    def __init__(self, model: LlamaForCausalLM, shape: Shape, seed: int, dtype: torch.dtype) -> None:
        chosen = {name: module for name, module in model.named_modules() if name.endswith(MAPS)}
        weights = {name: linear.weight.detach().float().clone() for name, linear in chosen.items()}
        self.shape, self.model = shape, model.requires_grad_(False)
        nn.Module.to(model, dtype)
        self.embeddings: Tensor = model.model.embed_tokens.weight.detach()  # [vocab, d_model], which also unembeds
        self.mask_id = len(self.embeddings)  # the token after the last one
        sizes: dict[str, tuple[int, int]] = {}
        for name, linear in chosen.items():
            sizes[f"{name}.lora_A.weight"] = (shape.rank, linear.in_features)
            sizes[f"{name}.lora_B.weight"] = (linear.out_features, shape.rank)
        sizes[MASK_EMBEDDING] = (1, self.embeddings.shape[1])
        self.sizes = sizes
        self.vector = nn.Parameter(torch.zeros(sum(math.prod(size) for size in sizes.values())))
        self.gradient = self.vector.grad = torch.zeros_like(self.vector)
        self._parts = {name: nn.Parameter(part) for name, part in self.parts_of(self.vector.detach()).items()}
        for name, part in self.parts_of(self.gradient).items():
            self._parts[name].grad = part  # backward passes add to the whole vector's gradient
        self._start(seed)
        self.linears: dict[str, AdaptedLinear] = {}
        for name, weight in weights.items():
            a, b = (self._parts[f"{name}.lora_{factor}.weight"] for factor in "AB")
            self.linears[name] = AdaptedLinear(weight, a, b, shape.scale, dtype)
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, self.linears[name])

    @torch.no_grad()
    def _start(self, seed: int) -> None:
        """A as PEFT draws it, B zero, and the mask the mean of all tokens."""
        generator = torch.Generator().manual_seed(seed)
        for name, part in self._parts.items():
            if ".lora_A." in name:
                part.uniform_(-1, 1, generator=generator).div_(math.sqrt(part.shape[1]))
        self._parts[MASK_EMBEDDING].copy_(self.embeddings.float().mean(0, keepdim=True))

    @torch.no_grad()
    def build_on(self, vector: Tensor, seed: int) -> None:
        """Merge the adapter in `vector`, rounded as it is saved, into the frozen weights; begin a new one on top.

        `merge` has to follow before the next pass.
        """
        parts = {name: part.to(SAVED).float() for name, part in self.parts_of(vector).items()}
        for name, linear in self.linears.items():
            a, b = (parts[f"{name}.lora_{factor}.weight"] for factor in "AB")
            linear.weight.copy_(linear.merged_with(a, b))
        self.vector.zero_()
        self._start(seed)

    def parts_of(self, vector: Tensor) -> dict[str, Tensor]:
        """What lies in a vector like `vector`, by name."""
        sizes = self.sizes.values()
        flat = vector.split([math.prod(size) for size in sizes])
        return {name: part.view(size) for (name, size), part in zip(self.sizes.items(), flat, strict=True)}

    def merge(self) -> None:
        """Take the trained numbers as they are now for the next passes."""
        for linear in self.linears.values():
            linear.merge()

    @torch.no_grad()
    def weights(self, vector: Tensor) -> dict[str, Tensor]:
        """The weights of the plain model that a vector of trained numbers makes, with the mask as its last token."""
        parts = self.parts_of(vector)
        adapted = {
            f"{name}.weight": linear.merged_with(*(parts[f"{name}.lora_{factor}.weight"] for factor in "AB"))
            for name, linear in self.linears.items()
        }
        rows = torch.cat([self.embeddings.float(), parts[MASK_EMBEDDING]])
        norms = {name: tensor for name, tensor in self.model.state_dict().items() if name.endswith("norm.weight")}
        return adapted | norms | {"model.embed_tokens.weight": rows, "lm_head.weight": rows}

    def logits(self, ids: Tensor, bias: Tensor, at: Tensor) -> Tensor:
        """[read, vocab] where `at` [batch, pos] is true, for `ids` [batch, pos] and an additive mask of attention.

        The vocabulary is the base model's: the mask is read, never predicted.
        """
        mask = self._parts[MASK_EMBEDDING].to(self.embeddings.dtype)  # [1, d_model]
        plain = embedding(ids.clamp(max=self.mask_id - 1), self.embeddings)
        inputs = torch.where((ids == self.mask_id)[..., None], mask, plain)
        hidden = self.model.model(inputs_embeds=inputs, attention_mask=bias, use_cache=False).last_hidden_state
        return (hidden[at] @ self.embeddings.T).float()


def save_adapter(folder: Path, tensors: Mapping[str, Tensor], shape: Shape, with_mask: bool) -> None:
    """Write a folder in PEFT's format, in `SAVED`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": shape.rank,
        "lora_alpha": shape.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "target_modules": list(MAPS),
        "base_model_name_or_path": None,
        "inference_mode": True,
    }
    kept = {name: tensor for name, tensor in tensors.items() if with_mask or name != MASK_EMBEDDING}
    stored = {
        name if name == MASK_EMBEDDING else PREFIX + name: tensor.to(SAVED).contiguous()
        for name, tensor in kept.items()
    }
    save_file(stored, folder / ADAPTER_WEIGHTS)
    write_whole(folder / ADAPTER_CONFIG, json.dumps(config, indent=1))


def read_adapter(folder: Path) -> dict[str, Tensor]:
    """The tensors of a saved adapter under their names in the model."""
    return {name.removeprefix(PREFIX): tensor.float() for name, tensor in load_file(folder / ADAPTER_WEIGHTS).items()}
