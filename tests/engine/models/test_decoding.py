"""Decoding and the order of revealing, one token at a time; confidence, against decimal arithmetic."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from engine.models.decoding import decode, log_odds, most_confident, reveal_order, step_sizes
from engine.models.encoding import Ids
from engine.models.model import Model, wrap
from engine.training.word_tokenizer import build_tokenizer
from tests import checkpoints, tiny
from tests.engine.models.predictions import POSITIONS, VOCAB, certain, exact, prediction


@pytest.mark.parametrize("advantage", [-5.0, 0.0, 1.0, 30.0, 700.0])
def test_log_odds_are_exact(advantage: float) -> None:
    logits = torch.tensor([[[0.0, 0.5, 0.25 + advantage, 0.125]]])
    p = exact(logits)[0][2]
    computed = log_odds(logits[..., 1:], torch.tensor([[1]])).item()
    assert computed == pytest.approx(float((p / (1 - p)).ln()), rel=1e-14)


def test_a_step_reveals_the_most_confident_of_many_that_are_1_in_float32() -> None:
    logits = certain()
    order = sorted(range(POSITIONS), key=lambda t: 1 - max(exact(logits)[t]))
    for size in range(1, POSITIONS + 1):
        picked = most_confident(prediction(logits), size)
        assert picked[0].nonzero()[:, 0].tolist() == sorted(order[:size])


def test_of_equal_tokens_the_first_is_predicted_and_never_the_mask() -> None:
    predicted = prediction(torch.zeros(1, 3, VOCAB))
    assert predicted.best.tolist() == [[1, 1, 1]]
    assert predicted.top[0].tolist() == pytest.approx([1 / (VOCAB - 1)] * 3)


def test_the_last_step_reveals_all_that_is_hidden_without_comparing(monkeypatch: pytest.MonkeyPatch) -> None:
    predicted = prediction(certain())
    monkeypatch.setattr("engine.models.decoding.log_odds", None)  # not called
    assert bool(most_confident(predicted, POSITIONS).all())


def test_many_logits_go_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = certain()
    whole = prediction(logits).log_odds
    monkeypatch.setattr("engine.models.decoding.DOUBLES", 2 * VOCAB + 1)
    assert torch.equal(prediction(logits).log_odds, whole)


def test_step_sizes_spread_all_positions() -> None:
    assert step_sizes(11, 4) == [3, 3, 3, 2]
    assert step_sizes(5, 5) == [1] * 5 and step_sizes(4, 1) == [4]


def test_orders_are_permutations_and_random_follows_its_seed() -> None:
    model, examples = tiny.model("qwen2", causal=False), tiny.random_examples(4)
    for name in ("confidence", "left-to-right", "random"):
        for order in reveal_order(model, examples, name, 3, seed=1):
            assert sorted(t for step in order for t in step) == [0, 1, 2]
    assert reveal_order(model, examples, "left-to-right", 3, 0)[0] == ((0,), (1,), (2,))
    draws = {str(reveal_order(model, examples, "random", 3, seed)) for seed in range(6)}
    assert len(draws) > 1
    assert reveal_order(model, examples, "random", 3, 5) == reveal_order(model, examples, "random", 3, 5)
    of_part = reveal_order(model, examples[2:], "random", 3, 5, first=2)
    assert of_part == reveal_order(model, examples, "random", 3, 5)[2:]  # an order is drawn by the example's number


def test_confidence_order_follows_the_models_top_probability_step_by_step() -> None:
    """Brute force, one example at a time, revealing the clean token each time."""
    model, examples = tiny.model("qwen2", causal=False), tiny.random_examples(3)
    for e, order in zip(examples, reveal_order(model, examples, "confidence", 3, 0), strict=True):
        tokens = [*e.prompt, 3, 3, 3]
        for (revealed,) in order:
            probability = model.logits(torch.tensor([tokens]))[0].clone()
            probability[:, 3] = -torch.inf
            top = probability.softmax(-1).amax(-1)
            hidden = [t for t in range(3) if tokens[e.start + t] == 3]
            assert revealed == max(hidden, key=lambda t: float(top[e.start + t - 1]))
            tokens[e.start + revealed] = e.answer[revealed]


def greedy(model: Model, prompt: Ids, length: int) -> Ids:
    """The same answer from the whole input again and again, without a cache."""
    tokens = list(prompt)
    for _ in range(length):
        tokens.append(int(model.logits(torch.tensor([tokens]))[0, -1].argmax()))
    return tuple(tokens[len(prompt) :])


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_greedy_decoding_with_a_cache_equals_the_plain_loop(architecture: str) -> None:
    model = tiny.model(architecture, causal=True)
    prompts = [e.prompt for e in tiny.random_examples(24)]
    answers = decode(model, prompts, 9, steps=9)
    assert answers == [greedy(model, prompt, 9) for prompt in prompts]
    assert len({token for answer in answers for token in answer}) > 9


@pytest.mark.parametrize("name", checkpoints.FORMATS)
def test_the_published_formats_decode_with_a_cache(name: str) -> None:
    random_model = checkpoints.random_model(checkpoints.FORMATS[name][0], seed=0)
    model = wrap(random_model.float(), build_tokenizer(), causal=True)
    prompts = [e.prompt for e in tiny.random_examples(2)]
    assert decode(model, prompts, 5, steps=5) == [greedy(model, prompt, 5) for prompt in prompts]


def test_every_pass_reads_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    model, widths = tiny.model("llama", causal=True), []
    model.bridge.blocks[0].hook_in.add_hook(lambda x, hook: widths.append(x.shape[1]))
    decode(model, [(5, 6, 7, 8, 9), (9, 8, 7, 6, 5)], 4, steps=4)
    assert widths == [5, 1, 1, 1]
    widths.clear()
    monkeypatch.setattr("engine.models.decoding.MOST_CACHED", 9 * model.cached_bytes)  # of one input
    decode(model, [(5, 6, 7, 8, 9), (9, 8, 7, 6, 5)], 4, steps=4)
    assert widths == [5, 1, 1, 1] * 2


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_a_cache_takes_as_much_as_is_said(architecture: str) -> None:
    model, cache = tiny.model(architecture, causal=True), DynamicCache()
    model.next_logits(torch.tensor([[5, 6, 7], [8, 9, 10]]), cache)
    assert sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers) == 6 * model.cached_bytes


def test_denoising_writes_the_most_confident_first_and_never_the_mask() -> None:
    model = tiny.model("llama", causal=False)
    prompts = [e.prompt for e in tiny.random_examples(4)]
    for prompt, answer in zip(prompts, decode(model, prompts, 4, steps=4), strict=True):
        assert 3 not in answer
        tokens = [*prompt, 3, 3, 3, 3]
        for _ in range(4):
            logits = model.logits(torch.tensor([tokens]))[0].clone()
            logits[:, 3] = -torch.inf
            best = logits.softmax(-1).max(-1)
            hidden = [i for i in range(len(prompt), len(tokens)) if tokens[i] == 3]
            pick = max(hidden, key=lambda i: float(best.values[i - 1]))
            tokens[pick] = int(best.indices[pick - 1])
        assert tuple(tokens[len(prompt) :]) == answer
