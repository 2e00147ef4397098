"""RelP against a literal second implementation, against EAP where nothing is to be linearised, and its own rules."""

from __future__ import annotations

import pytest
import torch

from engine.attribution.edge_scores import attribute
from engine.attribution.linearised_pass import SMALLEST, _product, linearising_hooks
from engine.circuits.graph import Graph
from engine.models.fast_model import blocks_of, embed, hidden, hooked
from tests import tiny
from tests.linear_model import linear_model
from tests.linearised import literal_scores

directions = pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
architectures = pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)


def queries_and_keys(graph: Graph) -> torch.Tensor:
    return torch.from_numpy(graph.destination_kind < 2)


@directions
@architectures
def test_scores_equal_the_literal_version_and_queries_and_keys_have_none(architecture: str, causal: bool) -> None:
    model, expanded = tiny.model(architecture, causal), tiny.with_own_keys(architecture, causal)
    rows = tiny.rows_of(model, tiny.random_examples(3))
    scores = attribute(model, rows, 3, "relp").total
    expected = literal_scores(architecture, model, expanded, rows)
    assert float((scores - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    at = queries_and_keys(model.graph)
    assert not scores[:, at].any() and scores[:, ~at].any(0).all()


@directions
def test_relp_equals_eap_where_nothing_is_to_be_linearised(causal: bool) -> None:
    model = linear_model(causal)
    rows = tiny.rows_of(model, tiny.random_examples(3))
    relp, eap = attribute(model, rows, 3, "relp"), attribute(model, rows, 3, "eap")
    assert eap.total.abs().max() > 0.01
    torch.testing.assert_close(relp.total, eap.total, rtol=1e-4, atol=1e-5 * float(eap.total.abs().max()))
    torch.testing.assert_close(relp.neurons, eap.neurons, rtol=1e-4, atol=1e-5 * float(eap.neurons.abs().max()))


@directions
@architectures
def test_neurons_sum_to_what_their_mlps_edges_carry(architecture: str, causal: bool) -> None:
    model = tiny.model(architecture, causal)
    result = attribute(model, tiny.rows_of(model, tiny.random_examples(4)), 4, "relp")
    largest = float(result.total.abs().max())
    for layer in range(model.graph.n_layers):
        edges = float(result.total[model.graph.mlp(layer)].sum())
        assert float(result.neurons[:, layer].sum()) == pytest.approx(edges, rel=1e-4, abs=1e-5 * largest)


@architectures
def test_values_stay_the_models_own_and_hooks_leave_nothing_behind(architecture: str) -> None:
    model = tiny.model(architecture, causal=True)
    ids = torch.tensor([[5, 9, 11, 20]])
    bias = model.attention_bias(torch.ones_like(ids, dtype=torch.bool))
    before = hidden(model.plain, embed(model.plain, ids), bias)
    with hooked(linearising_hooks(model.plain, blocks_of(model.plain))):
        torch.testing.assert_close(hidden(model.plain, embed(model.plain, ids), bias), before)
    assert torch.equal(hidden(model.plain, embed(model.plain, ids), bias), before)


def test_scores_are_the_same_each_time() -> None:
    model = tiny.model("qwen2", causal=False)
    rows = tiny.rows_of(model, tiny.random_examples(3))
    assert torch.equal(attribute(model, rows, 3, "relp").total, attribute(model, rows, 3, "relp").total)


def test_branches_get_half_of_the_gradient_and_activations_their_ratio_also_at_zero() -> None:
    gate, up = torch.tensor([2.0, -1.0, 0.0], requires_grad=True), torch.tensor([3.0, 4.0, 5.0], requires_grad=True)
    silu = torch.nn.functional.silu
    product = _product(silu, gate, up)
    torch.testing.assert_close(product, silu(gate) * up)
    by_gate, by_up = torch.autograd.grad(product.sum(), [gate, up])
    ratio = torch.tensor([1 / (1 + torch.e**-2), 1 / (1 + torch.e), 0.5])
    torch.testing.assert_close(by_gate, ratio * up.detach() / 2)
    torch.testing.assert_close(by_up, silu(gate.detach()) / 2)
    alone = _product(silu, gate)
    torch.testing.assert_close(torch.autograd.grad(alone.sum(), gate)[0], ratio)
    assert SMALLEST < 1e-5
