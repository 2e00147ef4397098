"""Recorded activations and the weights between them: each is computed again from the one before."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.models import activation_cache
from engine.models.activation_cache import recording
from engine.models.model import Model
from engine.models.norms import Norm
from tests import tiny

IDS = torch.tensor([[5, 9, 11, 30, 7, 12]])
architectures = pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)


def recorded(model: Model, *names: str) -> list[Tensor]:
    with recording(model, names) as cache, torch.no_grad():
        model.logits(IDS)
    return [cache[name] for name in names]


def normed(norm: Norm, x: Tensor) -> Tensor:
    y = norm.apply_with_frozen_scale(x, x)
    return y if norm.bias is None else y + norm.bias


@architectures
def test_the_residual_is_the_sum_of_what_was_written(architecture: str) -> None:
    model = tiny.model(architecture, causal=True)
    names = [f"blocks.0.{name}" for name in ("hook_resid_pre", "hook_attn_out", "hook_mlp_out")]
    before, attention, mlp, after = recorded(model, *names, "blocks.1.hook_resid_pre")
    torch.testing.assert_close(before + attention + mlp, after)


@architectures
@pytest.mark.parametrize("layer", [0, 1])
def test_weights_lead_from_one_activation_to_the_next(architecture: str, layer: int) -> None:
    model, at = tiny.model(architecture, causal=True), f"blocks.{layer}"
    residual, value, z, attention, middle, post, mlp = recorded(
        model, *(f"{at}.{n}" for n in ("hook_resid_pre", "attn.hook_v", "attn.hook_z", "hook_attn_out")),
        f"{at}.ln2.hook_in", f"{at}.mlp.hook_post", f"{at}.hook_mlp_out",
    )  # fmt: skip
    block, heads = model.bridge.blocks[layer], model.graph.n_heads
    read = normed(activation_cache.ln1(model, layer), residual)
    values = torch.einsum("bpd,hde->bphe", read, activation_cache.qkv_weights(model, layer)[2])
    if block.attn.b_V is not None:
        bias = block.attn.b_V.reshape(-1, values.shape[-1])
        values = values + activation_cache.repeat_heads(bias, heads, 0)
    expected = activation_cache.repeat_heads(value.unflatten(-1, (-1, values.shape[-1])).flatten(2, -2), heads, 2)
    torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5)
    out = torch.einsum("bphe,hed->bpd", z, activation_cache.output_weights(model, layer))
    torch.testing.assert_close(out + (0 if block.attn.b_O is None else block.attn.b_O), attention, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(middle, residual + attention)
    written = post @ activation_cache.neuron_weights(model, layer, "W_out")
    torch.testing.assert_close(written + (0 if block.mlp.b_out is None else block.mlp.b_out), mlp, rtol=1e-4, atol=1e-5)
    gate = activation_cache.neuron_weights(model, layer, "W_gate")
    assert (gate is None) == (architecture == "gpt2")
    assert (gate is not None) == activation_cache.has_hook(model, f"{at}.mlp.hook_pre_linear")
    reads = activation_cache.neuron_weights(model, layer, "W_in") if gate is None else gate
    (pre,) = recorded(model, f"{at}.mlp.hook_pre")
    bias = block.mlp.b_in if gate is None else block.mlp.b_gate
    into = normed(activation_cache.ln2(model, layer), middle) @ reads
    torch.testing.assert_close(into + (0 if bias is None else bias), pre, rtol=1e-4, atol=1e-5)


@architectures
def test_the_final_norm_and_the_unembedding_give_the_logits(architecture: str) -> None:
    model = tiny.model(architecture, causal=True)
    (final,) = recorded(model, "ln_final.hook_in")
    logits = normed(activation_cache.final_norm(model), final) @ model.bridge.W_U
    torch.testing.assert_close(logits, model.logits(IDS), rtol=1e-4, atol=1e-4)


def test_only_named_hooks_are_recorded_and_only_inside() -> None:
    model = tiny.model("llama", causal=True)
    with recording(model, ["blocks.0.hook_mlp_out"]) as cache:
        assert not cache
        model.logits(IDS)
        assert list(cache) == ["blocks.0.hook_mlp_out"]
        kept = cache["blocks.0.hook_mlp_out"]
    model.logits(IDS + 1)
    assert cache["blocks.0.hook_mlp_out"] is kept


def test_an_embedding_of_ones_own_replaces_the_tokens_and_gets_a_gradient() -> None:
    model = tiny.model("llama", causal=True)
    point = activation_cache.embedding_weights(model)[IDS].detach().requires_grad_()
    with recording(model, ["blocks.1.hook_mlp_out"], embedding=point) as cache:
        logits = model.logits(torch.zeros_like(IDS))
    torch.testing.assert_close(logits, model.logits(IDS))
    (gradient,) = torch.autograd.grad(cache["blocks.1.hook_mlp_out"].sum(), point)
    assert gradient.abs().sum() > 0


def test_heads_that_share_a_key_stand_next_to_each_other() -> None:
    x = torch.arange(2)
    assert activation_cache.repeat_heads(x, 4, 0).tolist() == [0, 0, 1, 1]
    assert activation_cache.repeat_heads(x, 2, 0) is x
