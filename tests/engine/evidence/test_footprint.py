"""What running circuits is said to hold is what it holds."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.peak import peak
from engine.attribution.sites import AttributionInput, Site
from engine.circuits.graph import Graph
from engine.evidence.footprint import circuits_at_once, footprint, token_bytes
from engine.evidence.patching import run_circuits
from engine.models.architecture import Shape
from engine.models.model import wrap
from engine.training.word_tokenizer import MASK, build_tokenizer
from tests import tiny
from tests.engine.attribution.test_footprint import GPT2, LLAMA, hf_model

MB = 2**20


@pytest.mark.parametrize("circuits", [1, 4])
@pytest.mark.parametrize("shape", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_the_peak_is_what_was_told(shape: Shape, circuits: int) -> None:
    model = wrap(hf_model(shape).requires_grad_(False), build_tokenizer(), causal=False, mask_token=MASK)
    rows = tiny.rows_of(model, tiny.random_examples(30, lengths=(20,), answer=2), "left-to-right")
    rows = [row for row in rows if row.part == rows[0].part]
    length = len(rows[0].clean)
    masks = np.ones((circuits, model.graph.n_edges), dtype=bool)
    masks[range(circuits), range(circuits)] = False  # equal circuits would be run once
    told = footprint(shape, circuits, len(rows), length, "float32", "cpu")
    assert told.circuits == circuits
    weights = list(model.plain.parameters())
    measured = peak(lambda: run_circuits(model, rows, 30, masks), "cpu", weights)
    assert 0.75 < measured / told.peak < 1.1


@pytest.mark.parametrize("circuits", [1, 4])
@pytest.mark.parametrize("shape", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_a_causal_model_takes_less_where_prompts_differ_late(shape: Shape, circuits: int) -> None:
    model = wrap(hf_model(shape).requires_grad_(False), build_tokenizer(), causal=True)
    examples, sites = tiny.random_examples(30, lengths=(20,)), (Site(19, 20, (5,), (6,)),)
    masks = np.ones((circuits, model.graph.n_edges), dtype=bool)
    masks[range(circuits), range(circuits)] = False  # circuits that are the same would be run once
    weights, peaks = list(model.plain.parameters()), []
    for differs in (0, 1, 10, 18):
        rows = [
            AttributionInput(i, "", e.prompt, (*e.prompt[:differs], 3, *e.prompt[differs + 1 :]), sites, 1.0)
            for i, e in enumerate(examples)
        ]
        peaks.append(peak(lambda rows=rows: run_circuits(model, rows, 30, masks), "cpu", weights))
    told = footprint(shape, circuits, 30, 20, "float32", "cpu")
    assert peaks == sorted(peaks, reverse=True) and peaks[0] < 1.1 * told.peak


def test_the_buffer_bounds_what_circuits_take_together() -> None:
    shape = Shape(28, 28, 4, 128, 3584, 18_944, 152_064, tied=False)  # Qwen2.5-7B
    token = token_bytes(Graph(28, 28), 3584, 2)
    assert token == 2 * 3584 * (2 + 813 + 85)
    for buffer in (2**30, 2**32):
        told = footprint(shape, 20, 4, 40, "bfloat16", "cuda", buffer)
        assert told.circuits == max(1, buffer // (160 * token))
        assert told.buffer == told.circuits * 160 * token
        assert told.buffer <= max(buffer, 160 * token)
        assert told.peak < told.weights + told.buffer + 2**31


def test_at_once() -> None:
    assert [circuits_at_once(10, 100, buffer) for buffer in (0, 99, 100, 250, 5000)] == [1, 1, 1, 2, 10]
