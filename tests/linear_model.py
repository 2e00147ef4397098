"""A tiny GPT-2 that is linear in its residual: in it every estimate of an edge's score is exact.

Queries and keys are zero, so that patterns are uniform; norms have a huge epsilon, so that their scale is constant;
what the GELUs read is so large that they return it as it is.
"""

from __future__ import annotations

import torch

from engine.models.model import Model, wrap
from engine.training.word_tokenizer import MASK, build_tokenizer
from tests import tiny

SCALE = 300.0  # of the norms, which divide by it and multiply with it
LARGE = 30.0  # beyond this a GELU returns its input


def linear_model(causal: bool) -> Model:
    model = tiny.hf_model("gpt2")
    base = model.base_model
    with torch.no_grad():
        for layer in base.h:
            layer.attn.c_attn.weight[:, : 2 * base.embed_dim] = 0
            layer.attn.c_attn.bias[: 2 * base.embed_dim] = 0
            layer.mlp.c_fc.bias += LARGE
            layer.mlp.c_proj.bias -= layer.mlp.c_fc.bias @ layer.mlp.c_proj.weight
        for norm in (norm for layer in base.h for norm in (layer.ln_1, layer.ln_2)):
            _make_linear(norm)
        _make_linear(base.ln_f)
    model.config.is_causal = causal
    return wrap(model, build_tokenizer(), causal=causal, shifted=True, mask_token=MASK)


def _make_linear(norm: torch.nn.LayerNorm) -> None:
    norm.eps = SCALE**2
    norm.weight *= SCALE
