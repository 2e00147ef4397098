"""Every neuron's numbers against numpy on the raw activations of every input run alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from engine.inspection import bins, observers
from engine.inspection.neurons import Activity
from engine.inspection.observers import Input, inputs_of, survey
from engine.models.model import Model
from engine.schema.arrow import arrow_schema
from tests import tiny

LENGTHS = (5, 9, 7)  # of prompts, so that batches are padded
LAYERS = 2


@dataclass
class Study:
    model: Model
    inputs: list[Input]
    neurons: list[dict[str, Any]]

    def raw(self, number: int, layer: int, hook: str) -> np.ndarray:
        """[pos, neuron] when the input runs alone, without padding."""
        return tiny.recorded(self.model, self.inputs[number].ids, f"blocks.{layer}.mlp.{hook}")

    @property
    def width(self) -> int:
        return len(self.model.bridge.blocks[0].mlp.W_out)


@cache
def study(architecture: str, causal: bool) -> Study:
    """The table of a tiny model's neurons, from several padded batches."""
    model, examples = tiny.model(architecture, causal), tiny.random_examples(7, lengths=LENGTHS)
    inputs, activity = inputs_of(tiny.rows_of(model, examples), examples), Activity(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observers, "TOKENS", 40)
        survey(model, inputs, [activity])
    table = activity.table()
    assert table.schema == arrow_schema("neurons", "activity")
    return Study(model, inputs, table.to_pylist())


each = pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
everyone = pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)


@each
@everyone
def test_moments_range_and_histogram_equal_numpys(architecture: str, causal: bool) -> None:
    s = study(architecture, causal)
    assert [(row["layer"], row["neuron"]) for row in s.neurons] == [
        (layer, j) for layer in range(LAYERS) for j in range(s.width)
    ]
    for layer in range(LAYERS):
        rows = s.neurons[layer * s.width : (layer + 1) * s.width]
        post, pre = (
            np.concatenate([s.raw(i, layer, hook) for i in range(len(s.inputs))]) for hook in ("hook_post", "hook_pre")
        )
        close = {"rtol": 1e-4, "atol": 1e-5}
        np.testing.assert_allclose([row["mean"] for row in rows], post.mean(0), **close)
        np.testing.assert_allclose([row["std"] for row in rows], post.std(0), **close)
        np.testing.assert_allclose([row["low"] for row in rows], post.min(0), **close)
        np.testing.assert_allclose([row["high"] for row in rows], post.max(0), **close)
        np.testing.assert_allclose([row["active"] for row in rows], (pre > 0).mean(0), atol=1.5 / len(pre))
        counts = np.array([row["counts"] for row in rows])
        np.testing.assert_array_equal(counts.sum(1), len(post))  # every real token once, padding never
        expected = np.stack([bins.counts(column) for column in post.T])
        # A value within rounding of an edge may fall on its other side when the input is padded.
        assert np.abs(counts - expected).sum() <= 4
