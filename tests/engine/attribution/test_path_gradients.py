"""What is kept of passes: differences against recordings, gradients against the plain oracle's."""

from __future__ import annotations

import pytest
import torch

from engine.attribution.metrics import at_sites, row_metrics
from engine.attribution.path_gradients import ActivationDifference, Path
from engine.attribution.sites import AttributionInput
from engine.models.activation_cache import ln1, qkv_weights, recording
from engine.models.fast_model import blocks_of, embed, hidden, hooked, output_logits
from engine.models.model import Model
from tests import oracle, tiny

directions = pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
architectures = pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)


def passes(model: Model, row: AttributionInput, alphas: list[float]) -> tuple[ActivationDifference, Path]:
    """The differences of a row and its gradients, summed over points."""
    plain, blocks = model.plain, blocks_of(model.plain)
    clean, corrupt = torch.tensor([row.clean]), torch.tensor([row.corrupt])
    bias = model.attention_bias(torch.ones_like(clean, dtype=torch.bool))
    end, start = embed(plain, clean), embed(plain, corrupt)
    difference = ActivationDifference(blocks, end - start)
    for embedding in (end, start):
        with hooked(difference.hooks()), torch.no_grad():
            hidden(plain, embedding, bias)
    path = Path(plain, blocks, torch.tensor([[1.0], [0.0]]))
    for alpha in alphas:
        point = torch.lerp(start, end, alpha).requires_grad_()
        with hooked(path.hooks(difference)):
            logits = output_logits(plain, at_sites(hidden(plain, point, bias, path.add_heads), [row]))
        torch.autograd.grad(row_metrics("logit_diff", logits, [row]).sum(), point)
    path.finish()
    return difference, path


@directions
@architectures
def test_differences_are_clean_minus_corrupted(architecture: str, causal: bool) -> None:
    model = tiny.model(architecture, causal)
    row = tiny.rows_of(model, tiny.random_examples(1))[0]
    difference, _ = passes(model, row, [1.0])
    hooks = ("attn.hook_z", "mlp.hook_post", "hook_mlp_out")
    names = [f"blocks.{layer}.{hook}" for layer in range(2) for hook in hooks]
    caches = []
    for tokens in (row.clean, row.corrupt):
        with recording(model, names) as cache, torch.no_grad():
            model.logits(torch.tensor([tokens]))
        caches.append(cache)
    for layer in range(2):
        kept = (difference.heads[layer], difference.neurons[layer], difference.mlps[layer])
        for hook, values in zip(hooks, kept, strict=True):
            clean, corrupt = (cache[f"blocks.{layer}.{hook}"].flatten(2) for cache in caches)
            torch.testing.assert_close(values, clean - corrupt, rtol=1e-4, atol=1e-5)


@directions
@architectures
def test_gradients_are_those_that_each_destination_alone_reads(architecture: str, causal: bool) -> None:
    """Heads are expanded from their sums in head space: G = w W^T sum(g / r) - sum(c x), as METHOD says."""
    model, expanded = tiny.model(architecture, causal), tiny.with_own_keys(architecture, causal)
    graph, alphas = model.graph, [0.0, 0.5, 1.0]
    row = tiny.rows_of(model, tiny.random_examples(1))[0]
    _, path = passes(model, row, alphas)
    by_point = [oracle.destination_gradients(expanded, row, alpha, "logit_diff")[1] for alpha in alphas]
    expected = [torch.stack(gradients).sum(0) for gradients in zip(*by_point, strict=True)]  # [pos, d_model] each
    scale = max(float(gradient.abs().max()) for gradient in expected)
    torch.testing.assert_close(path.logits[0][0], expected[-1], rtol=1e-4, atol=1e-5 * scale)
    for layer in range(graph.n_layers):
        at = graph.mlp_destination(layer)
        torch.testing.assert_close(path.mlps[layer][0], expected[at], rtol=1e-4, atol=1e-5 * scale)
        norm, weights = ln1(model, layer), qkv_weights(model, layer)  # [3, head, d_model, d_head]
        through = torch.einsum("thpe,thde->thpd", path.heads[layer][:, 0], weights)
        read = norm.centre(norm.weight * through)
        for c, x in zip(path.norm_terms[layer], path.residuals[layer], strict=True):
            read = read - c[:, 0, :, :, None] * x[0]
        heads = torch.stack(expected[graph.attention_destinations(layer)]).unflatten(0, (3, -1))
        torch.testing.assert_close(read, heads, rtol=1e-3, atol=1e-5 * scale)


@directions
def test_neurons_score_in_the_half_of_their_row_and_sum_to_their_mlps_score(causal: bool) -> None:
    model = tiny.model("llama", causal)
    row = tiny.rows_of(model, tiny.random_examples(1))[0]
    difference, path = passes(model, row, [1.0])
    embeddings = torch.tensor([row.clean])
    names = [f"blocks.{layer}.hook_mlp_out" for layer in range(2)]
    point = model.bridge.W_E[embeddings].requires_grad_()
    with recording(model, names, embedding=point) as cache:
        value = row_metrics("logit_diff", at_sites(model.logits(embeddings), [row]), [row]).sum()
    gradients = torch.autograd.grad(value, [cache[name] for name in names])
    for layer, gradient in enumerate(gradients):
        even, odd = path.neurons[layer]
        assert not odd.any()
        assert float(even.sum()) == pytest.approx(float((difference.mlps[layer] * gradient).sum()), rel=1e-3)
