"""Checks of a model's config.json against engine/models/config_fields.py: the first wrong value is named. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import UserError, shortened
from engine.models.config_fields import (
    ABSENT,
    FIELDS,
    LAYER_TYPES,
    REQUIRED,
    ROPE,
    ROPE_NEEDS,
    ROTATIONS,
    Choice,
    Rule,
    family_of,
    head_width,
    value_of,
)


def check_config(file: Path, name: str, config: Mapping[str, Any]) -> None:
    """Every value of a config that a class of SCORED takes.

    Raises:
        UserError: the first that it can't have.
    """
    family = family_of(name)
    for field, rule in FIELDS[family].items():
        _refuse_value(file, field, value_of(config, field), rule)
        if field in REQUIRED[family] and value_of(config, field) is None:
            raise UserError(f"{file} lacks {field}. It must be {rule}.")
    for field, harmless in ABSENT.items():
        value = config.get(field)
        if value and not (type(value) in (int, float, str) and value in harmless):
            raise UserError(f"{file} says {field} = {_shown(value)}, which a {name} as it is scored here doesn't do.")
    if family == "gpt2":
        if config.get("scale_attn_weights") not in (None, True):
            raise UserError(f"{file} says scale_attn_weights = false, which a {name} as it is scored here doesn't do.")
        _refuse_remainder(file, config, "n_embd", "n_head")
    else:
        _check_heads(file, name, config)
        _check_rope(file, name, config)
        _check_layers(file, name, config)


def _check_heads(file: Path, name: str, config: Mapping[str, Any]) -> None:
    heads, keys = config["num_attention_heads"], config.get("num_key_value_heads")
    if config.get("head_dim") is None or name == "LlamaForCausalLM":
        _refuse_remainder(file, config, "hidden_size", "num_attention_heads")
    if keys is not None and heads % keys:
        raise UserError(
            f"{file} says num_key_value_heads {keys}, which doesn't divide its num_attention_heads {heads}."
        )
    width = head_width(name, config)
    if width % 2:
        raise UserError(f"{file} gives a head_dim of {width}. Positions are rotated in pairs: it must be even.")


def _refuse_remainder(file: Path, config: Mapping[str, Any], whole: str, part: str) -> None:
    size, parts = value_of(config, whole), value_of(config, part)
    if size % parts:
        raise UserError(f"{file} says {part} {parts}, which doesn't divide its {whole} {size}.")


def _check_rope(file: Path, name: str, config: Mapping[str, Any]) -> None:
    for field in ("rope_parameters", "rope_scaling"):
        table = config.get(field)
        if table is None:
            continue
        if not isinstance(table, dict):
            raise UserError(f"{file} says {field} = {_shown(table)}. It must be a table or null.")
        if any(isinstance(value, dict) for value in table.values()):
            raise UserError(f"{file} gives layers of different types other {field}, which a {name} here doesn't have.")
        kind = table.get("rope_type", table.get("type", "default"))
        _refuse_value(file, f"{field}.rope_type", kind, Choice(ROTATIONS))
        for key in ROPE_NEEDS.get(str(kind), ()):
            default = config.get(key) if key == "original_max_position_embeddings" else None
            if table.get(key, default) is None:
                raise UserError(f"{file} lacks {field}.{key}, which positions of the type {kind!r} need.")
        for key, rule in ROPE.items():
            _refuse_value(file, f"{field}.{key}", table.get(key), rule)
        if kind == "llama3" and table["high_freq_factor"] <= table["low_freq_factor"]:
            raise UserError(
                f"{file} says {field}.high_freq_factor {table['high_freq_factor']}, not above low_freq_factor."
            )


def _check_layers(file: Path, name: str, config: Mapping[str, Any]) -> None:
    """Windows of attention, and which layers have one."""
    types, window = config.get("layer_types"), config.get("sliding_window")
    windowed = window is not None and config.get("use_sliding_window") is not False
    if name == "LlamaForCausalLM" and windowed:
        raise UserError(f"{file} says sliding_window = {window}, which a {name} as it is scored here doesn't do.")
    if types is None:
        return
    layers = config["num_hidden_layers"]
    if not isinstance(types, list) or len(types) != layers or any(kind not in LAYER_TYPES for kind in types):
        raise UserError(
            f"{file} says layer_types = {_shown(types)}. It must be a list of {layers} of: {', '.join(LAYER_TYPES)}."
        )
    if name == "MistralForCausalLM":  # which gives every layer the same window
        expected = "sliding_attention" if window is not None else "full_attention"
        mixed = any(kind != expected for kind in types)
    else:
        mixed = "sliding_attention" in types and not (
            name.startswith("Qwen") and window and config.get("use_sliding_window")
        )
    if mixed:
        raise UserError(
            f"{file} says layer_types = {_shown(types)}, which does not go with a {name} and its other fields."
        )


def _refuse_value(file: Path, field: str, value: Any, rule: Rule) -> None:
    if value is not None and not rule.allows(value):
        raise UserError(f"{file} says {field} = {_shown(value)}. It must be {rule}.")


def _shown(value: Any) -> str:
    """A value as JSON would say it, cut."""
    if isinstance(value, float) and not math.isfinite(value):
        return "a number too large to be one"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= 10**40:
        return "a number of more than 40 digits"
    return shortened(value, 120)
