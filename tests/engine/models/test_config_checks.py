"""Every value of config.json that a model can't have is named; every one that it may have is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from engine.models.config_fields import ACTIVATIONS
from engine.models.fast_model import embed, hidden, output_logits
from engine.models.model import load
from tests.engine.models.folders import (
    CONFIG,
    config,
    copied,
    pair_in,
    refusals_of,
)

FIELDS: list[tuple[str, str, list[Any]]] = [  # architecture, field, values that it can't have
    ("llama", "num_hidden_layers", ["2", 1_000_000, 0, -1, 1e3, True, None, [2], 3, 1]),
    ("llama", "hidden_act", ["nope", 3, "", ["silu"]]),
    ("llama", "rms_norm_eps", [0, -1e-6, "1e-6", True, 1e400, float("nan")]),
    ("llama", "num_attention_heads", [7, 0, "4", 3, -4, 10**30]),
    ("llama", "num_key_value_heads", [3, 0, -1, "2", 8, 1]),
    ("llama", "rope_theta", [0, -1, "x", [1]]),
    ("llama", "rope_scaling", [{"type": "nope"}, {"rope_type": "linear", "factor": 0}, {"type": "linear"}, [1], "x"]),
    ("llama", "rope_scaling", [{"rope_type": "llama3", "factor": 8}, {"rope_type": ["x"]}]),
    ("llama", "rope_scaling", [{"rope_type": "yarn", "factor": "x"}]),
    ("llama", "rope_parameters", [{"rope_theta": 0}, {"full_attention": {"rope_theta": 1}}]),
    ("llama", "rope_parameters", [{"rope_type": "longrope", "short_factor": [1], "long_factor": [1]}]),
    ("llama", "rope_scaling", [{"type": "dynamic", "factor": 2.0}]),
    ("llama", "rope_parameters", [{"rope_theta": 1e4, "partial_rotary_factor": 0.5}]),
    ("llama", "pad_token_id", [10**9, -5, "x", 10**90]),
    ("llama", "vocab_size", [10**12, 0, -1, "61", 10**6]),
    ("llama", "intermediate_size", [0, -1, 47, 10**9, "48"]),
    ("llama", "hidden_size", [0, 33, "32", 64, 10**9]),
    ("llama", "head_dim", [0, 3, 4, 16, "8", 10**9]),
    ("llama", "max_position_embeddings", [0, -1, "x", 10**30]),
    ("llama", "attention_bias", ["yes", 1]),
    ("llama", "tie_word_embeddings", ["x", 3]),
    ("llama", "sliding_window", [4, 0, "x"]),
    ("llama", "layer_types", [["sliding_attention"] * 2, ["chunked_attention"] * 2, "x"]),
    ("qwen2", "layer_types", [["sliding_attention", "full_attention"], ["full_attention"], [3, 4]]),
    ("qwen2", "use_sliding_window", ["x"]),
    ("gpt2", "n_layer", ["x", 3, 10**6]),
    ("gpt2", "n_head", [3, 0, "x"]),
    ("gpt2", "n_embd", [31, 0, 48]),
    ("gpt2", "n_inner", [7, 0, "x"]),
    ("gpt2", "layer_norm_epsilon", [0, -1, "x"]),
    ("gpt2", "activation_function", ["nope"]),
    ("gpt2", "n_positions", [0, 5, 10**9]),
    ("gpt2", "scale_attn_weights", [False]),
    *(
        ("llama", field, [value])
        for field, value in {
            "attn_logit_softcapping": 30.0, "final_logit_softcapping": 30.0, "query_pre_attn_scalar": 256,
            "num_experts": 8, "num_local_experts": 8, "logit_scale": 0.0625, "logits_scaling": 8.0,
            "residual_multiplier": 0.22, "embedding_multiplier": 12.0, "attention_multiplier": 0.0078,
            "partial_rotary_factor": 0.5, "attention_chunk_size": 8192, "attention_sinks": 4, "alibi": True,
            "use_parallel_residual": True, "qk_norm": True, "no_rope_layers": [1, 1, 0], "clip_qkv": 8, "bd_size": 32,
        }.items()
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "field", "value"),
    [(architecture, field, value) for architecture, field, values in FIELDS for value in values],
    ids=lambda value: str(value)[:30],
)
def test_a_value_that_a_config_cannot_have_is_named(
    models: Path, tmp_path: Path, architecture: str, field: str, value: Any
) -> None:
    folder = copied(models, tmp_path / "model", architecture)
    config(**{field: value})(folder)
    for message in refusals_of(folder):
        assert CONFIG in message or "do not fit the model" in message
        assert field in message or "mismatched keys" in message or "is no number" in message


ROTATED: dict[str, dict[str, Any]] = {
    "linear": {"factor": 2.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 16},
    "llama3": {
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16
    },
}  # fmt: skip
ALLOWED: list[tuple[str, dict[str, Any]]] = [
    *(("llama", {"rope_parameters": {"rope_type": k, "rope_theta": 1e4, **v}}) for k, v in ROTATED.items()),
    *(("llama", {"hidden_act": name}) for name in ACTIVATIONS),
    *(("gpt2", {"activation_function": name}) for name in ACTIVATIONS),
]


@pytest.mark.parametrize(("architecture", "fields"), ALLOWED, ids=lambda value: str(value)[:50])
def test_what_a_config_may_say_is_computed(
    models: Path, tmp_path: Path, architecture: str, fields: dict[str, Any]
) -> None:
    """Logits of the bridge and of the plain model against transformers' own class."""
    folder, ids = copied(models, tmp_path / "model", architecture), torch.arange(5, 25)[None]
    config(**fields)(folder)
    model = load(pair_in(folder), "arm", device="cpu")
    expected = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
    bias = model.attention_bias(torch.ones_like(ids, dtype=torch.bool))
    plain = output_logits(model.plain, hidden(model.plain, embed(model.plain, ids), bias))
    for logits in (model.logits(ids), plain):
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
