"""Histograms, moments and residual norms against numpy on the raw activations of every input run alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from engine.inspection import bins, observers
from engine.inspection.activations import Histograms, ResidualNorms, _central
from engine.inspection.observers import Input, inputs_of, survey
from engine.models.activation_cache import recording
from engine.models.model import Model
from tests import tiny

EXAMPLES = 5
LENGTHS = (5, 9, 7)  # of prompts, so that batches are padded


def study(architecture: str, causal: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[Model, list[Input]]:
    """A tiny model with its clean inputs; several batches, each with padding."""
    monkeypatch.setattr(observers, "TOKENS", 40)
    model, examples = tiny.model(architecture, causal), tiny.random_examples(EXAMPLES, lengths=LENGTHS)
    return model, inputs_of(tiny.rows_of(model, examples), examples)


def raw(model: Model, item: Input, name: str) -> np.ndarray:
    """[pos, ...] of a hook when the input runs alone, without padding."""
    with recording(model, [name]) as cache, torch.no_grad():
        model.logits(torch.tensor([item.ids]))
    return cache[name][0].double().numpy()


def in_region(item: Input, region: str) -> list[int]:
    return {
        "prompt": list(range(item.start)),
        "answer": list(range(item.start, len(item.ids))),
        "readout": list(item.reads),
    }[region]


def histograms(model: Model, inputs: list[Input]) -> pa.Table:
    observer = Histograms(model)
    survey(model, inputs, [observer])
    return observer.table()


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_histograms_and_moments_equal_numpys(architecture: str, causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = study(architecture, causal, monkeypatch)
    rows = histograms(model, inputs).to_pylist()
    assert [(row["layer"], row["region"]) for row in rows] == [
        (layer, region) for layer in range(2) for region in ("prompt", "answer", "readout")
    ]
    for row in rows:
        at = f"blocks.{row['layer']}.mlp."
        post, pre = (
            np.concatenate([raw(model, item, at + hook)[in_region(item, row["region"])].ravel() for item in inputs])
            for hook in ("hook_post", "hook_pre")
        )
        assert row["n"] == post.size == sum(row["counts"])
        # A value within rounding of an edge may fall on its other side when the input is padded.
        assert np.abs(np.array(row["counts"]) - bins.counts(post)).sum() <= 2
        centred = post - post.mean()
        assert row["mean"] == pytest.approx(post.mean(), rel=1e-4, abs=1e-6)
        assert row["std"] == pytest.approx(post.std(), rel=1e-4)
        assert row["kurtosis"] == pytest.approx((centred**4).mean() / post.var() ** 2 - 3, rel=1e-3, abs=1e-3)
        assert row["active"] == pytest.approx((pre > 0).mean(), abs=2 / post.size)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e-20, 1e4], ids=str)
@pytest.mark.parametrize("varies", [False, True])
def test_kurtosis_of_values_that_hardly_vary_is_none_and_not_their_rounding(value: float, varies: bool) -> None:
    values = np.full(1000, value)
    values[::7] *= 1 + 1e-9 * varies
    (_,), (variance,), (kurtosis,) = _central(np.array([[(values**power).mean() for power in range(1, 5)]]))
    assert np.isnan(kurtosis) and variance <= 1e-13 * value**2


def test_kurtosis_of_known_distributions_and_of_none() -> None:
    """Excess: 0 for a normal distribution, -2 for a fair coin; a constant has none."""
    model = tiny.model("llama", causal=True)
    observer, item = Histograms(model), Input(0, "site-00", tuple(range(4, 24)), 10, (12,))
    coin = torch.tensor([-1.0, 1.0]).repeat(20, 24)[None]  # [1, pos, neuron]
    cache = {f"blocks.0.mlp.{name}": coin for name in ("hook_post", "hook_pre")}
    cache |= {f"blocks.1.mlp.{name}": torch.full((1, 20, 48), 2.5) for name in ("hook_post", "hook_pre")}
    batch = observers.Batch((0,), (item,), torch.tensor([item.ids]), torch.ones(1, 20, dtype=torch.bool))
    observer.observe(batch, cache)
    rows = observer.table().to_pylist()
    for row in rows:
        fair = row["layer"] == 0
        assert row["kurtosis"] == (pytest.approx(-2.0) if fair else None)
        assert row["mean"] == pytest.approx(0.0 if fair else 2.5, abs=1e-12)
        assert row["std"] == pytest.approx(1.0 if fair else 0.0)
        assert row["active"] == (0.5 if fair else 1.0)
        assert row["n"] == {"prompt": 480, "answer": 480, "readout": 48}[row["region"]]


def test_a_region_without_tokens_has_no_row() -> None:
    model = tiny.model("llama", causal=True)
    rows = histograms(model, [Input(0, "site-00", (5, 6, 7), 3, (2,))]).to_pylist()
    assert {row["region"] for row in rows} == {"prompt", "readout"}


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_residual_norms_equal_numpys(architecture: str, causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = study(architecture, causal, monkeypatch)
    observer = ResidualNorms(model, inputs)
    survey(model, inputs, [observer])
    rows = {(row["layer"], row["offset"]): row for row in observer.table().to_pylist()}
    hooks = ["blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre", "blocks.1.hook_resid_post"]
    norms: dict[tuple[int, int], list[float]] = {}
    for item in inputs:
        for layer, hook in enumerate(hooks):
            for position, vector in enumerate(raw(model, item, hook)):
                norms.setdefault((layer, position - item.start), []).append(float(np.linalg.norm(vector)))
    assert set(rows) == set(norms)
    assert {offset for _, offset in rows} == set(range(-max(LENGTHS), 3))
    for at, values in norms.items():
        assert rows[at]["n"] == len(values)
        assert rows[at]["mean"] == pytest.approx(np.mean(values), rel=1e-5)
        assert rows[at]["std"] == pytest.approx(np.std(values), rel=1e-3, abs=1e-4)
