"""A model spread over two devices runs circuits as on a single device does."""

from __future__ import annotations

import numpy as np
import pytest
from transformer_lens.utilities import quantization

from engine.evidence.patching import run_circuits
from engine.models.model import wrap
from engine.training.word_tokenizer import build_tokenizer
from tests import tiny
from tests.engine.attribution.test_second_device import PLACES
from tests.second_device import second_device, spread


@pytest.mark.parametrize("architecture", list(PLACES))
def test_a_spread_model_runs_the_same_circuits(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tiny.model(architecture, causal=True)
    rows = tiny.rows_of(here, tiny.random_examples(2))
    masks = np.random.default_rng(0).random((3, here.graph.n_edges)) < np.array([[0.2], [0.6], [1.0]])
    expected = run_circuits(here, rows, 2, masks)
    monkeypatch.setattr(quantization, "unreadable_weight_reason", lambda weight: None)
    hf = tiny.hf_model(architecture)
    with second_device():
        spread(hf, PLACES[architecture])
        model = wrap(hf, build_tokenizer(), causal=True, shifted=True)
        measured = run_circuits(model, rows, 2, masks)
    assert model.device.type == "meta"
    np.testing.assert_allclose(measured.circuits.metric, expected.circuits.metric, rtol=1e-4, atol=1e-5)
    assert np.array_equal(measured.circuits.right, expected.circuits.right)
