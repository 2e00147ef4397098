"""Adapters in PEFT's folder format, written without PEFT."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 12, "bias": "none", "lora_dropout": 0.1, "target_modules": ["q"]}


def adapter(
    folder: Path,
    weights: dict[str, Tensor],
    names: Sequence[str],
    mask: int | None = None,
    seed: int = 0,
    **config: Any,
) -> dict[str, Tensor]:
    """Write random factors for the named weights, and a mask's embedding of `mask` numbers; returns all of it."""
    generator = torch.Generator().manual_seed(seed)
    rank = {**CONFIG, **config}["r"]
    tensors = {}
    for name in names:
        out, into = weights[name].shape
        key = f"base_model.model.{name.removesuffix('.weight')}"
        tensors[f"{key}.lora_A.weight"] = torch.randn(rank, into, generator=generator)
        tensors[f"{key}.lora_B.weight"] = torch.randn(out, rank, generator=generator)
    if mask is not None:
        tensors["mask_embedding"] = torch.randn(1, mask, generator=generator)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **config}))
    return tensors
