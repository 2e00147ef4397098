"""Knockouts against a literal version: the whole model with hooks, every row alone, one removal at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.attribution.metrics import at_sites, row_metrics
from engine.attribution.sites import AttributionInput, up_to_reads
from engine.attribution.soundness import Unsound
from engine.evidence.ablated_pass import Removal
from engine.evidence.knockouts import CORRUPTED, MEAN, Knockouts, run_without, task_mean
from engine.evidence.patching import run_circuits
from engine.models.batching import Capacity
from engine.models.model import Model
from tests import tiny
from tests.engine.evidence.test_patching import by_part, close, wrapped_with_window

NODES = range(1, 11)  # of two layers: four heads and an MLP each
SETS = [(1, 5), (2, 7, 10), (6,), tuple(NODES), ()]
REMOVALS = [Removal(nodes, by) for nodes in [*((node,) for node in NODES), *SETS] for by in (CORRUPTED, MEAN)]

Writes = dict[str, Tensor]  # by hook, [1, pos, ...]


def hook_names(model: Model) -> list[str]:
    return [f"blocks.{layer}.{n}" for layer in range(model.graph.n_layers) for n in ("attn.hook_z", "hook_mlp_out")]


def writes(model: Model, ids: tuple[int, ...]) -> Writes:
    return {name: torch.tensor(tiny.recorded(model, ids, name))[None].float() for name in hook_names(model)}


def mean_writes(model: Model, rows: Sequence[AttributionInput]) -> Writes:
    """Over every token of every input, run alone; an ARM's is read at several sites, the last token at the last."""
    inputs = {(row.example, row.clean): (up_to_reads(row) if model.causal else row).clean for row in rows}
    run = [writes(model, ids) for ids in inputs.values()]
    return {name: torch.cat([of[name] for of in run], 1).mean(1, keepdim=True) for name in hook_names(model)}


def literal_logits(model: Model, row: AttributionInput, nodes: Sequence[int], instead: Writes) -> Tensor:
    """[site, vocab] of one row, run alone with hooks that overwrite what the nodes write."""

    def overwrite(name: str, tensor: Tensor, hook: Any) -> Tensor:
        patched, graph, layer = tensor.clone(), model.graph, int(name.split(".")[1])
        if "mlp" in name and graph.mlp(layer) in nodes:
            patched[:] = instead[name]
        for head in range(graph.n_heads):
            if "hook_z" in name and graph.head(layer, head) in nodes:
                patched[:, :, head] = instead[name][:, :, head]
        return patched

    hooks = [(name, partial(overwrite, name)) for name in hook_names(model)]
    with model.bridge.hooks(fwd_hooks=hooks), torch.no_grad():
        return at_sites(model.logits(torch.tensor([row.clean])), [row])


def literal_metrics(
    model: Model, rows: Sequence[AttributionInput], removal: Removal, mean: Writes, metric: str = "logit_diff"
) -> list[float]:
    values = []
    for row in rows:
        instead = mean if removal.replaced_by == MEAN else writes(model, row.corrupt)
        clean = literal_logits(model, row, (), instead)
        values.append(float(row_metrics(metric, literal_logits(model, row, removal.nodes, instead), [row], clean)))
    return values


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_every_node_and_sets_of_them_equal_the_literal_version(architecture: str, causal: bool) -> None:
    model = tiny.model(architecture, causal)
    rows = tiny.rows_of(model, tiny.random_examples(2))
    assert len({row.part for row in rows}) > 1 and len({len(row.clean) for row in rows}) > 1
    measured, mean = run_without(model, rows, 2, REMOVALS).without, mean_writes(model, rows)
    expected = [by_part(rows, literal_metrics(model, rows, removal, mean), 2) for removal in REMOVALS]
    for part, values in measured.parts.items():
        assert close(values, np.stack([parts[part] for parts in expected])), part
    assert close(measured.metric, np.stack([sum(parts.values()) for parts in expected]))
    assert np.ptp(measured.metric[:, 0]) > 0.1


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", ["qwen2", "gpt2"])
def test_to_knock_nodes_out_is_to_patch_all_edges_that_leave_them(architecture: str, causal: bool) -> None:
    model = tiny.model(architecture, causal)
    rows = tiny.rows_of(model, tiny.random_examples(3))
    removals = [removal for removal in REMOVALS if removal.replaced_by == CORRUPTED]
    kept = np.stack([~np.isin(model.graph.edge_source, removal.nodes) for removal in removals])
    circuits, knockouts = run_circuits(model, rows, 3, kept), run_without(model, rows, 3, removals)
    assert close(knockouts.without.metric, circuits.circuits.metric)
    assert np.array_equal(knockouts.without.right, circuits.circuits.right)
    assert circuits.full and close(knockouts.full.metric, circuits.full.metric)
    assert close(knockouts.corrupted.metric, circuits.corrupted.metric)


@pytest.mark.parametrize("metric", ["log_prob", "kl"])
def test_other_metrics(metric: str) -> None:
    model = tiny.model("qwen3", causal=False)
    rows = tiny.rows_of(model, tiny.random_examples(2))
    measured, mean = run_without(model, rows, 2, REMOVALS[:4], metric).without.metric, mean_writes(model, rows)
    for removal, values in zip(REMOVALS[:4], measured, strict=True):
        expected = sum(by_part(rows, literal_metrics(model, rows, removal, mean, metric), 2).values())
        assert np.abs(values - expected).max() < 1e-5 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_without_no_node_it_is_the_full_model(causal: bool) -> None:
    model = tiny.model("llama", causal)
    rows = tiny.rows_of(model, tiny.random_examples(3))
    runs = run_without(model, rows, 3, [Removal((), CORRUPTED), Removal((), MEAN)])
    for values in runs.without.metric:
        assert close(values, runs.full.metric[0])
    assert np.array_equal(runs.without.right, np.repeat(runs.full.right, 2, 0))


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_the_mean_over_the_task_is_over_all_tokens_of_all_rows(causal: bool) -> None:
    model = tiny.model("llama", causal)
    rows = tiny.rows_of(model, tiny.random_examples(4, lengths=(5, 9, 7)))
    expected = mean_writes(model, rows)
    for capacity in (Capacity(1), Capacity(25), None):
        mean = task_mean(model, rows, capacity)
        for layer in range(2):
            for kept, name in ((mean.heads, "attn.hook_z"), (mean.mlps, "hook_mlp_out")):
                hand = expected[f"blocks.{layer}.{name}"].flatten()
                np.testing.assert_allclose(kept[layer].flatten(), hand, rtol=1e-4, atol=1e-5)
                assert kept[layer].shape[:2] == (1, 1)


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_batches_of_any_size_give_the_same(causal: bool) -> None:
    model = tiny.model("llama", causal)
    rows = tiny.rows_of(model, tiny.random_examples(4, lengths=(5, 9, 7)))
    together = run_without(model, rows, 4, REMOVALS)
    for buffer in (0, 20_000, 100_000, 300_000):  # one removal and row at once, then several
        assert same(run_without(model, rows, 4, REMOVALS, buffer=buffer), together)
    backwards = run_without(model, rows[::-1], 4, REMOVALS[::-1])
    assert close(backwards.without.metric[::-1], together.without.metric)


def same(a: Knockouts, b: Knockouts) -> bool:
    return close(a.without.metric, b.without.metric) and np.array_equal(a.without.right, b.without.right)


def test_a_layer_with_a_sliding_window() -> None:
    """A window as long as the input changes nothing, a shorter one is that of every pass."""
    model, removals = tiny.model("llama", causal=True), REMOVALS[:8]
    rows = tiny.rows_of(model, tiny.random_examples(1))
    for window in (3, 64):
        narrow = wrapped_with_window(window)
        measured = run_without(narrow, rows, 1, removals).without.metric
        expected = [literal_metrics(narrow, rows, removal, mean_writes(narrow, rows)) for removal in removals]
        assert close(measured, np.array([[sum(values)] for values in expected]))
        assert close(measured, run_without(model, rows, 1, removals).without.metric) == (window == 64)


def test_progress_counts_rows() -> None:
    model, done = tiny.model("llama", causal=True), []
    rows = tiny.rows_of(model, tiny.random_examples(3))
    run_without(model, rows, 3, REMOVALS[:2], on_rows=done.append, buffer=1)
    assert done == sorted(done) and done[-1] == len(rows) and len(done) > 1


@pytest.mark.parametrize("nodes", [(0,), (3, 11)])
def test_only_heads_and_mlps_can_be_removed(nodes: tuple[int, ...]) -> None:
    model = tiny.model("llama", causal=True)
    with pytest.raises(ValueError, match="neither heads nor MLPs"):
        run_without(model, tiny.rows_of(model, tiny.random_examples(1)), 1, [Removal(nodes, CORRUPTED)])
    with pytest.raises(ValueError, match="only by corrupted, mean"):
        run_without(model, tiny.rows_of(model, tiny.random_examples(1)), 1, [Removal((1,), "zero")])


def test_logits_that_are_no_numbers_are_refused() -> None:
    model = tiny.model("llama", causal=True)
    rows = tiny.rows_of(model, tiny.random_examples(1))
    with torch.no_grad():
        model.plain.get_output_embeddings().weight[7] = torch.nan
    with pytest.raises(Unsound, match="logits on clean prompts hold NaN"):
        run_without(model, rows, 1, REMOVALS[:1])
