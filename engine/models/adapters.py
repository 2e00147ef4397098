"""Low-rank adapters (LoRA, Hu et al. 2022, arXiv 2106.09685) in PEFT's folder format, merged into their model.

1. adapter_config.json is checked: what changes the computation and is not known here is refused by its name.
2. In fp32, W becomes W + s B A for every pair of tensors ....lora_A.weight [rank, in] and ....lora_B.weight [out, rank]
   of adapter_model.safetensors, with s = lora_alpha / rank, or lora_alpha / sqrt(rank) with use_rslora. Where
   fan_in_fan_out is true, W is stored as [in, out].
3. The file may hold one tensor that is not PEFT's, `mask_embedding` [1, d_model]: the embedding of a mask token that
   the model does not have. It becomes the row behind the last token's, and the tokenizer gets the token, which
   adapter_config.json calls `mask_token`, else MASK. A tied unembedding gets the row too; no mask is ever predicted, as
   its logit is not read (engine/models/decoding.py).
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UserError, one_line, shortened
from engine.models.architecture import read_config
from engine.models.hub import INDEX, weight_files
from engine.models.model_files import (
    CONFIG,
    EMBEDDINGS,
    READ,
    header_of,
    is_there,
    read_table,
    refuse_irregular,
    refuse_irregular_in,
)
from engine.models.weights_identity import digest_of

if TYPE_CHECKING:
    from torch import Tensor

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."  # with which PEFT's names begin
FACTORS = (".lora_A.weight", ".lora_B.weight")
MASK_EMBEDDING, MASK = "mask_embedding", "<|mask|>"
UNEMBEDDING = "lm_head.weight"
# Fields that say how the adapter was trained, not what it computes.
WITHOUT_EFFECT = (
    "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "target_modules", "exclude_modules", "lora_dropout", "layers_to_transform", "layers_pattern", "megatron_core",
    "qalora_group_size", "eva_config", "ensure_weight_tying",
)  # fmt: skip
READ_HERE = ("peft_type", "r", "lora_alpha", "use_rslora", "fan_in_fan_out", "mask_token")
# What other fields may say: null, false, 0 and empty ask for nothing too.
ALLOWED: dict[str, tuple[Any, ...]] = {"bias": ("none",), "init_lora_weights": (True, "gaussian", "eva", "orthogonal")}


@dataclass(frozen=True)
class Adapter:
    """A folder that was checked: `scale` is s above, `rank` that of every pair of factors."""

    folder: Path
    rank: int
    scale: float
    transposed: bool
    mask_token: str

    @property
    def weights(self) -> Path:
        return self.folder / ADAPTER_WEIGHTS


def adapter_in(folder: Path) -> Adapter:
    """The adapter in a folder.

    Raises:
        UserError: there is none, or its config asks for something that is not known here.
    """
    file = folder / ADAPTER_CONFIG
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not is_there(folder / name):
            raise UserError(f"There is no adapter in {folder}: it needs {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}.")
        refuse_irregular(folder / name)
    config = read_table(file)
    if config.get("peft_type") != "LORA":
        raise UserError(f"{file} says peft_type = {shortened(config.get('peft_type'))}. Only LORA can be merged.")
    for name, value in config.items():
        if name in (*WITHOUT_EFFECT, *READ_HERE) or not value or value in ALLOWED.get(name, ()):
            continue
        raise UserError(f"{file} says {one_line(name, 40)} = {shortened(value)}, which can't be merged here.")
    rank: Any = config.get("r")
    alpha: Any = config.get("lora_alpha")
    if type(rank) is not int or rank < 1:
        raise UserError(f"{file} says r = {shortened(rank)}. It must be a whole number from 1 up.")
    if type(alpha) not in (int, float) or not math.isfinite(alpha):
        raise UserError(f"{file} says lora_alpha = {shortened(alpha)}. It must be a number.")
    mask = config.get("mask_token", MASK)
    if not isinstance(mask, str) or not mask:
        raise UserError(f"{file} says mask_token = {shortened(mask)}. It must be a token, as in {MASK}.")
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return Adapter(folder, rank, scale, bool(config.get("fan_in_fan_out")), mask)


def adapted_id(base: str, adapters: list[Path]) -> str:
    """What the numbers of an adapted model come from: sha256 over the id of its base and the files of the adapters.

    Raises:
        UserError: an adapter is not here, or can't be merged.
    """
    digest = hashlib.sha256(f"{base}\n".encode())
    for folder in adapters:
        adapter_in(folder)
        for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
            digest.update(f"{name} {digest_of(folder / name)}\n".encode())
    return digest.hexdigest()


def merge(base: Path, adapters: list[Path], folder: Path) -> None:
    """Write the model in `base` into a folder, in float32, with adapters merged into it one after the other.

    Raises:
        UserError: an adapter does not fit the model.
    """
    from safetensors.torch import save_file

    refuse_irregular_in(base)
    checked = [adapter_in(adapter) for adapter in adapters]
    unused = {adapter.folder: set(_factors(adapter)) for adapter in checked}
    mask = _add_mask(checked, base, folder)
    for file in weight_files(base):  # one at a time: there may not be room for more
        tensors = _float_tensors(file)
        for adapter in checked:
            names = unused[adapter.folder] & tensors.keys()
            _add_products(tensors, names, adapter)
            unused[adapter.folder] -= names
        if mask is not None:
            tensors = {name: mask.put_into(name, tensor) for name, tensor in tensors.items()}
        save_file(tensors, folder / file.name, metadata={"format": "pt"})
    for adapter in checked:
        if unused[adapter.folder]:
            raise UserError(
                f"The adapter in {adapter.folder} adapts {one_line(min(unused[adapter.folder]), 80)}, which the model "
                f"in {base} does not have. Name the model that it was trained for."
            )
    for name in (INDEX, *READ, "chat_template.jinja"):
        for file in base.glob(name):
            if file.suffix != ".safetensors" and not is_there(folder / file.name):
                shutil.copyfile(file, folder / file.name)


def _factors(adapter: Adapter) -> dict[str, tuple[str, str]]:
    """The names of A and B in the adapter's file by the weight that they change."""
    stored = header_of([adapter.weights])
    factors: dict[str, tuple[str, str]] = {}
    for name in stored:
        if name == MASK_EMBEDDING:
            continue
        suffix = next((suffix for suffix in FACTORS if name.endswith(suffix)), None)
        if suffix is None or not name.startswith(PREFIX):
            raise UserError(
                f"{adapter.weights} has a tensor {one_line(name, 120)}, which can't be merged: only those of LoRA are "
                "known."
            )
        a, b = (name.removesuffix(suffix) + factor for factor in FACTORS)
        if not {a, b} <= stored.keys():
            raise UserError(f"{adapter.weights} lacks {one_line(b if a in stored else a, 120)}. Get the file again.")
        factors[name.removeprefix(PREFIX).removesuffix(suffix) + ".weight"] = a, b
    return factors


def _add_products(tensors: dict[str, Tensor], names: set[str], adapter: Adapter) -> None:
    """Add s B A of every named weight."""
    from safetensors import safe_open

    factors = _factors(adapter)
    with safe_open(adapter.weights, "pt") as file:
        for name in sorted(names):
            a, b = (file.get_tensor(key).float() for key in factors[name])
            if a.ndim != 2 or b.ndim != 2 or not a.shape[0] == b.shape[1] == adapter.rank:
                raise UserError(
                    f"The factors of {name} in {adapter.weights} are {list(a.shape)} and {list(b.shape)}, which are "
                    f"none of rank {adapter.rank}, as its config says."
                )
            product = adapter.scale * (b @ a)
            product = product.T if adapter.transposed else product
            if product.shape != tensors[name].shape:
                raise UserError(
                    f"The adapter in {adapter.folder} has {list(product.shape)} numbers for {name}, the model has "
                    f"{list(tensors[name].shape)}. Name the model that it was trained for."
                )
            tensors[name] = tensors[name] + product


@dataclass(frozen=True)
class _Mask:
    """The embedding [1, d_model] of a mask token, and its number: that of an unused row or of the next one."""

    row: Tensor
    number: int
    adapter: Adapter

    def put_into(self, name: str, tensor: Tensor) -> Tensor:
        """The embedding with the mask's row; an unembedding of its own with zeros there, where it has no such row."""
        import torch

        if name.endswith(EMBEDDINGS):
            row = self.row
        elif name.endswith(UNEMBEDDING) and len(tensor) == self.number:
            row = torch.zeros_like(self.row)
        else:
            return tensor
        if tensor.shape[1] != row.shape[1]:
            raise UserError(
                f"{MASK_EMBEDDING} in {self.adapter.weights} has {row.shape[1]} numbers, a token of the model has "
                f"{tensor.shape[1]}. Name the model that the adapter was trained for."
            )
        if self.number > len(tensor):
            raise UserError(f"The mask would be token {self.number}, but the model knows {len(tensor)} tokens only.")
        return torch.cat([tensor[: self.number], row, tensor[self.number + 1 :]])


def _add_mask(adapters: list[Adapter], base: Path, folder: Path) -> _Mask | None:
    """The mask that the last adapter with one brings along; tokenizer and config with it are written."""
    from safetensors import safe_open

    bringing = [adapter for adapter in adapters if MASK_EMBEDDING in header_of([adapter.weights])]
    if not bringing:
        return None
    adapter = bringing[-1]
    with safe_open(adapter.weights, "pt") as file:
        row = file.get_tensor(MASK_EMBEDDING).float()
    if row.ndim != 2 or len(row) != 1:
        raise UserError(f"{MASK_EMBEDDING} in {adapter.weights} is {list(row.shape)}. It must be [1, d_model].")
    number = _add_mask_token(base, folder, adapter.mask_token)
    config = read_config(base)
    config["vocab_size"] = max(number + 1, config.get("vocab_size") or 0)
    (folder / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
    return _Mask(row, number, adapter)


def _add_mask_token(base: Path, folder: Path, token: str) -> int:
    """Write the base's tokenizer with a mask token; its number."""
    from tokenizers import AddedToken, Tokenizer

    file, settings = base / "tokenizer.json", "tokenizer_config.json"
    if not is_there(file):
        raise UserError(f"The model in {base} has no tokenizer.json, which the mask {token!r} is added to.")
    try:
        core = Tokenizer.from_file(str(file))
        core.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        core.save(str(folder / file.name))
        number = core.get_vocab(with_added_tokens=True)[token]
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{file} cannot be read as a tokenizer: {one_line(error)}.") from error
    table = {**read_table(base / settings), "mask_token": token}
    (folder / settings).write_text(json.dumps(table, indent=2), encoding="utf-8")
    return number


def _float_tensors(file: Path) -> dict[str, Tensor]:
    """A file's tensors, those of numbers with a point in float32."""
    from safetensors.torch import load_file

    tensors: Mapping[str, Tensor] = load_file(file)
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
