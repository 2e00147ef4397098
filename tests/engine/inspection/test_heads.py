"""Heads: roles per token, attention by role and pattern by brute force, norms of what they write."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from engine.inspection.heads import Heads, token_roles, within_budget
from engine.inspection.observers import Input, inputs_of, survey
from engine.models.encoding import Encoded, encode
from engine.models.example import Example
from engine.models.model import Model
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


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_patterns_and_means_by_role_are_those_of_plain_transformers(architecture: str, causal: bool) -> None:
    model = tiny.model(architecture, causal)
    inputs, roles, observer = watched(model)
    patterns, sums, counts = {}, defaultdict(float), defaultdict(int)
    for number, item in enumerate(inputs):
        attention, mine = tiny.eager_attentions(architecture, model, item.ids), roles[item.example]
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
    for i, row in enumerate(observer.norm_table().to_pylist()):
        assert row["node"] == model.graph.head(i // 4, i % 4)
        for region, values in norms.items():
            assert row[f"norm_{region}"] == pytest.approx(np.mean(values[i]), rel=1e-4)


def test_stored_patterns_stay_within_the_budget() -> None:
    assert within_budget([10, 10, 10], heads=4, budget=1201) == 3
    assert within_budget([10, 10, 10], heads=4, budget=1200) == 2
    assert within_budget([1000], heads=4, budget=100) == 1
