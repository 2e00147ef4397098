"""One pass of circuits: in half precision, and of circuits that bring nothing to life."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import LayerNorm, RMSNorm

from engine.evidence.live_nodes import live_nodes, pruned_circuits
from engine.evidence.patched_pass import _scale, _sums
from engine.evidence.patching import run_circuits
from engine.models.model import wrap
from engine.models.norms import Norm
from engine.training.word_tokenizer import MASK, build_tokenizer
from tests import tiny


@pytest.mark.parametrize("norm", [RMSNorm(32, eps=1e-5), LayerNorm(32)], ids=["rms", "layer"])
def test_the_scale_of_a_norm_is_the_norms(norm: torch.nn.Module) -> None:
    x = 3 * torch.randn(4, 5, 32, generator=torch.Generator().manual_seed(0)) + 1
    assert torch.allclose(_scale(Norm.of(norm), x), Norm.of(norm).scale(x), rtol=1e-5)


def test_sums_are_those_of_the_columns_read() -> None:
    generator = torch.Generator().manual_seed(0)
    writes = torch.randn(6, 2, 3, 4, 5, generator=generator)  # [column, circuit, row, pos, d_model]
    reads = (torch.rand(2, 7, 6, generator=generator) < 0.5).float()
    expected = torch.einsum("cvu,ucrpd->vcrpd", reads, writes)
    assert torch.allclose(_sums(reads, writes), expected, atol=1e-5)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_in_bfloat16_the_full_circuit_is_the_clean_run_up_to_rounding(architecture: str) -> None:
    hf = tiny.hf_model(architecture).to(torch.bfloat16)
    model = wrap(hf, build_tokenizer(), causal=False, shifted=True, mask_token=MASK)
    rows = tiny.rows_of(model, tiny.random_examples(8))
    everything = np.ones((1, model.graph.n_edges), dtype=bool)
    runs = run_circuits(model, rows, 8, everything)
    assert runs.full is not None
    apart = np.abs(runs.circuits.metric - runs.full.metric).max()
    assert apart < 0.1 * np.abs(runs.full.metric).max()
    exact = tiny.model(architecture, causal=False)
    assert np.abs(runs.circuits.metric - run_circuits(exact, rows, 8, everything).circuits.metric).max() < 0.5


def test_nothing_is_run_for_circuits_without_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.model("llama", causal=True)
    rows = tiny.rows_of(model, tiny.random_examples(2))
    attended: list[int] = []
    module = "engine.evidence.patched_pass"
    monkeypatch.setattr(f"{module}.attend", lambda block, values, bias: attended.append(1))
    mask = np.zeros((1, model.graph.n_edges), dtype=bool)
    mask[0, [model.graph.edge_named(name) for name in ("input->a0.h1<q>", "a0.h1->m0", "a1.h0->logits")]] = True
    runs = run_circuits(model, rows, 2, mask)
    assert not attended and np.array_equal(runs.circuits.metric, runs.corrupted.metric)


def test_the_layers_live_heads_alone_are_run() -> None:
    model = tiny.model("llama", causal=True)
    names = ("input->a0.h1<q>", "a0.h1->a1.h2<v>", "a1.h2->logits")
    mask = np.zeros((1, model.graph.n_edges), dtype=bool)
    mask[0, [model.graph.edge_named(name) for name in names]] = True
    live = live_nodes(model.graph, pruned_circuits(model.graph, mask), torch.zeros(1))
    assert [heads.tolist() for heads in live.heads] == [[1], [2]] and live.mlps == [False, False]
    assert live.reads.shape[2] == 2 + 3
