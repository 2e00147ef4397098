"""Tiny random models of every architecture, with every parameter (biases and norms too) away from its default."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
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

from engine.attribution.sites import AttributionInput, arm_inputs, mdm_inputs
from engine.models.activation_cache import recording
from engine.models.decoding import reveal_order
from engine.models.encoding import Encoded
from engine.models.model import Model, wrap
from engine.training.word_tokenizer import MASK, build_tokenizer

VOCAB = 61
SHARED = {"vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
ARCHITECTURES = ("llama", "qwen2", "qwen3", "gpt2")


def hf_model(architecture: str, seed: int = 0) -> PreTrainedModel:
    """A 2-layer, 4-head (2 key-value heads where grouped) random model in fp32, in eval mode."""
    torch.manual_seed(seed)
    model: PreTrainedModel = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHARED, **HEADS)),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHARED, **HEADS, tie_word_embeddings=False)),
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SHARED, **HEADS, head_dim=12, tie_word_embeddings=True)),
        "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=64)),
    }[architecture]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval().requires_grad_(False)


def model(architecture: str, causal: bool, shifted: bool = True, seed: int = 0) -> Model:
    """The same random weights as `hf_model`, wrapped; token ids below VOCAB are legal, `<mask>` is one of them."""
    hf = hf_model(architecture, seed)
    hf.config.is_causal = causal
    return wrap(hf, build_tokenizer(), causal=causal, shifted=shifted, mask_token=MASK)


def recorded(of: Model, ids: tuple[int, ...], name: str) -> np.ndarray:
    """[pos, ...] of a hook when an input runs alone, without padding."""
    with recording(of, [name]) as cache, torch.no_grad():
        of.logits(torch.tensor([ids]))
    return cache[name][0].double().numpy()


def eager_attentions(architecture: str, of: Model, ids: tuple[int, ...]) -> torch.Tensor:
    """[layer, head, query, key] of the same weights from plain transformers, without our bridge."""
    hf = hf_model(architecture)
    hf.set_attn_implementation("eager")
    hidden = torch.finfo(torch.float32).min * torch.ones(len(ids), len(ids)).triu(1)
    mask = (hidden if of.causal else torch.zeros_like(hidden))[None, None]
    hf.config.is_causal = of.causal
    return torch.stack(hf(torch.tensor([ids]), attention_mask=mask, output_attentions=True).attentions)[:, 0]


def with_own_keys(architecture: str, causal: bool) -> Model:
    """The same function with a key and value head per query head, so that the bridge can hook each on its own."""
    grouped = hf_model(architecture)
    if architecture == "gpt2":
        return model(architecture, causal)
    config = type(grouped.config)(**{**grouped.config.to_dict(), "num_key_value_heads": 4})
    d_head, groups = grouped.model.layers[0].self_attn.head_dim, 2
    state: dict[str, Any] = dict(grouped.state_dict())
    for name in [n for n in state if "k_proj" in n or "v_proj" in n]:
        heads = state[name].unflatten(0, (-1, d_head))
        state[name] = heads.repeat_interleave(groups, 0).flatten(0, 1)
    expanded = type(grouped)(config).eval().requires_grad_(False)
    expanded.load_state_dict(state)
    expanded.config.is_causal = causal
    return wrap(expanded, build_tokenizer(), causal=causal, shifted=True, mask_token=MASK)


def random_examples(n: int, seed: int = 0, lengths: Sequence[int] = (6, 8), answer: int = 3) -> list[Encoded]:
    """Aligned random examples; the corrupted one differs in one prompt token and in two answer tokens of three."""
    rng = random.Random(seed)
    examples = []
    for i in range(n):
        prompt = [rng.randrange(4, VOCAB) for _ in range(lengths[i % len(lengths)])]
        corrupted = [*prompt]
        corrupted[2] = (corrupted[2] + 1 - 4) % (VOCAB - 4) + 4
        reply = [rng.randrange(4, VOCAB) for _ in range(answer)]
        corrupted_reply = [reply[0], *((t + 5 - 4) % (VOCAB - 4) + 4 for t in reply[1:])]
        examples.append(Encoded(tuple(prompt), tuple(reply), tuple(corrupted), tuple(corrupted_reply)))
    return examples


def rows_of(tiny: Model, examples: Sequence[Encoded], order: str = "confidence") -> list[AttributionInput]:
    if tiny.causal:
        return arm_inputs(tiny, examples)
    steps = len(examples[0].answer)
    return mdm_inputs(tiny, examples, reveal_order(tiny, examples, order, steps, seed=0))
