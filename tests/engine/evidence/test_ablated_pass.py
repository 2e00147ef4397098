"""One pass without some nodes: what it does not compute, half precision, and a model on two devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformer_lens.utilities import quantization

from engine.evidence.ablated_pass import Removal, ablated_bytes, first_layer
from engine.evidence.knockouts import CORRUPTED, MEAN, run_without
from engine.models.fast_model import blocks_of
from engine.models.model import wrap
from engine.training.word_tokenizer import MASK, build_tokenizer
from tests import tiny
from tests.engine.attribution.test_second_device import PLACES
from tests.second_device import second_device, spread

REMOVALS = [Removal(nodes, by) for nodes in ((2,), (5,), (7,), (10,), (1, 6, 9), ()) for by in (CORRUPTED, MEAN)]


def test_the_first_layer_that_changes() -> None:
    graph = tiny.model("llama", causal=True).graph
    nodes = [(graph.head(0, 3),), (graph.mlp(1), graph.head(1, 0)), (graph.mlp(1), graph.mlp(0)), ()]
    assert [first_layer(graph, Removal(of, MEAN)) for of in nodes] == [0, 1, 0, 2]


def test_layers_before_the_first_removed_node_are_not_run_again() -> None:
    model, attended = tiny.model("llama", causal=True), []
    rows = tiny.rows_of(model, tiny.random_examples(1))
    for layer, block in enumerate(blocks_of(model.plain)):
        block.attention.register_forward_hook(lambda *_, layer=layer: attended.append(layer))
    for nodes, again in (((1,), [1]), ((6,), []), ((10,), []), ((), [])):
        attended.clear()
        run_without(model, rows, 1, [Removal(nodes, CORRUPTED)])
        assert attended == [0, 1, 0, 1, *again]  # both whole runs, then what follows the node's own attention


def test_a_removal_takes_what_a_layer_or_the_logits_do() -> None:
    model = tiny.model("llama", causal=True)
    rows, blocks = tiny.rows_of(model, tiny.random_examples(2)), blocks_of(model.plain)
    layer = 4 * (3 * 32 + max(4 * 32 + 4 * 4 * 20, 3 * 48))  # bytes for a token of 20
    assert ablated_bytes(model, blocks, rows, 20) == len(rows) * 20 * layer
    assert ablated_bytes(model, blocks, rows, 0) == 3 * 4 * sum(len(row.sites) for row in rows) * 61


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_in_bfloat16_it_is_the_same_up_to_rounding(architecture: str) -> None:
    hf = tiny.hf_model(architecture).to(torch.bfloat16)
    model = wrap(hf, build_tokenizer(), causal=False, shifted=True, mask_token=MASK)
    rows = tiny.rows_of(model, tiny.random_examples(4))
    runs = run_without(model, rows, 4, REMOVALS)
    exact = run_without(tiny.model(architecture, causal=False), rows, 4, REMOVALS)
    assert np.abs(runs.without.metric - exact.without.metric).max() < 0.5
    assert np.abs(runs.without.metric[-2:] - runs.full.metric).max() < 0.1


@pytest.mark.parametrize("architecture", list(PLACES))
def test_a_model_spread_over_two_devices(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tiny.model(architecture, causal=True)
    rows = tiny.rows_of(here, tiny.random_examples(2))
    expected = run_without(here, rows, 2, REMOVALS)
    monkeypatch.setattr(quantization, "unreadable_weight_reason", lambda weight: None)
    hf = tiny.hf_model(architecture)
    with second_device():
        spread(hf, PLACES[architecture])
        model = wrap(hf, build_tokenizer(), causal=True, shifted=True)
        measured = run_without(model, rows, 2, REMOVALS)
    assert model.device.type == "meta"
    np.testing.assert_allclose(measured.without.metric, expected.without.metric, rtol=1e-4, atol=1e-5)
    assert np.array_equal(measured.without.right, expected.without.right)
