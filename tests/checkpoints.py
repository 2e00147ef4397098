"""Tiny random checkpoints of the published pairs, on disk as their authors wrote them: names of weights, wrappers,
shards, number formats, fields of config.json, extra rows, tokenizers, the hub's cache around it all.

Widths are tiny; vocabularies are the real ones, because masks are numbers in them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from engine.models.pairs import pair_named
from engine.training.word_tokenizer import build_tokenizer

LAYERS = 2
NARROW = {"hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": LAYERS, "num_attention_heads": 4}
QWEN = {"rope_theta": 1e6, "rms_norm_eps": 1e-6, "use_sliding_window": False, "max_window_layers": 28}
Json = dict[str, Any]
Rename = Callable[[str], str]


@dataclass(frozen=True)
class Format:
    """How a model lies on disk, and the plain class with the settings that it should behave like."""

    plain: Callable[[], PreTrainedModel]
    config: Json  # config.json as published, the tiny widths put in
    dtype: torch.dtype = torch.float32
    shards: int = 1
    rename: Rename = str
    left_out: tuple[str, ...] = ()  # weights that are tied and not written
    extra: Callable[[], dict[str, Tensor]] = dict
    tokenizer: str = "json"  # "json", "foreign" (code of its own beside vocab.json) or "none"


def qwen2(vocabulary: int, tied: bool, **settings: Any) -> Callable[[], PreTrainedModel]:
    theirs = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}, "tie_word_embeddings": tied, **settings}
    return lambda: Qwen2ForCausalLM(Qwen2Config(vocab_size=vocabulary, num_key_value_heads=2, **NARROW, **theirs))


def qwen2_config(vocabulary: int, tied: bool) -> Json:
    settings = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "num_key_value_heads": 2}
    return {**settings, **NARROW, **QWEN, "vocab_size": vocabulary, "tie_word_embeddings": tied}


def dream_config() -> Json:
    return {
        **qwen2_config(152064, tied=False),
        "architectures": ["DreamModel"],
        "auto_map": {"AutoConfig": "configuration_dream.DreamConfig", "AutoModel": "modeling_dream.DreamModel"},
        "model_type": "Dream",
        "mask_token_id": 151666,
        "pad_token_id": 151643,
        "rope_scaling": None,
        "sliding_window": None,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.46.2",
    }


def llama() -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(vocab_size=32000, num_key_value_heads=4, rms_norm_eps=1e-5, **NARROW))


def llama_config(architecture: str) -> Json:
    settings = {"architectures": [architecture], "model_type": "llama", "num_key_value_heads": 4, "rms_norm_eps": 1e-5}
    return {**settings, **NARROW, "vocab_size": 32000, "rope_scaling": None, "pretraining_tp": 1}


def inverse_frequencies() -> dict[str, Tensor]:
    """Buffers that old Llama checkpoints carry along."""
    return {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": torch.ones(1) for layer in range(LAYERS)}


def gpt2(vocabulary: int) -> Callable[[], PreTrainedModel]:
    return lambda: GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, n_embd=16, n_layer=LAYERS, n_head=4))


def gpt2_config(**theirs: Any) -> Json:
    settings = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 50257, "n_ctx": 1024}
    return {**settings, "n_positions": 1024, "n_embd": 16, "n_layer": LAYERS, "n_head": 4, **theirs}


def triangles(prefix: str) -> Callable[[], dict[str, Tensor]]:
    """Causal masks that old GPT-2 checkpoints carry along."""
    return lambda: {f"{prefix}h.{layer}.attn.bias": torch.ones(1, 1, 4, 4) for layer in range(LAYERS)}


def without_prefix(name: str) -> str:
    return name.removeprefix("transformer.")


def as_diffugpt(name: str) -> str:
    """The wrapper of DiffuGPT: the embedding beside a model without one."""
    return name.replace("transformer.wte.", "embed_tokens.").replace("transformer.", "denoise_model.")


def diffugpt(vocabulary: int) -> Format:
    settings = gpt2_config(architectures=["DiscreteDiffusionModel"], tie_word_embeddings=True)
    left_out = ("lm_head.weight",)
    extra = triangles("denoise_model.")
    return Format(gpt2(vocabulary), settings, rename=as_diffugpt, left_out=left_out, extra=extra, tokenizer="none")


def a2d(base: Json, name: str) -> Json:
    code = {"AutoConfig": f"modeling_{name}.A2DConfig", "AutoModelForMaskedLM": f"modeling_{name}.A2DModel"}
    return {**base, "architectures": [f"A2D{name}LMHeadModel"], "model_type": f"a2d-{name.lower()}", "auto_map": code}


def qwen3() -> PreTrainedModel:
    settings = {"head_dim": 6, "tie_word_embeddings": True, "num_key_value_heads": 2}
    rope = {"rope_type": "default", "rope_theta": 1e6}
    return Qwen3ForCausalLM(Qwen3Config(vocab_size=151936, rope_parameters=rope, **settings, **NARROW))


def qwen3_config() -> Json:
    return {
        **qwen2_config(151936, tied=True),
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "head_dim": 6,
        "attention_bias": False,
    }


BF16 = torch.bfloat16
TIED = ("lm_head.weight",)
DREAM = Format(qwen2(152064, tied=False), dream_config(), BF16, shards=4, tokenizer="foreign")
QWEN_7B = Format(qwen2(152064, tied=False), qwen2_config(152064, tied=False), BF16, shards=4)
SMALL_CODER = Format(qwen2(151936, tied=True), qwen2_config(151936, tied=True), BF16, left_out=TIED)
SMALL_MDLM = Format(qwen2(151936, tied=True), a2d(qwen2_config(151936, tied=True), "Qwen2"), BF16, left_out=TIED)
GPT2 = Format(gpt2(50257), gpt2_config(), rename=without_prefix, left_out=TIED, extra=triangles(""))

FORMATS: dict[str, tuple[Format, Format]] = {  # by pair: ARM, MDM
    "dream": (QWEN_7B, DREAM),
    "diffullama": (
        Format(llama, llama_config("LlamaForCausalLM"), torch.float16, shards=2, extra=inverse_frequencies),
        Format(llama, llama_config("DiscreteDiffusionModel"), BF16, shards=3),
    ),
    "diffugpt-s": (GPT2, diffugpt(50257)),
    "diffugpt-m": (GPT2, diffugpt(50258)),
    "diffucoder": (QWEN_7B, DREAM),
    "dream-coder": (QWEN_7B, DREAM),
    "qwen3-mdlm": (
        Format(qwen3, qwen3_config(), BF16, left_out=TIED),
        Format(qwen3, a2d(qwen3_config(), "Qwen3"), BF16, left_out=TIED),
    ),
    "qwen2.5-coder-mdlm": (SMALL_CODER, SMALL_MDLM),
}


def random_model(form: Format, seed: int) -> PreTrainedModel:
    """The plain class with random weights, rounded to what the file keeps of them."""
    torch.manual_seed(seed)
    model = form.plain()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
            parameter.copy_(parameter.to(form.dtype))
    return model.eval().requires_grad_(False)


def write(folder: Path, form: Format, seed: int = 0) -> PreTrainedModel:
    """Write a checkpoint and return the plain model that it is."""
    model = random_model(form, seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(form.config))
    weights = {name: value for name, value in model.state_dict().items() if name not in form.left_out}
    stored = {form.rename(name): value.to(form.dtype).contiguous() for name, value in weights.items()}
    _write_weights(folder, {**stored, **form.extra()}, form.shards)
    if form.tokenizer == "json":
        build_tokenizer().save_pretrained(folder)
    if form.tokenizer == "foreign":
        _write_foreign_tokenizer(folder)
    return model


def _write_weights(folder: Path, weights: dict[str, Tensor], shards: int) -> None:
    if shards == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(weights)
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: weights[name] for name in names[shard::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def _write_foreign_tokenizer(folder: Path) -> None:
    """As Dream's: vocab.json and merges.txt, read by code of its own, and no tokenizer.json."""
    settings = {"tokenizer_class": "DreamTokenizer", "mask_token": "<|mask|>"}
    code = {"AutoTokenizer": ["tokenization_dream.DreamTokenizer", None]}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "auto_map": code}))
    (folder / "tokenization_dream.py").write_text('raise RuntimeError("code that came with a model was run")\n')
    (folder / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}')
    (folder / "merges.txt").write_text("a b\n")


def write_pair(cache: Path, name: str) -> tuple[PreTrainedModel, PreTrainedModel]:
    """Both models of a registered pair in a hub cache, under the ids and revisions that the registry asks for."""
    pair, models = pair_named(name), []
    for seed, (source, form) in enumerate(zip((pair.folder("arm"), pair.folder("mdm")), FORMATS[name], strict=True)):
        models.append(write(hub_folder(cache, source), form, seed))
    return models[0], models[1]


def hub_folder(cache: Path, source: str) -> Path:
    """The snapshot's folder of a source in a hub cache; one without a revision is what main stands for."""
    identity, _, revision = source.partition("@")
    home = cache / f"models--{identity.replace('/', '--')}"
    if not revision:
        revision = "0123abc"
        (home / "refs").mkdir(parents=True, exist_ok=True)
        (home / "refs" / "main").write_text(revision)
    return home / "snapshots" / revision
