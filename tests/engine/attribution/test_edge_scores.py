"""Edge scores against a plain second implementation, finite differences, conservation and transformer_lens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from transformer_lens.tools.analysis.attribution_patching import EdgeAttributionConfig, Node, attribution_patch

from engine.attribution import edge_scores
from engine.attribution.edge_scores import attribute, integration_points
from engine.attribution.footprint import BUFFER, token_bytes
from engine.attribution.metrics import at_sites, row_metrics
from engine.attribution.sites import AttributionInput
from engine.models import fast_model
from engine.models.activation_cache import recording
from engine.models.batching import Capacity
from engine.models.model import Model
from engine.schema.vocabulary import BLOCKS
from tests import oracle, tiny

METHODS = ("eap", "eap-ig", "eap-ig-midpoint", "clean-corrupted")


def total(model: Model, rows: list[AttributionInput], n: int, **options: object) -> torch.Tensor:
    return attribute(model, rows, n, **options).total  # type: ignore[arg-type]


def relative_error(measured: torch.Tensor, expected: torch.Tensor) -> float:
    return float((measured - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_fast_scores_equal_plain_scores(architecture: str, causal: bool) -> None:
    model, expanded = tiny.model(architecture, causal), tiny.with_own_keys(architecture, causal)
    rows = tiny.rows_of(model, tiny.random_examples(3))
    for method in METHODS:
        expected = oracle.plain_scores(expanded, rows, method, 3, "logit_diff")
        assert relative_error(total(model, rows, 3, method=method, points=3), expected) < 1e-5


@pytest.mark.parametrize(("causal", "widths"), [(True, {7, 8, 9, 10}), (False, {9, 11})], ids=["arm", "mdm"])
def test_a_causal_model_runs_no_token_after_the_last_that_is_read(
    causal: bool, widths: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[int] = []
    monkeypatch.setattr(
        edge_scores, "embed", lambda plain, ids: (run.append(ids.shape[1]), fast_model.embed(plain, ids))[1]
    )
    model = tiny.model("llama", causal)
    attribute(model, tiny.rows_of(model, tiny.random_examples(4)), 4, capacity=Capacity(1))  # prompts of 6 and of 8
    assert set(run) == widths


@pytest.mark.parametrize("metric", ["log_prob", "kl"])
def test_other_metrics_and_several_right_answers(metric: str) -> None:
    model, expanded = tiny.model("qwen2", causal=False), tiny.with_own_keys("qwen2", causal=False)
    pooled = [replace(e, right=(5, 6, 7), wrong=(8, 9)) for e in tiny.random_examples(2)]
    rows = tiny.rows_of(model, pooled)
    expected = oracle.plain_scores(expanded, rows, "eap-ig", 2, metric)
    assert relative_error(total(model, rows, 2, points=2, metric=metric), expected) < 1e-5


def slope(model: Model, row: AttributionInput, alpha: float, v: int, delta: torch.Tensor) -> float:
    """d metric / d eps at a point of the path, with eps * `delta` [pos, d_model] added to one destination's input."""
    name, head = oracle.destination_hooks(model)[v]

    def add(tensor: torch.Tensor, eps: float) -> torch.Tensor:
        moved = tensor.clone()
        (moved[0] if head is None else moved[0, :, head]).add_(eps * delta)
        return moved

    return derivative(model, row, alpha, name, add)


def derivative(
    model: Model, row: AttributionInput, alpha: float, name: str, move: Callable[[torch.Tensor, float], torch.Tensor]
) -> float:
    """d metric / d eps at a point of the path, with `move` applied to one hook.

    Central differences at two widths, extrapolated, because the models' softmax and norms stay in single precision.
    """
    clean, corrupt = torch.tensor([row.clean]), torch.tensor([row.corrupt])
    e_clean, e_corrupt = oracle.source_writes(model, clean)[0], oracle.source_writes(model, corrupt)[0]

    def metric(eps: float) -> float:
        point = e_corrupt + alpha * (e_clean - e_corrupt)
        hooks = [("embed.hook_out", lambda tensor, hook: point), (name, lambda tensor, hook: move(tensor, eps))]
        with oracle.hooked(model, hooks), torch.no_grad():
            return float(row_metrics("logit_diff", at_sites(model.logits(clean), [row]), [row]).sum())

    wide, narrow = ((metric(h) - metric(-h)) / (2 * h) for h in (0.1, 0.05))
    return (4 * narrow - wide) / 3


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
def test_scores_equal_finite_differences(architecture: str, causal: bool) -> None:
    """Every kind of edge, at every site (ARM) and denoising step (MDM)."""
    expanded, model = tiny.with_own_keys(architecture, causal), tiny.model(architecture, causal)
    names = ["input->a0.h1<q>", "a0.h0->a1.h3<k>", "m0->a1.h2<v>", "a0.h3->m0", "m0->m1", "a1.h1->logits", "m1->logits"]
    rows = tiny.rows_of(model, tiny.random_examples(1))
    assert len({row.part for row in rows}) == 2
    for row in rows:
        scores = total(model, [row], 1, method="eap-ig", points=2)
        clean = oracle.source_writes(expanded, torch.tensor([row.clean]))
        corrupt = oracle.source_writes(expanded, torch.tensor([row.corrupt]))
        for name in names:
            edge = model.graph.edge_named(name)
            u, v = int(model.graph.edge_source[edge]), int(model.graph.edge_destination[edge])
            slopes = [slope(expanded, row, a, v, (clean[u] - corrupt[u])[0]) for a in integration_points("eap-ig", 2)]
            noise = 1e-4 * float(scores.abs().max())
            assert float(scores[u, v]) == pytest.approx(sum(slopes) / 2, rel=5e-3, abs=noise), name


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_scores_into_a_destination_sum_to_residual_times_gradient(architecture: str, causal: bool) -> None:
    model, expanded = tiny.model(architecture, causal), tiny.with_own_keys(architecture, causal)
    row = tiny.rows_of(model, tiny.random_examples(1))[0]
    swapped = replace(row, clean=row.corrupt, corrupt=row.clean)
    clean_reads, gradients = oracle.destination_gradients(expanded, row, 1.0, "logit_diff")
    corrupt_reads, _ = oracle.destination_gradients(expanded, swapped, 1.0, "logit_diff")
    scores = total(model, [row], 1, method="eap")
    for v, gradient in enumerate(gradients):
        expected = float(((clean_reads[v] - corrupt_reads[v]) * gradient).sum())
        assert float(scores[:, v].sum()) == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_eap_equals_transformer_lens() -> None:
    """transformer_lens takes the gradient at its corrupt run: with the roles swapped, its score is minus ours."""
    model = tiny.model("gpt2", causal=True)
    rows = tiny.rows_of(model, tiny.random_examples(1))
    scores = total(model, rows, 1, method="eap")
    model.bridge.requires_grad_(True)  # their gradients start at the parameters
    sources = {("embed", None, None): 0}
    kinds = {"q_input": 0, "k_input": 1, "v_input": 2}
    for layer in range(2):
        sources |= {("attn_head_out", layer, h): model.graph.head(layer, h) for h in range(4)}
        sources[("mlp_out", layer, None)] = model.graph.mlp(layer)

    def destination(node: Node) -> int:
        if node.kind == "logits":
            return model.graph.n_destinations - 1
        if node.kind == "mlp_in":
            return model.graph.mlp_destination(node.layer or 0)
        return model.graph.attention_destinations(node.layer or 0).start + kinds[node.kind] * 4 + (node.head or 0)

    expected = torch.zeros_like(scores)
    for row in rows:
        theirs = attribution_patch(
            model.bridge,
            torch.tensor([row.corrupt]),
            torch.tensor([row.clean]),
            lambda logits, row=row: row_metrics("logit_diff", at_sites(logits, [row]), [row]).sum(),  # type: ignore[misc]
            EdgeAttributionConfig(granularity="edge"),
        )
        for (writer, reader), score in theirs.edge_scores.items():
            expected[sources[writer.kind, writer.layer, writer.head], destination(reader)] -= score
    assert expected.count_nonzero() == model.graph.n_edges
    assert relative_error(scores, expected) < 1e-5


def test_batches_padding_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.model("qwen2", causal=False)
    rows = tiny.rows_of(model, tiny.random_examples(5, lengths=(5, 9, 7)))
    together = total(model, rows, 5)
    one_by_one = sum(total(model, [row], 5) for row in rows)
    assert relative_error(together, one_by_one) < 1e-5
    token = token_bytes(model.graph, 32, 4)
    for tokens in (1, 7, 25, 40):  # less than a row of 12, two of its pieces, two rows, three rows
        monkeypatch.setitem(BUFFER, "cpu", tokens * token)
        assert relative_error(total(model, rows, 5), together) < 1e-5


def test_illegal_edges_stay_zero_and_metrics_are_per_example() -> None:
    model = tiny.model("llama", causal=True)
    examples = tiny.random_examples(3)
    rows = tiny.rows_of(model, examples)
    result = attribute(model, rows, 3)
    assert not result.total[~torch.from_numpy(model.graph.legal)].any()
    for i, example in enumerate(examples):
        logits = model.logits(torch.tensor([example.prompt + example.answer]))[0]
        differences = [
            logits[example.start + t - 1, example.answer[t]] - logits[example.start + t - 1, example.corrupt_answer[t]]
            for t in example.contrasts
        ]
        assert float(result.metric_clean[i]) == pytest.approx(float(sum(differences)) / len(differences), rel=1e-4)


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_a_block_holds_its_examples_and_a_half_every_second_block(causal: bool) -> None:
    model = tiny.model("llama", causal)
    n = BLOCKS + 3
    rows = tiny.rows_of(model, tiny.random_examples(n, lengths=(5, 6)))
    result = attribute(model, rows, n, points=1)
    assert result.blocks.shape == (BLOCKS, model.graph.n_sources, model.graph.n_destinations)
    assert set(result.scores) == {row.part for row in rows}
    assert relative_error(result.blocks.sum(0), result.total) < 1e-5
    for block in (1, 2, 3, BLOCKS - 1):
        mine = [row for row in rows if row.example in (block, block + BLOCKS)]
        assert relative_error(result.blocks[block], total(model, mine, n, points=1)) < 1e-5
    for half in (0, 1):
        alone = attribute(model, [row for row in rows if row.example % 2 == half], n, points=1)
        assert relative_error(result.halves[half], alone.total) < 1e-5
        assert relative_error(result.neurons[half], alone.neurons[half]) < 1e-5
        assert not alone.neurons[1 - half].any() and not alone.halves[1 - half].any()


def test_one_example_is_enough() -> None:
    model = tiny.model("llama", causal=False)
    rows = tiny.rows_of(model, tiny.random_examples(1))
    result = attribute(model, rows, 1)
    assert result.blocks.shape[0] == 1 and len(result.metric_clean) == 1
    assert relative_error(result.blocks[0], result.total) < 1e-6
    assert result.halves[0].any() and not result.halves[1].any()
    assert result.neurons[0].any() and not result.neurons[1].any()


@pytest.mark.parametrize("method", ["eap", "eap-ig", "relp"])
@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_neurons_of_a_layer_sum_to_what_their_mlps_edges_carry(architecture: str, causal: bool, method: str) -> None:
    """Everything the MLP writes is read by somebody: both sides are its difference times the metric's whole slope."""
    model = tiny.model(architecture, causal)
    result = attribute(model, tiny.rows_of(model, tiny.random_examples(5, lengths=(5, 9, 7))), 5, method, points=3)
    largest = float(result.total.abs().max())
    for layer in range(model.graph.n_layers):
        for half in (0, 1):
            edges = float(result.halves[half, model.graph.mlp(layer)].sum())
            assert abs(edges) > 1e-3 * largest
            assert float(result.neurons[half, layer].sum()) == pytest.approx(edges, rel=1e-4, abs=1e-5 * largest)


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_neurons_equal_finite_differences(architecture: str, causal: bool) -> None:
    """Moving one neuron along its own difference moves the metric by its attribution, averaged over the points."""
    model = tiny.model(architecture, causal)
    row = tiny.rows_of(model, tiny.random_examples(1))[0]
    scores = attribute(model, [row], 1, "eap-ig", points=2).neurons[0]
    names = [f"blocks.{layer}.mlp.hook_post" for layer in range(model.graph.n_layers)]
    caches = []
    for tokens in (row.clean, row.corrupt):
        with recording(model, names) as cache, torch.no_grad():
            model.logits(torch.tensor([tokens]))
        caches.append(cache)
    noise = 1e-3 * float(scores.abs().max())
    for layer, name in enumerate(names):
        for j in (*scores[layer].abs().topk(3).indices.tolist(), 0, 47):
            delta = torch.zeros_like(caches[0][name])
            delta[..., j] = (caches[0][name] - caches[1][name])[..., j]
            slopes = [
                derivative(model, row, alpha, name, lambda tensor, eps, delta=delta: tensor + eps * delta)  # type: ignore[misc]
                for alpha in integration_points("eap-ig", 2)
            ]
            assert float(scores[layer, j]) == pytest.approx(sum(slopes) / 2, rel=1e-2, abs=noise), (layer, j)
