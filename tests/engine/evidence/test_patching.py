"""Circuits that are run, against a literal second implementation, and what must hold of them in any model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import GPT2Config, GPT2LMHeadModel

from engine.attribution.sites import AttributionInput, Site
from engine.attribution.soundness import Unsound
from engine.circuits.pruning import prune
from engine.evidence import patching
from engine.evidence.footprint import token_bytes
from engine.evidence.patching import CircuitRuns, circuit_masks, run_circuits
from engine.models.model import Model, wrap
from engine.training.word_tokenizer import build_tokenizer
from tests import tiny
from tests.engine.evidence.literal import literal_logits, literal_metrics

SHARES = (0.1, 0.3, 0.6, 0.9)


def random_masks(model: Model, shares: tuple[float, ...] = SHARES, seed: int = 0) -> NDArray[np.bool_]:
    generator = np.random.default_rng(seed)
    return np.stack([generator.random(model.graph.n_edges) < share for share in shares])


def by_part(rows: list[AttributionInput], values: list[float], n: int) -> dict[str, NDArray[np.float64]]:
    parts: dict[str, NDArray[np.float64]] = {}
    for row, value in zip(rows, values, strict=True):
        parts.setdefault(row.part, np.zeros(n))[row.example] += value
    return parts


def close(measured: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
    return bool(np.abs(measured - expected).max() < 1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_circuits_equal_the_literal_version_at_every_site_and_step(architecture: str, causal: bool) -> None:
    model, expanded = tiny.model(architecture, causal), tiny.with_own_keys(architecture, causal)
    rows = tiny.rows_of(model, tiny.random_examples(2))
    assert len({row.part for row in rows}) > 1
    masks = random_masks(model)
    measured = run_circuits(model, rows, 2, masks).circuits
    expected = [by_part(rows, literal_metrics(expanded, rows, mask), 2) for mask in masks]
    for part, values in measured.parts.items():
        assert close(values, np.stack([parts[part] for parts in expected])), part
    assert all(set(parts) == set(measured.parts) for parts in expected)
    assert close(measured.metric, np.stack([sum(parts.values()) for parts in expected]))


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_the_full_circuit_is_the_clean_run_and_the_empty_one_the_corrupted_run(architecture: str, causal: bool) -> None:
    model = tiny.model(architecture, causal)
    rows = tiny.rows_of(model, tiny.random_examples(3))
    runs = run_circuits(model, rows, 3, np.stack([np.ones(110, dtype=bool), np.zeros(110, dtype=bool)]))
    assert runs.full and close(runs.circuits.metric[0], runs.full.metric[0])
    assert np.array_equal(runs.circuits.metric[1], runs.corrupted.metric[0])
    assert np.array_equal(runs.circuits.right, np.concatenate([runs.full.right, runs.corrupted.right]))
    for clean, outcomes in ((True, runs.full), (False, runs.corrupted)):
        for part, values in outcomes.parts.items():
            plain = [
                0.0 if row.part != part else plain_metric(model, row, row.clean if clean else row.corrupt)
                for row in rows
            ]
            assert close(values[0], by_part(rows, plain, 3)[part])


def plain_metric(model: Model, row: AttributionInput, ids: tuple[int, ...]) -> float:
    logits = model.logits(torch.tensor([ids]))[0]
    return row.weight * sum(float(logits[s.read, s.right[0]] - logits[s.read, s.wrong[0]]) for s in row.sites)


@pytest.mark.parametrize("metric", ["log_prob", "kl"])
def test_other_metrics_and_several_right_answers(metric: str) -> None:
    model, expanded = tiny.model("qwen2", causal=False), tiny.with_own_keys("qwen2", causal=False)
    rows = tiny.rows_of(model, [replace(e, right=(5, 6, 7), wrong=(8, 9)) for e in tiny.random_examples(2)])
    masks = random_masks(model, (0.2, 0.7))
    runs = run_circuits(model, rows, 2, masks, metric)
    for i, mask in enumerate(masks):
        expected = sum(by_part(rows, literal_metrics(expanded, rows, mask, metric), 2).values())
        assert np.abs(runs.circuits.metric[i] - expected).max() < 1e-5 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_a_site_is_right_where_the_top_token_is(causal: bool) -> None:
    """The mask token is no answer of an MDM, however probable."""
    model, expanded = tiny.model("gpt2", causal), tiny.with_own_keys("gpt2", causal)
    rows, masks = tiny.rows_of(model, tiny.random_examples(2)), random_masks(model, (0.5,))
    answers = []
    for row in rows:
        logits = literal_logits(expanded, row, masks[0])
        if not causal:
            logits[:, model.mask_id] = -torch.inf
        answers.append(logits.argmax(-1).tolist())
    taught = [
        replace(row, sites=tuple(replace(site, right=(t, 4)) for site, t in zip(row.sites, tops, strict=True)))
        for row, tops in zip(rows, answers, strict=True)
    ]
    right = run_circuits(model, [*taught[:1], *rows[1:]], 2, masks).circuits.right[0]
    expected = np.zeros(2)
    for row, tops in zip([*taught[:1], *rows[1:]], answers, strict=True):
        expected[row.example] += row.weight * sum(t in s.right for s, t in zip(row.sites, tops, strict=True))
    assert right == pytest.approx(expected) and right[0] > 0


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_pruning_changes_nothing(causal: bool) -> None:
    model = tiny.model("qwen3", causal)
    rows, masks = tiny.rows_of(model, tiny.random_examples(2)), random_masks(model, (0.05, 0.1, 0.15, 0.2))
    pruned = masks.copy()
    for mask in pruned:
        edges = np.flatnonzero(mask)
        mask[edges[~prune(model.graph, edges)]] = False
    assert (pruned.sum(1) < masks.sum(1)).all()
    assert same(run_circuits(model, rows, 2, pruned), run_circuits(model, rows, 2, masks))


def same(a: CircuitRuns, b: CircuitRuns) -> bool:
    return close(a.circuits.metric, b.circuits.metric) and np.array_equal(a.circuits.right, b.circuits.right)


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_several_at_once_and_in_chunks_are_the_same_as_each_alone(causal: bool) -> None:
    model = tiny.model("llama", causal)
    rows = tiny.rows_of(model, tiny.random_examples(4, lengths=(5, 9, 7)))
    masks = random_masks(model)
    together = run_circuits(model, rows, 4, masks)
    alone = [run_circuits(model, rows, 4, mask[None]) for mask in masks]
    assert close(together.circuits.metric, np.concatenate([runs.circuits.metric for runs in alone]))
    token = token_bytes(model.graph, 32, 4)
    for tokens in (0, 1, 12, 25, 60, 200):  # less than a row; rows of 8 to 12 tokens; several rows or circuits
        assert same(run_circuits(model, rows, 4, masks, buffer=tokens * token), together)
    backwards = run_circuits(model, rows[::-1], 4, masks[::-1])
    assert close(backwards.circuits.metric[::-1], together.circuits.metric)


def test_circuits_that_are_the_same_are_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.model("llama", causal=False)
    rows = tiny.rows_of(model, tiny.random_examples(2))
    first, second = random_masks(model, (0.3, 0.9))
    dead = np.zeros_like(first)
    dead[0] = not prune(
        model.graph, np.array([0])
    ).any()  # an edge alone leads nowhere, so that this is no edges at all
    run: list[int] = []
    passes = patching.patched_logits

    def counted(*args: Any) -> Any:
        logits = passes(*args)
        run.append(len(logits))
        return logits

    monkeypatch.setattr(patching, "patched_logits", counted)
    measured = run_circuits(model, rows, 2, np.stack([second, first, second, np.zeros_like(first), first, dead]))
    assert dead.any() and sum(run) == 3  # two rows are one batch
    alone = [run_circuits(model, rows, 2, mask[None]) for mask in (second, first, second, dead, first, dead)]
    for part, values in measured.circuits.parts.items():
        assert close(values, np.concatenate([runs.circuits.parts[part] for runs in alone]))
    assert close(measured.circuits.metric, np.concatenate([runs.circuits.metric for runs in alone]))
    assert np.array_equal(measured.circuits.right, np.concatenate([runs.circuits.right for runs in alone]))


def test_progress_counts_rows() -> None:
    model, done = tiny.model("llama", causal=True), []
    rows = tiny.rows_of(model, tiny.random_examples(3))
    run_circuits(model, rows, 3, random_masks(model, (0.5,)), on_rows=done.append, buffer=1)
    assert done == sorted(done) and done[-1] == len(rows) and len(done) > 1


def test_the_clean_run_is_left_out_where_nobody_needs_it() -> None:
    model = tiny.model("llama", causal=True)
    rows, masks = tiny.rows_of(model, tiny.random_examples(2)), random_masks(model, (0.5,))
    whole, without = (run_circuits(model, rows, 2, masks, with_full=with_full) for with_full in (True, False))
    assert without.full is None and same(without, whole)
    assert run_circuits(model, rows, 2, masks, "kl", with_full=False).full is not None


def test_masks_of_edges() -> None:
    masks = circuit_masks(5, [np.array([1, 3]), np.array([], dtype=int)])
    assert masks.tolist() == [[False, True, False, True, False], [False] * 5]


def test_logits_that_are_no_numbers_are_refused() -> None:
    model = tiny.model("llama", causal=True)
    rows = tiny.rows_of(model, tiny.random_examples(1))
    with torch.no_grad():
        model.plain.get_output_embeddings().weight[7] = torch.nan
    with pytest.raises(Unsound, match="logits on corrupted prompts hold NaN"):
        run_circuits(model, rows, 1, random_masks(model, (0.5,)))


def test_a_layer_with_a_sliding_window() -> None:
    """A window as long as the input changes nothing, a shorter one what the full circuit reads as well."""
    model = tiny.model("llama", causal=True)
    rows = tiny.rows_of(model, tiny.random_examples(1))
    everything = np.ones((1, model.graph.n_edges), dtype=bool)
    for window in (3, 64):
        narrow = wrapped_with_window(window)
        runs = run_circuits(narrow, rows, 1, everything)
        assert runs.full and close(runs.circuits.metric, runs.full.metric)
        assert close(runs.full.metric, run_circuits(model, rows, 1, everything).circuits.metric) == (window == 64)


def wrapped_with_window(window: int) -> Model:
    from transformers import MistralConfig, MistralForCausalLM

    hf = tiny.hf_model("llama")
    config = MistralConfig(**tiny.SHARED, **tiny.HEADS, sliding_window=window, rms_norm_eps=hf.config.rms_norm_eps)
    mistral = MistralForCausalLM(config).eval().requires_grad_(False)
    mistral.load_state_dict(hf.state_dict())
    return wrap(mistral, build_tokenizer(), causal=True)


PLANTED = ("input->a0.h1<v>", "a0.h1->m1", "a0.h1->logits", "m1->logits")


def planted_model() -> Model:
    """A GPT-2 whose answer depends on its prompt through PLANTED alone: all other nodes write nothing.

    Head a0.h1 mixes all tokens up to each position; m1 and the logits read what it wrote.
    """
    torch.manual_seed(0)
    hf = GPT2LMHeadModel(GPT2Config(vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=64)).eval()
    with torch.no_grad():
        for block in hf.transformer.h:
            for layer in (block.attn.c_proj, block.mlp.c_proj):
                layer.weight.zero_()
        first, last = hf.transformer.h
        first.attn.c_proj.weight[8:16] = torch.randn(8, 32)  # head 1 alone writes
        first.attn.c_attn.weight[:, :64] = 0  # it attends evenly, whatever it reads
        first.attn.c_attn.bias[:64] = 0
        first.attn.c_attn.weight[:, 72:80] = torch.randn(32, 8)
        last.mlp.c_fc.weight.normal_()
        last.mlp.c_proj.weight.normal_()
        hf.transformer.wte.weight.mul_(20)
        hf.lm_head.weight = torch.nn.Parameter(torch.randn(61, 32))
    return wrap(hf.requires_grad_(False), build_tokenizer(), causal=True)


def test_a_planted_circuit_does_everything_and_the_rest_nothing() -> None:
    model = planted_model()
    graph = model.graph
    # The token that is read is the same in the clean and the corrupted input: only attention brings the difference.
    clean, corrupt = (9, 10, 11, 12, 13), (9, 30, 11, 12, 13)
    rows = [AttributionInput(0, "site-00", clean, corrupt, (Site(4, 5, (20,), (21,)),), 1.0)]
    circuit = np.array([graph.edge_named(name) for name in PLANTED])
    inside = circuit_masks(graph.n_edges, [circuit])[0]
    broken = circuit_masks(graph.n_edges, [np.delete(circuit, i) for i in range(len(PLANTED))])
    runs = run_circuits(model, rows, 1, np.stack([inside, ~inside, *broken]))
    assert runs.full is not None
    full, corrupted = float(runs.full.metric[0, 0]), float(runs.corrupted.metric[0, 0])
    assert abs(full - corrupted) > 0.1
    whole, rest, headless, *others = (runs.circuits.metric[:, 0] - corrupted) / (full - corrupted)
    assert (whole, rest, headless) == pytest.approx((1, 0, 0), abs=1e-5)
    assert all(abs(f - 1) > 0.01 for f in others)  # none of the edges is there for nothing


@pytest.mark.parametrize("size", [0, 1, 20])
def test_memory_that_was_not_written_yet_is_not_read(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """New memory may hold anything, numbers that are none among it; a circuit without a live node runs no layer."""
    model = tiny.model("llama", True)
    rows = tiny.rows_of(model, tiny.random_examples(2))
    masks = circuit_masks(model.graph.n_edges, [np.arange(size)])
    expected = run_circuits(model, rows, 2, masks).circuits.metric

    def full_of_nan(tensor: torch.Tensor, *shape: int) -> torch.Tensor:
        return tensor.new_full(shape, torch.nan)

    monkeypatch.setattr(torch.Tensor, "new_empty", full_of_nan)
    assert np.array_equal(run_circuits(model, rows, 2, masks).circuits.metric, expected)
