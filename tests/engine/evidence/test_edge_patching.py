"""Edges patched alone: against a literal version, against circuits of all other edges, and in a linear model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.attribution.edge_scores import attribute
from engine.attribution.soundness import Unsound
from engine.evidence.edge_patching import patch_edges
from engine.evidence.patching import run_circuits
from engine.models.model import Model
from tests import tiny
from tests.engine.evidence.literal import literal_metrics
from tests.linear_model import linear_model

directions = pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
architectures = pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
EVERY_KIND = (
    "input->a0.h1<q>", "input->a0.h2<k>", "input->a0.h0<v>", "a0.h3->m0", "m0->a1.h2<q>", "a0.h0->a1.h3<k>",
    "m0->a1.h1<v>", "m0->m1", "a1.h1->m1", "a1.h1->logits", "m1->logits", "input->logits",
)  # fmt: skip


@directions
@architectures
def test_edges_of_every_kind_equal_the_literal_version(architecture: str, causal: bool) -> None:
    model, expanded = tiny.model(architecture, causal), tiny.with_own_keys(architecture, causal)
    rows = tiny.rows_of(model, tiny.random_examples(2))
    edges = np.array([model.graph.edge_named(name) for name in EVERY_KIND])
    effects = patch_edges(model, rows, 2, edges)
    largest = float(np.abs(effects.full).max())
    for edge, name, without in zip(edges, EVERY_KIND, effects.without, strict=True):
        mask = np.arange(model.graph.n_edges) != edge
        expected = np.zeros(2)
        for row, value in zip(rows, literal_metrics(expanded, rows, mask), strict=True):
            expected[row.example] += value
        assert np.abs(without - expected).max() < 1e-5 * largest, name


@directions
@architectures
@pytest.mark.parametrize("metric", ["logit_diff", "kl"])
def test_all_edges_equal_circuits_of_all_others(architecture: str, causal: bool, metric: str) -> None:
    model = tiny.model(architecture, causal)
    rows = tiny.rows_of(model, tiny.random_examples(5, lengths=(5, 8, 7)))
    n_edges = model.graph.n_edges
    effects = patch_edges(model, rows, 5, np.arange(n_edges), metric)
    runs = run_circuits(model, rows, 5, ~np.eye(n_edges, dtype=bool), metric)
    assert runs.full is not None
    largest = float(np.abs(runs.corrupted.metric).max())
    for measured, expected in (
        (effects.without, runs.circuits.metric), (effects.full, runs.full.metric[0]),
        (effects.corrupted, runs.corrupted.metric[0]),
    ):  # fmt: skip
        assert np.abs(measured - expected).max() < 1e-5 * largest


def total(model: Model, scores: torch.Tensor) -> np.ndarray:
    return scores.numpy()[model.graph.edge_source, model.graph.edge_destination]


@directions
def test_exact_scores_of_a_linear_model_are_those_of_every_estimator(causal: bool) -> None:
    model = linear_model(causal)
    rows = tiny.rows_of(model, tiny.random_examples(3))
    exact = patch_edges(model, rows, 3, np.arange(model.graph.n_edges)).exact
    assert np.count_nonzero(np.abs(exact) > 1e-3) > 30
    for method in ("eap", "eap-ig", "relp"):
        estimate = total(model, attribute(model, rows, 3, method).total) / 3
        assert np.abs(exact - estimate).max() < 1e-4 * np.abs(exact).max(), method


def test_rows_are_counted_and_unsound_metrics_refused() -> None:
    model = tiny.model("llama", causal=False)
    rows, counted = tiny.rows_of(model, tiny.random_examples(3)), []
    patch_edges(model, rows, 3, np.array([0]), on_rows=counted.append)
    assert counted[-1] == len(rows)
    model.plain.model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(Unsound):
        patch_edges(model, rows, 3, np.array([0]))
