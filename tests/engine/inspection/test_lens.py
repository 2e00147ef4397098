"""The lenses obey conservation: terms sum to logits, neurons to their MLP, the last layer is the model's output."""

from __future__ import annotations

import pytest
import torch
from transformer_lens.tools.analysis.logit_lens import logit_lens

from engine.inspection import lens as module
from engine.inspection.lens import (
    entropy,
    entropy_and_top,
    lenses,
    neuron_lens,
    ranks,
    residual_logits,
    top_tokens,
    unembed,
)
from engine.models import activation_cache
from engine.models.activation_cache import recording
from tests import tiny

INPUTS = [(5, 9, 11, 30, 7), (8, 3, 40, 41, 42, 12, 6)]
READS = [4, 2]


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_component_terms_and_biases_sum_to_the_logits(architecture: str, causal: bool) -> None:
    model = tiny.model(architecture, causal)
    for tokens, at, lens in zip(INPUTS, READS, lenses(model, INPUTS, READS), strict=True):
        logits = model.logits(torch.tensor([tokens]))[0, at]
        assert lens.components.shape == (model.graph.n_sources, tiny.VOCAB)
        torch.testing.assert_close(lens.components.sum(0) + lens.bias, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_last_residual_lens_is_the_models_output(architecture: str) -> None:
    model = tiny.model(architecture, causal=False)
    for tokens, at, lens in zip(INPUTS, READS, lenses(model, INPUTS, READS), strict=True):
        logits = model.logits(torch.tensor([tokens]))[0, at]
        assert len(lens.residuals) == model.graph.n_layers + 1
        torch.testing.assert_close(lens.residuals[-1], logits, rtol=1e-4, atol=1e-4)


def test_first_residual_lens_reads_the_embedding() -> None:
    model = tiny.model("llama", causal=True)
    lens = lenses(model, INPUTS[:1], READS[:1])[0]
    embedding = model.bridge.W_E[INPUTS[0][READS[0]]]
    torch.testing.assert_close(lens.residuals[0], residual_logits(model, embedding), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_residual_lens_agrees_with_transformer_lens(architecture: str) -> None:
    model = tiny.model(architecture, causal=True)
    theirs = logit_lens(model.bridge, torch.tensor(INPUTS[:1]), positions=READS[0]).values.reshape(-1, tiny.VOCAB)
    torch.testing.assert_close(lenses(model, INPUTS[:1], READS[:1])[0].residuals, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_neuron_terms_sum_to_their_mlps_term(architecture: str) -> None:
    model = tiny.model(architecture, causal=True)
    lens, layer = lenses(model, INPUTS[:1], READS[:1])[0], 1
    with recording(model, [f"blocks.{layer}.mlp.hook_post", "ln_final.hook_in"]) as cache:
        model.logits(torch.tensor(INPUTS[:1]))
    final = cache["ln_final.hook_in"][0, READS[0]]
    neurons = neuron_lens(model, final, layer, cache[f"blocks.{layer}.mlp.hook_post"][0, READS[0]])
    expected = lens.components[model.graph.mlp(layer)]
    bias = model.bridge.blocks[layer].mlp.b_out
    if bias is not None:
        expected = expected - unembed(model, activation_cache.final_norm(model).apply_with_frozen_scale(final, bias))
    torch.testing.assert_close(neurons.sum(0), expected, rtol=1e-4, atol=1e-4)


def test_ends_ranks_and_entropy() -> None:
    logits = torch.tensor([[0.0, 3.0, -2.0, 1.0]])
    both = top_tokens(logits, 2)
    assert both.promoted.tolist() == [[1, 3]] and both.suppressed.tolist() == [[2, 0]]
    assert both.promoted_logits.tolist() == [[3.0, 1.0]] and both.suppressed_logits.tolist() == [[-2.0, 0.0]]
    assert ranks(logits, 1).tolist() == [0] and ranks(logits, 2).tolist() == [3]
    assert float(entropy(torch.zeros(1, 8))) == pytest.approx(float(torch.log(torch.tensor(8.0))))


@pytest.mark.parametrize("at_once", [1, 2**19], ids=["a row at a time", "all rows"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_entropy_and_top_are_those_in_double_precision(
    scale: float, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CACHED_LOGITS", at_once)
    logits = scale * torch.randn(2, 5, 1001, generator=torch.Generator().manual_seed(0))
    log_p = logits.double().log_softmax(-1)
    entropies, tops = entropy_and_top(logits)
    torch.testing.assert_close(entropies.double(), -(log_p.exp() * log_p).sum(-1), rtol=1e-6, atol=2e-6)
    torch.testing.assert_close(tops.double(), log_p.exp().amax(-1), rtol=1e-5, atol=1e-9)
    assert torch.equal(entropy(logits[0, 0]), entropies[0, 0])
