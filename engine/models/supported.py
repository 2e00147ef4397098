"""Which models can be scored: one list and one answer for every command and page. No torch.

1. `class_of`: the transformers class of a model, one of SCORED.
2. `check`: its config (engine/models/config_checks.py), and types and sizes of its weights against it, from their
   headers, before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.errors import UserError, one_line
from engine.models.config_checks import check_config
from engine.models.config_fields import BY_TYPE, SCORED, family_of, head_width, value_of
from engine.models.model_files import CONFIG, Stored, header_of, is_there, read_table, refuse_irregular_in

A_CLASS = re.compile(r"\w+(ForCausalLM|LMHeadModel)")
IN_BLOCKS = re.compile(r"bd3lm|sdar|fast[-_]?dllm|block[-_]?diffusion", re.IGNORECASE)
FLOATS = ("F64", "F32", "F16", "BF16")
LAYER = re.compile(r"(?:^|\.)(?:layers|h)\.(\d{1,6})\.(.+)$")
MOST_SHOWN = 8  # of a list of tensors


@dataclass(frozen=True)
class Checked:
    """A folder whose config can be scored: `name` of the class, and the config as its file says it."""

    name: str
    config: Mapping[str, Any]


def class_of(folder: Path, config: Mapping[str, Any], architecture: str | None = None) -> str:
    """The transformers class of a folder, one of SCORED: the one that is asked for, else what its config names.

    Raises:
        UserError: it is another, or the config says two things.
    """
    file, architectures, kind = folder / CONFIG, config.get("architectures"), config.get("model_type")
    first = architectures[0] if isinstance(architectures, list) and architectures else None
    for name in (kind, first):
        if isinstance(name, str) and IN_BLOCKS.search(name):
            raise UserError(
                f"The model in {folder} ({one_line(name, 80)}) denoises in blocks: it attends causally from block to "
                "block and in both directions within one. That attention is unknown here, so the model can't be scored."
            )
    by_type = BY_TYPE.get(kind) if isinstance(kind, str) else None
    named = architecture or (first if isinstance(first, str) and A_CLASS.fullmatch(first) else by_type)
    if named not in SCORED:
        raise UserError(
            f"The model in {folder} is a {one_line(named or first or kind, 80)}, which can't be scored: only "
            f"{', '.join(SCORED)} are known, and code that comes with a model is never run. Where it is one of these "
            'under another name, say so in a pairs file, as in architecture = "Qwen2ForCausalLM".'
        )
    if isinstance(kind, str) and by_type != named and _is_known(kind):
        raise UserError(
            f"{file} says model_type {kind!r}, which transformers knows as another model than the {named} that it is "
            "to be read as."
        )
    return str(named)


def _is_known(kind: str) -> bool:
    """Whether transformers has a model of that type: its code lies in a folder that is called like it, about."""
    name = kind.replace("-", "_")
    return any(name.removesuffix(suffix) in _known_types() for suffix in ("", "_text", "_gpt"))


@cache
def _known_types() -> frozenset[str]:
    """Every kind of model that transformers has code for: a folder of its own each. transformers isn't imported."""
    package = find_spec("transformers")
    if package is None or package.origin is None:
        return frozenset(BY_TYPE)
    return frozenset(place.name for place in (Path(package.origin).parent / "models").iterdir())


def check(
    folder: Path, files: Sequence[Path], architecture: str | None = None, keys: Mapping[str, str] | None = None
) -> Checked:
    """Whether the model in a folder can be scored, by its config and the headers of its weights `files`.

    `keys`: what names of weights begin with, and what to put there instead.

    Raises:
        UserError: the file, the field or tensor, its value and what is allowed.
    """
    refuse_irregular_in(folder)
    if is_there(folder / "adapter_config.json"):
        raise UserError(
            f"The folder {folder} holds an adapter (adapter_config.json). Name it as arm_adapter or mdm_adapter in a "
            "pairs file, beside its model."
        )
    stats = tuple((file.stat().st_size, file.stat().st_mtime_ns) for file in (folder / CONFIG, *files))
    return _checked(folder, tuple(files), architecture, tuple((keys or {}).items()), stats)


@lru_cache(maxsize=64)
def _checked(
    folder: Path,
    files: tuple[Path, ...],
    architecture: str | None,
    keys: tuple[tuple[str, str], ...],
    stats: tuple[tuple[int, int], ...],
) -> Checked:
    """`check`, done again only when a file's size or time of change is another."""
    config = read_table(folder / CONFIG)
    if config.get("quantization_config"):
        raise UserError(f"The weights in {folder} are quantised. Gradients need plain ones: fp32, bf16 or fp16.")
    name = class_of(folder, config, architecture)
    check_config(folder / CONFIG, name, config)
    _check_weights(folder, name, config, _renamed(header_of(files), keys))
    return Checked(name, config)


def _check_weights(folder: Path, name: str, config: Mapping[str, Any], tensors: Mapping[str, Stored]) -> None:
    """Types and sizes of the weights, against the config, from their headers."""
    integers = [
        key for key, tensor in tensors.items() if tensor.dtype not in FLOATS and key.endswith((".weight", ".bias"))
        and not key.endswith((".attn.bias", ".masked_bias"))
    ]  # fmt: skip
    if integers:
        raise UserError(
            f"The weights in {folder} are no plain numbers: {integers[0]} is stored as {tensors[integers[0]].dtype}. "
            "Gradients need fp32, bf16 or fp16."
        )
    field = "n_layer" if family_of(name) == "gpt2" else "num_hidden_layers"
    stated, there = value_of(config, field), {int(m[1]) for m in map(LAYER.search, tensors) if m}
    if there and stated != max(there) + 1:
        raise UserError(f"{folder / CONFIG} says {field} {stated}, but the weights have {max(there) + 1} layers.")
    wrong = [
        f"{key} ({list(tensors[key].shape)} in the file, {list(wanted)} in the model)"
        for key, wanted in _sizes(name, config, tensors)
        if tensors[key].shape != wanted
    ]
    if wrong:
        more = f" and {len(wrong) - MOST_SHOWN} more" if len(wrong) > MOST_SHOWN else ""
        raise UserError(
            f"The weights in {folder} do not fit the model: mismatched keys: {', '.join(wrong[:MOST_SHOWN])}{more}."
        )


def _sizes(
    name: str, config: Mapping[str, Any], tensors: Mapping[str, Stored]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The tensors whose size follows from the config, with that size."""
    gpt2, vocabulary = family_of(name) == "gpt2", config["vocab_size"]
    width = value_of(config, "hidden_size")
    sizes = _gpt2_sizes(config, width) if gpt2 else _llama_sizes(name, config, width)
    for key, tensor in tensors.items():
        match = LAYER.search(key)
        if match:
            if match[2] in sizes:
                yield key, sizes[match[2]]
        elif key.endswith(("embed_tokens.weight", "wte.weight", "lm_head.weight")):
            rows = tensor.shape[0] if tensor.shape else 0
            yield key, (max(rows, vocabulary), width)  # more tokens than the config counts are no fault
        elif key.endswith("wpe.weight"):
            yield key, (value_of(config, "n_positions") or 1024, width)
        elif key.endswith((".norm.weight", "ln_f.weight")) or key == "norm.weight":
            yield key, (width,)


def _llama_sizes(name: str, config: Mapping[str, Any], width: int) -> dict[str, tuple[int, ...]]:
    heads, mlp = config["num_attention_heads"], config["intermediate_size"]
    head = head_width(name, config)
    keys = config.get("num_key_value_heads", 0)  # left out: as the class has it; null: one for every head
    keys = heads if keys is None else keys
    sizes: dict[str, tuple[int, ...]] = {
        "mlp.gate_proj.weight": (mlp, width),
        "mlp.up_proj.weight": (mlp, width),
        "mlp.down_proj.weight": (width, mlp),
        "input_layernorm.weight": (width,),
        "post_attention_layernorm.weight": (width,),
    }
    sizes |= {"self_attn.q_proj.weight": (heads * head, width), "self_attn.o_proj.weight": (width, heads * head)}
    if keys:
        sizes |= {f"self_attn.{part}_proj.weight": (keys * head, width) for part in "kv"}
    return sizes


def _gpt2_sizes(config: Mapping[str, Any], width: int) -> dict[str, tuple[int, ...]]:
    mlp = config.get("n_inner") or 4 * width
    return {
        "attn.c_attn.weight": (width, 3 * width),
        "attn.c_proj.weight": (width, width),
        "mlp.c_fc.weight": (width, mlp),
        "mlp.c_proj.weight": (mlp, width),
        "ln_1.weight": (width,),
        "ln_2.weight": (width,),
    }


def _renamed(tensors: Mapping[str, Stored], keys: Sequence[tuple[str, str]]) -> dict[str, Stored]:
    renamed = {}
    for key, tensor in tensors.items():
        old, new = next(((old, new) for old, new in keys if key.startswith(old)), ("", ""))
        renamed[new + key.removeprefix(old)] = tensor
    return renamed
