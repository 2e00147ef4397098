"""What the config.json of a model may say: every value that the computation takes, with its type and bounds. No torch.

`FIELDS` are the values that the classes of SCORED take. `ABSENT` are values that change what a model computes and that
none of them has, such as experts, attention sinks or scaled embeddings: a model that wants one is refused by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LLAMA_LIKE = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
GPT2_LIKE = ("GPT2LMHeadModel",)
SCORED = (*LLAMA_LIKE, *GPT2_LIKE)
BY_TYPE = {  # the model_type of a config -> its class
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "gpt-sw3": "GPT2LMHeadModel",
}

ACTIVATIONS = (
    "silu", "swish", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python", "quick_gelu", "relu",
    "relu2", "mish",
)  # fmt: skip
# Not "dynamic" and "longrope": there an input's numbers depend on how long the others of its batch are.
ROTATIONS = ("default", "linear", "yarn", "llama3")
LAYER_TYPES = ("full_attention", "sliding_attention")


@dataclass(frozen=True)
class Whole:
    """A whole number."""

    low: int
    high: int

    def allows(self, value: object) -> bool:
        return type(value) is int and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Number:
    """A number; `low` itself is not allowed where it is `open`."""

    low: float
    high: float
    open: bool = False

    def allows(self, value: object) -> bool:
        if type(value) not in (int, float):
            return False
        return bool(self.low <= value <= self.high and not (self.open and value == self.low))  # type: ignore[operator]

    def __str__(self) -> str:
        low, high = ("above", "and at most") if self.open else ("from", "to")
        return f"a number {low} {self.low:g} {high} {self.high:g}"


@dataclass(frozen=True)
class Choice:
    """One of some values; true and false are no numbers."""

    values: tuple[Any, ...]

    def allows(self, value: object) -> bool:
        return any(type(value) is type(choice) and value == choice for choice in self.values)

    def __str__(self) -> str:
        return f"one of: {', '.join(str(v).lower() if isinstance(v, bool) else str(v) for v in self.values)}"


Rule = Whole | Number | Choice
TRUTH = Choice((False, True))
SIZE, COUNT, TOKEN = Whole(1, 2**24), Whole(1, 2**31), Whole(-1, 2**24)

QWEN3_HEAD = 128  # dimensions of a head where a Qwen3's config doesn't say

SHARED: dict[str, Rule] = {"vocab_size": SIZE, "tie_word_embeddings": TRUTH, "pad_token_id": TOKEN}
FIELDS: dict[str, dict[str, Rule]] = {  # by the name that a config gives; null and left out mean the class's default
    "llama": {
        **SHARED,
        "num_hidden_layers": Whole(1, 1000),
        "num_attention_heads": Whole(1, 1024),
        "num_key_value_heads": Whole(1, 1024),
        "hidden_size": Whole(1, 2**17),
        "head_dim": Whole(2, 2**14),
        "intermediate_size": Whole(1, 2**20),
        "max_position_embeddings": COUNT,
        "original_max_position_embeddings": COUNT,
        "hidden_act": Choice(ACTIVATIONS),
        "rms_norm_eps": Number(0, 1, open=True),
        "attention_bias": TRUTH,
        "mlp_bias": TRUTH,
        "rope_theta": Number(1, 1e15),
        "sliding_window": COUNT,
        "use_sliding_window": TRUTH,
        "max_window_layers": Whole(0, 1000),
    },
    "gpt2": {
        **SHARED,
        "n_layer": Whole(1, 1000),
        "n_head": Whole(1, 1024),
        "n_embd": Whole(1, 2**17),
        "n_inner": Whole(1, 2**20),
        "n_positions": Whole(1, 2**24),
        "activation_function": Choice(ACTIVATIONS),
        "layer_norm_epsilon": Number(0, 1, open=True),
    },
}
TABLES = ("rope_parameters", "rope_scaling", "layer_types")
NULLABLE = ("num_key_value_heads", "head_dim", "sliding_window", "n_inner")
REQUIRED = {
    "llama": ("vocab_size", "num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size"),
    "gpt2": ("vocab_size", "n_layer", "n_head", "n_embd"),
}
ALIASES = {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "hidden_size": "n_embd"}  # GPT-2 has both
ROPE: dict[str, Rule] = {
    "rope_theta": Number(1, 1e15),
    "factor": Number(1, 1e6),
    "original_max_position_embeddings": COUNT,
    "low_freq_factor": Number(0, 1e6, open=True),
    "high_freq_factor": Number(0, 1e6, open=True),
    "beta_fast": Number(0, 1e6, open=True),
    "beta_slow": Number(0, 1e6, open=True),
    "attention_factor": Number(0, 1e3, open=True),
    "mscale": Number(0, 1e3),
    "mscale_all_dim": Number(0, 1e3),
    "partial_rotary_factor": Choice((1, 1.0)),
    "truncate": TRUTH,
}
ROPE_NEEDS = {
    "linear": ("factor",),
    "yarn": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}

# What these classes don't compute, with the values that ask for nothing; null, false, 0 and empty ask for nothing too.
ABSENT: dict[str, tuple[Any, ...]] = {
    "attn_logit_softcapping": (),
    "final_logit_softcapping": (),
    "query_pre_attn_scalar": (),
    "attention_multiplier": (),
    "logit_scale": (1,),
    "logits_scaling": (1,),
    "residual_multiplier": (1,),
    "embedding_multiplier": (1,),
    "scale_emb": (1,),
    "scale_depth": (),
    "scale_embedding": (),
    "embedding_scale": (1,),
    "lm_head_multiplier": (1,),
    "key_multiplier": (1,),
    "use_mup": (),
    "num_experts": (),
    "num_local_experts": (),
    "n_routed_experts": (),
    "moe_intermediate_size": (),
    "kv_lora_rank": (),
    "alibi": (),
    "position_embedding_type": ("rope", "rotary", "absolute"),
    "partial_rotary_factor": (1,),
    "rotary_pct": (1,),
    "no_rope_layers": (),
    "no_rope_layer_interval": (),
    "use_parallel_residual": (),
    "parallel_attn": (),
    "parallel_block": (),
    "attention_chunk_size": (),
    "attention_sink_size": (),
    "num_attention_sinks": (),
    "attention_sinks": (),
    "use_sinks": (),
    "clip_qkv": (),
    "qk_layernorm": (),
    "qk_norm": (),
    "use_qk_norm": (),
    "zero_centered_gamma": (),
    "layernorm_zero_centered": (),
    "rms_norm_add_unit_offset": (),
    "use_post_norm": (),
    "post_norm": (),
    "sandwich_norm": (),
    "add_cross_attention": (),
    "is_encoder_decoder": (),
    "scale_attn_by_inverse_layer_idx": (),
    "bd_size": (),
}


def family_of(name: str) -> str:
    """Which of FIELDS a class takes: "llama" or "gpt2"."""
    return "gpt2" if name in GPT2_LIKE else "llama"


def computed(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a config the computation takes; what is null is left to the class, but where null says something."""
    fields = {*FIELDS[family_of(name)], *(ALIASES if family_of(name) == "gpt2" else ()), *TABLES} - {"pad_token_id"}
    return {key: config[key] for key in config if key in fields and (config[key] is not None or key in NULLABLE)}


def value_of(config: Mapping[str, Any], field: str) -> Any:
    """A field's value, under either of its names."""
    names = [field, *(name for pair in ALIASES.items() if field in pair for name in pair)]
    return next((config[name] for name in names if config.get(name) is not None), None)


def head_width(name: str, config: Mapping[str, Any]) -> int:
    """Dimensions of a head of a Llama-like model."""
    width = config["hidden_size"] // config["num_attention_heads"]
    return config.get("head_dim") or (QWEN3_HEAD if name == "Qwen3ForCausalLM" and "head_dim" not in config else width)
