"""A random Llama of two layers that reads the tasks as plain text."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from engine.training.adapt import AdaptSpec
from engine.training.low_rank import AdaptedModel, Shape
from tests.tiny_tokenizers import tokenizer_like

SPEC = AdaptSpec(
    arm_tokens=3000,
    mdm_tokens=5000,
    rank=8,
    alpha=32.0,
    lr=1e-2,
    warmup=2,
    anneal=4,
    text_rows=12,
    text_length=10,
    text_heldout=4,
    measured=4,
    precision="float32",
)


def tokenizer() -> PreTrainedTokenizerFast:
    return tokenizer_like("qwen")


def tiny_llama(seed: int = 0) -> LlamaForCausalLM:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer()),
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=64,
                initializer_range=0.2,  # small numbers in a frozen unembedding would keep logits near 0
                tie_word_embeddings=True,
                bos_token_id=0,
                eos_token_id=0,
            )
        ).eval()


def adapted(seed: int = 0) -> AdaptedModel:
    """With factors that change something, of numbers that bfloat16 holds, as adapters are stored."""
    model = tiny_llama(seed)
    model.set_attn_implementation("eager")
    made = AdaptedModel(model, Shape(SPEC.rank, SPEC.alpha), seed, torch.float32)
    with torch.no_grad():
        made.vector.add_(0.1 * torch.randn(made.vector.shape, generator=torch.Generator().manual_seed(seed + 1)))
        made.vector.copy_(made.vector.bfloat16())
    made.merge()
    return made
