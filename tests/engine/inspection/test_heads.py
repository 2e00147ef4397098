"""Heads: roles per token, attention by role and pattern by brute force, scores of constructed heads, copying."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformer_lens import head_detector
from transformers import PreTrainedTokenizerFast

from engine.inspection import heads as engine_heads
from engine.inspection.heads import (
    Heads,
    copying_scores,
    duplicate_token_score,
    induction_score,
    positive_share,
    previous_token_score,
    repeated_ids,
    repeated_scores,
    token_roles,
    within_budget,
)
from engine.inspection.observers import Input, inputs_of, survey
from engine.models.encoding import Encoded, encode
from engine.models.example import Example
from engine.models.model import Model, wrap
from engine.tasks.base import OTHER, Task
from engine.tasks.registry import TASKS, examples
from engine.training.word_tokenizer import BOS, PAD, SPECIALS, UNKNOWN, build_tokenizer
from tests import tiny

ROLES = ("first", "second", "third", OTHER)


@pytest.fixture(params=list(TASKS))
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS[request.param]


def characters() -> PreTrainedTokenizerFast:
    """A tokenizer that begins with a special token and cuts words into pairs of characters, leading spaces included."""
    letters = {chr(i) for i in range(32, 127)}
    vocab = {token: i for i, token in enumerate([*SPECIALS, *sorted(letters)])}
    vocab |= {
        a + b: len(vocab) + i for i, (a, b) in enumerate((a, b) for a in sorted(letters) for b in sorted(letters))
    }
    core = Tokenizer(models.WordLevel(vocab, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(" [^ ]|[^ ]{1,2}| "), behavior="isolated")
    core.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, vocab[BOS])])
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=BOS, unk_token=UNKNOWN, pad_token=PAD)


def byte_level() -> PreTrainedTokenizerFast:
    """Byte-level as GPT-2's, a token a byte: the space belongs to no word, and nothing is put in front."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.post_processor = processors.ByteLevel(trim_offsets=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core)


def test_a_word_level_tokenizer_has_the_tasks_own_roles(task: Task) -> None:
    tokenizer = build_tokenizer()
    for e in examples(task, 10, seed=1):
        prompt, answer = token_roles(task, e, encode(e, tokenizer), tokenizer)
        words = task.roles(e)
        assert prompt == (OTHER, *words[0]) and answer == tuple(words[1])


@pytest.mark.parametrize("make", [byte_level, characters])
def test_every_token_has_the_role_of_the_word_it_begins_in(make: object, task: Task) -> None:
    tokenizer = make()  # type: ignore[operator]
    for e in examples(task, 10, seed=1):
        answer = tokenizer(e.answer, add_special_tokens=False).input_ids
        encoded = Encoded(tuple(tokenizer(e.prompt).input_ids), tuple(answer), (), ())
        spread = token_roles(task, e, encoded, tokenizer)
        for text, ids, roles, words in zip(
            (e.prompt, e.answer), (encoded.prompt, encoded.answer), spread, task.roles(e), strict=True
        ):
            ordinary = [(i, role) for i, role in zip(ids, roles, strict=True) if i not in tokenizer.all_special_ids]
            assert {r for i, r in zip(ids, roles, strict=True) if i in tokenizer.all_special_ids} <= {OTHER}
            spelled, places = "", []
            for token, role in ordinary:
                piece = tokenizer.convert_tokens_to_string([tokenizer.convert_ids_to_tokens(token)])
                first = len(spelled) + len(piece) - len(piece.lstrip(" "))
                spelled += piece
                places.append((first, role, bool(piece.strip())))
            assert spelled == text
            for first, role, is_word in places:
                assert role == (words[text[: first + 1].count(" ")] if is_word else OTHER)


def test_roles_of_another_text_are_refused() -> None:
    tokenizer, (first, second) = build_tokenizer(), examples(TASKS["ioi"], 2, 0)
    other = encode(Example(f"{first.prompt} to", first.answer, f"{first.prompt} to", second.answer, ""), tokenizer)
    with pytest.raises(ValueError, match="was encoded as other tokens"):
        token_roles(TASKS["ioi"], first, other, tokenizer)


# On a task's inputs


def watched(model: Model) -> tuple[list[Input], list[tuple[str, ...]], Heads]:
    """Four examples of two lengths, with roles drawn by position and example."""
    encoded = tiny.random_examples(4)
    inputs = inputs_of(tiny.rows_of(model, encoded), encoded)
    roles = [tuple(ROLES[(i * t + i) % 3] for t in range(len(e.prompt + e.answer))) for i, e in enumerate(encoded)]
    observer = Heads(model, roles, inputs, [0, len(inputs) - 1])
    survey(model, inputs, [observer])
    return inputs, roles, observer


def eager_attentions(architecture: str, model: Model, ids: tuple[int, ...]) -> torch.Tensor:
    """[layer, head, query, key] from plain transformers, without our bridge."""
    hf = tiny.hf_model(architecture)
    hf.set_attn_implementation("eager")
    hidden = torch.finfo(torch.float32).min * torch.ones(len(ids), len(ids)).triu(1)
    mask = (hidden if model.causal else torch.zeros_like(hidden))[None, None]
    hf.config.is_causal = model.causal
    return torch.stack(hf(torch.tensor([ids]), attention_mask=mask, output_attentions=True).attentions)[:, 0]


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_patterns_and_means_by_role_are_those_of_plain_transformers(architecture: str, causal: bool) -> None:
    model = tiny.model(architecture, causal)
    inputs, roles, observer = watched(model)
    patterns, sums, counts = {}, defaultdict(float), defaultdict(int)
    for number, item in enumerate(inputs):
        attention, mine = eager_attentions(architecture, model, item.ids), roles[item.example]
        assert len({len(other.ids) for other in inputs}) > 1  # so that some were padded
        patterns[number] = attention
        for q, role in enumerate(mine):
            counts[role] += 1
            for layer, head in np.ndindex(2, 4):
                for k, other in enumerate(mine):
                    sums[model.graph.head(layer, head), role, other] += float(attention[layer, head, q, k])
    rows = observer.role_table().to_pylist()
    assert len(rows) == 8 * len(counts) ** 2 and set(counts) == {"first", "second", "third"}
    for row in rows:
        expected = sums[row["node"], row["query"], row["key"]] / counts[row["query"]]
        assert row["weight"] == pytest.approx(expected, abs=1e-5) and row["queries"] == counts[row["query"]]
    stored = {(row["input"], row["node"]): row["pattern"] for row in observer.pattern_table().to_pylist()}
    assert len(stored) == 2 * 8
    for place, number in enumerate((0, len(inputs) - 1)):
        for layer, head in np.ndindex(2, 4):
            expected = 255 * patterns[number][layer, head].flatten().numpy()
            pattern = stored[place, model.graph.head(layer, head)]
            assert np.abs(np.array(pattern) - expected).max() <= 0.5 + 1e-3 and len(pattern) == len(expected)


def test_attention_of_a_role_is_all_given_away() -> None:
    rows = watched(tiny.model("qwen2", causal=False))[2].role_table().to_pylist()
    totals = defaultdict(float)
    for row in rows:
        totals[row["node"], row["query"]] += row["weight"]
    assert len(totals) == 8 * 3 and list(totals.values()) == pytest.approx([1.0] * len(totals), abs=1e-5)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_norms_are_those_of_what_heads_write(architecture: str, causal: bool) -> None:
    model = tiny.model(architecture, causal)
    inputs, _, observer = watched(model)
    norms = {region: [[] for _ in range(8)] for region in ("prompt", "answer", "readout")}
    for item in inputs:
        _, cache = model.bridge.run_with_cache(
            torch.tensor([item.ids]),
            attention_mask=model.attention_bias(torch.ones(1, len(item.ids), dtype=torch.bool)),
        )
        for layer, head in np.ndindex(2, 4):
            z = cache[f"blocks.{layer}.attn.hook_z"][0, :, head]  # [pos, d_head]
            written = (z @ model.bridge.blocks[layer].attn.W_O[head]).norm(dim=-1)
            for position, norm in enumerate(written.tolist()):
                regions = ["prompt" if position < item.start else "answer"]
                regions += ["readout"] if position in item.reads else []
                for region in regions:
                    norms[region][4 * layer + head].append(norm)
    for i, row in enumerate(observer.head_table().to_pylist()):
        assert row["node"] == model.graph.head(i // 4, i % 4)
        for region, values in norms.items():
            assert row[f"norm_{region}"] == pytest.approx(np.mean(values[i]), rel=1e-4)


def test_stored_patterns_stay_within_the_budget() -> None:
    assert within_budget([10, 10, 10], heads=4, budget=1201) == 3
    assert within_budget([10, 10, 10], heads=4, budget=1200) == 2
    assert within_budget([1000], heads=4, budget=100) == 1


# Constructed heads

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
    attention = torch.stack([eager_attentions("llama", model, tuple(row)) for row in ids.tolist()])
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
        attention, n = eager_attentions("qwen3", model, tuple(row)).numpy(), len(row)
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
    monkeypatch.setattr(engine_heads, "VOCAB_CHUNK", 7)
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
