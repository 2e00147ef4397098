"""Scores of heads: constructed heads and brute force on random tokens, copying against the whole matrix of tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformer_lens import head_detector

from engine.inspection import head_scores
from engine.inspection.head_scores import (
    copying_scores,
    duplicate_token_score,
    head_scores_table,
    induction_score,
    positive_share,
    previous_token_score,
    repeated_ids,
    repeated_scores,
)
from engine.models.model import wrap
from engine.schema.arrow import arrow_schema
from engine.training.word_tokenizer import SPECIALS, build_tokenizer
from tests import tiny

IDS = torch.tensor([[7, 8, 9, 7, 8, 9], [5, 6, 4, 5, 6, 4]])


def looking(targets: dict[int, list[int]]) -> torch.Tensor:
    """[batch, 1, query, key]: each query's attention spread over its targets, elsewhere on itself."""
    pattern = torch.zeros(2, 1, 6, 6)
    for query in range(6):
        keys = targets.get(query, [query])
        pattern[:, 0, query, keys] = 1 / len(keys)
    return pattern


def test_a_perfect_previous_token_head_scores_one() -> None:
    assert previous_token_score(looking({q: [q - 1] for q in range(1, 6)}), IDS).tolist() == [1.0]
    assert previous_token_score(looking({}), IDS).tolist() == [0.0]


def test_a_perfect_duplicate_token_head_scores_one() -> None:
    earlier, other = {q: [q - 3] for q in (3, 4, 5)}, {q: [(q + 3) % 6] for q in range(6)}
    assert duplicate_token_score(looking(earlier), IDS, causal=True).tolist() == [1.0]
    assert duplicate_token_score(looking(other), IDS, causal=False).tolist() == [1.0]
    assert duplicate_token_score(looking(earlier), IDS, causal=False).tolist() == [0.5]
    assert duplicate_token_score(looking({}), IDS, causal=False).tolist() == [0.0]


def test_a_perfect_induction_head_scores_one() -> None:
    earlier, other = {q: [q - 2] for q in (3, 4, 5)}, {0: [4], 1: [5], 3: [1], 4: [2], 5: [3]}
    assert induction_score(looking(earlier), IDS, causal=True).tolist() == [1.0]
    assert induction_score(looking(other), IDS, causal=False).tolist() == pytest.approx([1.0])
    assert induction_score(looking(earlier), IDS, causal=False).tolist() == pytest.approx([0.6])


def test_uniform_attention_scores_what_chance_does() -> None:
    causal = torch.ones(6, 6).tril() / torch.arange(1, 7)[:, None]
    causal, everywhere = causal.expand(2, 1, 6, 6), torch.full((2, 1, 6, 6), 1 / 6)
    assert float(previous_token_score(causal, IDS)) == pytest.approx(np.mean([1 / n for n in range(2, 7)]))
    assert float(duplicate_token_score(causal, IDS, causal=True)) == pytest.approx(np.mean([1 / 4, 1 / 5, 1 / 6]))
    assert float(induction_score(causal, IDS, causal=True)) == pytest.approx(np.mean([1 / 4, 1 / 5, 1 / 6]))
    for score in (duplicate_token_score, induction_score):
        assert float(score(everywhere, IDS, causal=False)) == pytest.approx(1 / 6)


def test_kinds_of_heads_are_distinguished() -> None:
    both = torch.cat([looking({q: [q - 1] for q in range(1, 6)}), looking({q: [q - 2] for q in (3, 4, 5)})], 1)
    assert previous_token_score(both, IDS).tolist() == [1.0, 0.0]
    assert induction_score(both, IDS, causal=True).tolist() == [0.0, 1.0]


def test_scores_agree_with_transformer_lens_on_a_causal_model() -> None:
    """Its patterns of the three kinds of head; it divides by all queries, so sums are compared."""
    model = tiny.model("llama", causal=True)
    ids, mine = repeated_ids(model, seed=0), repeated_scores(model, seed=0)
    attention = torch.stack([tiny.eager_attentions("llama", model, tuple(row)) for row in ids.tolist()])
    for name, wanted, looking_on in (
        ("previous_token", head_detector.get_previous_token_head_detection_pattern, 31),
        ("duplicate_token", head_detector.get_duplicate_token_head_detection_pattern, 16),
        ("induction", head_detector.get_induction_head_detection_pattern, 16),
    ):
        sums = torch.stack([(a * wanted(row[None])).sum((-1, -2)) for a, row in zip(attention, ids, strict=True)])
        torch.testing.assert_close(mine[name], sums.mean(0) / looking_on, atol=1e-5, rtol=1e-4)


def test_repeated_sequences_are_ordinary_tokens_twice() -> None:
    model = tiny.model("llama", causal=False)
    ids = repeated_ids(model, seed=3)
    assert ids.shape == (8, 32) and torch.equal(ids[:, :16], ids[:, 16:])
    assert all(len(set(row)) == 16 for row in ids[:, :16].tolist())
    assert int(ids.min()) >= len(SPECIALS) and int(ids.max()) < tiny.VOCAB
    assert torch.equal(ids, repeated_ids(model, seed=3)) and not torch.equal(ids, repeated_ids(model, seed=4))


def test_repeated_sequences_fit_short_models(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.model("gpt2", causal=True)
    monkeypatch.setattr(model.bridge.cfg, "n_ctx", 13)
    assert repeated_ids(model, seed=0).shape == (8, 12)
    assert repeated_scores(model, seed=0)["induction"].shape == (2, 4)


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_repeated_scores_by_loops(causal: bool) -> None:
    model = tiny.model("qwen3", causal)
    ids, scores = repeated_ids(model, 1), repeated_scores(model, 1)
    sums = {name: np.zeros((2, 4)) for name in scores}
    counts = dict.fromkeys(scores, 0)
    for row in ids.tolist():
        attention, n = tiny.eager_attentions("qwen3", model, tuple(row)).numpy(), len(row)
        for q in range(n):
            others = [k for k in range(q if causal else n) if row[k] == row[q] and k != q]
            targets = {
                "previous_token": [q - 1] if q else [],
                "duplicate_token": others,
                "induction": [k + 1 for k in others if k + 1 < n],
            }
            for name, keys in targets.items():
                counts[name] += bool(keys)
                sums[name] += attention[:, :, q, keys].sum(-1)
    for name, score in scores.items():
        np.testing.assert_allclose(score.numpy(), sums[name] / counts[name], atol=1e-5)


# Copying


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_copying_is_that_of_the_whole_matrix_of_tokens(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eigenvalues of the vocabulary x vocabulary matrix, from plain transformers weights."""
    monkeypatch.setattr(head_scores, "VOCAB_CHUNK", 7)
    model, hf = tiny.model(architecture, causal=True), tiny.hf_model(architecture)
    scores = copying_scores(model)
    for layer, head in np.ndindex(2, 4):
        read, w_v, w_o, write = parts(hf, architecture, layer, head)
        eigenvalues = np.linalg.eigvals((read @ w_v @ w_o @ write).double().numpy())
        expected = eigenvalues.sum().real / np.abs(eigenvalues).sum()
        assert float(scores[layer, head]) == pytest.approx(expected, abs=1e-3)
    assert float(scores.std()) > 0.01


def parts(hf: torch.nn.Module, architecture: str, layer: int, head: int) -> tuple[torch.Tensor, ...]:
    """[vocab, d], [d, d_head], [d_head, d], [d, vocab] of one head, norms folded in."""
    if architecture == "gpt2":
        block, d = hf.transformer.h[layer], 8
        centre = torch.eye(32) - 1 / 32
        w_v = block.attn.c_attn.weight[:, 64 + d * head : 64 + d * (head + 1)]
        w_o = block.attn.c_proj.weight[d * head : d * (head + 1)]
        read = hf.transformer.wte.weight @ centre * block.ln_1.weight
        return read, w_v, w_o @ centre, hf.transformer.ln_f.weight[:, None] * hf.lm_head.weight.T
    block = hf.model.layers[layer]
    d = block.self_attn.head_dim
    w_v = block.self_attn.v_proj.weight[d * (head // 2) : d * (head // 2 + 1)].T
    w_o = block.self_attn.o_proj.weight[:, d * head : d * (head + 1)].T
    read = hf.model.embed_tokens.weight * block.input_layernorm.weight
    return read, w_v, w_o, hf.model.norm.weight[:, None] * hf.lm_head.weight.T


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_head_that_writes_what_it_reads_copies(sign: float) -> None:
    """OV is plus or minus the identity on the head's subspace and tokens are unembedded as they are embedded."""
    hf = tiny.hf_model("llama")
    hf.lm_head.weight.copy_(hf.model.embed_tokens.weight)
    hf.model.norm.weight.fill_(1.0)
    for layer in hf.model.layers:
        layer.input_layernorm.weight.fill_(1.0)
        eye = torch.eye(8, 32)
        layer.self_attn.v_proj.weight.copy_(torch.cat([eye, eye.roll(8, 1)]))
        layer.self_attn.o_proj.weight.copy_(sign * torch.cat([eye, eye, eye.roll(8, 1), eye.roll(8, 1)]).T)
    hf.config.is_causal = True
    model = wrap(hf, build_tokenizer(), causal=True)
    assert copying_scores(model).flatten().tolist() == pytest.approx([sign] * 8, abs=1e-5)


def test_a_rotation_neither_copies_nor_suppresses() -> None:
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    assert float(positive_share(turn)) == pytest.approx(0.0, abs=1e-7)
    assert positive_share(torch.stack([torch.eye(2), -torch.eye(2)])).tolist() == [1.0, -1.0]


def test_the_table_holds_both_and_never_depends_on_a_task() -> None:
    model = tiny.model("llama", causal=True)
    table = head_scores_table(model)
    assert table.schema == arrow_schema("heads", "weights")
    assert table["node"].to_pylist() == [model.graph.head(layer, head) for layer, head in np.ndindex(2, 4)]
    for name, scores in {**repeated_scores(model, 0), "copying": copying_scores(model)}.items():
        assert table[name].to_pylist() == scores.flatten().tolist()
