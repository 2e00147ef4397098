"""How often a model is right: over the number of denoising steps, and with answers of any length."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
import torch

from engine.models.decoding import batches, decode, reveal_order, step_sizes
from engine.models.encoding import encode
from engine.models.example import Example
from engine.models.model import Model, wrap
from engine.tasks.accuracy import (
    accuracy_by_steps,
    accuracy_table,
    answers_of,
    measure_ability,
    measure_accuracy,
    solves,
    step_counts,
)
from engine.tasks.base import Split
from engine.tasks.registry import TASKS, examples
from engine.training.word_tokenizer import MASK, SPECIALS, UNKNOWN, build_tokenizer, vocabulary
from tests import tiny

WORDS = tuple(vocabulary())[len(SPECIALS) : tiny.VOCAB]


class Mixed:
    """Answers of three lengths to prompts of two; right is what `solved` holds, whoever says it."""

    name, title, family, blurb = "mixed", "Mixed", "prefix-dominant", ""
    parallel = False

    def __init__(self, solved: set[tuple[str, str]]) -> None:
        self.solved = solved

    def sample(self, rng: random.Random, split: Split) -> Example:
        prompt = rng.choices(WORDS, k=rng.choice([4, 6]))
        answer = rng.choices(WORDS, k=rng.choice([1, 3, 6]))
        corrupted = [rng.choice([w for w in WORDS if w != word]) for word in answer]
        return Example(" ".join(prompt), " ".join(answer), " ".join(prompt), " ".join(corrupted), " ".join(prompt))

    def check(self, prompt: str, answer: str) -> bool:
        return (prompt, answer) in self.solved


def plain_denoise(model: Model, prompt: tuple[int, ...], sizes: list[int]) -> str:
    """Denoising by confidence, one problem and one position at a time."""
    ids = [*prompt, *[3] * sum(sizes)]
    for size in sizes:
        logits = model.logits(torch.tensor([ids]))[0].clone()
        logits[:, 3] = -torch.inf
        best = logits.softmax(-1).max(-1)
        hidden = [i for i in range(len(prompt), len(ids)) if ids[i] == 3]
        for i in sorted(hidden, key=lambda i: -float(best.values[i - 1]))[:size]:
            ids[i] = int(best.indices[i - 1])
    return " ".join(model.tokenizer.convert_ids_to_tokens(ids[len(prompt) :]))


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny.model("llama", causal=False)


@pytest.fixture(scope="module")
def written(model: Model) -> dict[int, list[tuple[str, str]]]:
    """By steps, (prompt, what the model writes) for 24 problems."""
    drawn = examples(Mixed(set()), 24, 5)
    encoded = [encode(e, model.tokenizer) for e in drawn]
    assert {len(e.answer) for e in encoded} == {1, 3, 6} and len({len(e.prompt) for e in encoded}) == 2
    return {
        steps: [
            (d.prompt, plain_denoise(model, e.prompt, step_sizes(len(e.answer), min(steps, len(e.answer)))))
            for d, e in zip(drawn, encoded, strict=True)
        ]
        for steps in (1, 2, 3, 4, 6)
    }


def test_accuracy_by_steps_is_that_of_plain_denoising(model: Model, written: dict[int, list[tuple[str, str]]]) -> None:
    every = {answer for answers in written.values() for answer in answers}
    assert len(every) > 24  # the number of steps changes what is written
    solved = set(random.Random(1).sample(sorted(every), 20))
    expected = [(steps, sum(answer in solved for answer in answers), 24) for steps, answers in written.items()]
    assert accuracy_by_steps(model, Mixed(solved), 24, 5) == expected
    assert len({correct for _, correct, _ in expected}) > 1


def test_forward_passes_are_counted_and_shared(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step: 1 pass. Two, three, four, six: 1 + 2 + 3 + 5 more, but where 2, 2, 2 and 2, 2, 1, 1 begin alike."""
    told: list[tuple[int, int]] = []
    made: list[int] = []
    logits = Model.logits
    monkeypatch.setattr(Model, "logits", lambda self, ids, at: (made.append(len(ids)), logits(self, ids, at=at))[1])
    sampled = examples(Mixed(set()), 24, 5)
    long = [e for e in sampled if len(e.answer.split()) == 6][:1]
    monkeypatch.setattr("engine.tasks.accuracy.examples", lambda task, n, seed: long)
    accuracy_by_steps(model, Mixed(set()), 1, 5, lambda done, total: told.append((done, total)))
    passes = 1 + (1 + 2 + 3 + 5) - 2
    assert told == [(done, passes) for done in range(passes)] and made == [1] * passes


def test_as_many_steps_as_tokens_is_the_measured_accuracy(
    model: Model, written: dict[int, list[tuple[str, str]]]
) -> None:
    task = Mixed(set(written[6][::2]))
    assert accuracy_by_steps(model, task, 24, 5)[-1] == (6, 12, 24)
    assert measure_accuracy(model, task, 24, 5) == 0.5


@pytest.mark.parametrize("first", [9, 24])
def test_the_first_problems_are_solved_once_for_both_accuracies(
    model: Model, written: dict[int, list[tuple[str, str]]], first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Mixed(set(written[6][::2]))
    expected = measure_accuracy(model, task, 24, 5), accuracy_by_steps(model, task, first, 5)
    inputs: list[int] = []
    logits = Model.logits
    monkeypatch.setattr(Model, "logits", lambda self, ids, at: (inputs.append(len(ids)), logits(self, ids, at=at))[1])
    assert measure_ability(model, task, 24, first, 5) == expected
    together = sum(inputs)
    inputs.clear()
    accuracy_by_steps(model, task, first, 5)
    lengths = [len(answer.split()) for _, answer in written[6]]
    assert together - sum(inputs) == sum(lengths[first:])  # a pass for every token of the other problems


def test_the_ability_of_an_arm_is_its_accuracy() -> None:
    model = tiny.model("llama", causal=True)
    encoded = [encode(e, model.tokenizer) for e in examples(Mixed(set()), 8, 5)]
    answers = [" ".join(answer) for answer in answers_of(model, Mixed(set()), encoded)]
    drawn = examples(Mixed(set()), 8, 5)
    task = Mixed({(e.prompt, answer) for e, answer in list(zip(drawn, answers, strict=True))[:2]})
    assert measure_ability(model, task, 8, 4, 5) == (0.25, [])


def test_answers_have_the_length_of_their_own_right_answer(
    model: Model, written: dict[int, list[tuple[str, str]]]
) -> None:
    encoded = [encode(e, model.tokenizer) for e in examples(Mixed(set()), 24, 5)]
    assert [" ".join(answer) for answer in answers_of(model, Mixed(set()), encoded)] == [a for _, a in written[6]]
    answers = answers_of(model, Mixed(set()), encoded[:1])
    assert [" ".join(answers[0])] == [written[6][0][1]]


def test_an_arm_answers_at_every_length_too() -> None:
    model = tiny.model("gpt2", causal=True)
    encoded = [encode(e, model.tokenizer) for e in examples(Mixed(set()), 12, 5)]
    for e, answer in zip(encoded, answers_of(model, Mixed(set()), encoded), strict=True):
        (ids,) = decode(model, [e.prompt], len(e.answer), 1)
        assert answer == model.tokenizer.convert_ids_to_tokens(list(ids))
        assert len(answer) == len(e.answer)


@pytest.mark.parametrize("name", ["confidence", "left-to-right", "random"])
def test_reveal_orders_of_answers_of_any_length(model: Model, name: str) -> None:
    encoded = [encode(e, model.tokenizer) for e in examples(Mixed(set()), 24, 5)]
    orders = reveal_order(model, encoded, name, 3, seed=2)
    for i, (e, order) in enumerate(zip(encoded, orders, strict=True)):
        assert [len(step) for step in order] == step_sizes(len(e.answer), min(3, len(e.answer)))
        assert sorted(t for step in order for t in step) == list(range(len(e.answer)))
        if name != "random" or i == 0:
            assert reveal_order(model, [e], name, 3, seed=2) == [order]


def test_parallel_tasks_have_one_step() -> None:
    model = tiny_for_tasks()
    assert accuracy_by_steps(model, TASKS["ioi"], 3, 0)[0][0::2] == (1, 3)
    assert len(accuracy_by_steps(model, TASKS["greater_than"], 3, 0)) == 1
    assert [steps for steps, _, _ in accuracy_by_steps(model, TASKS["countdown"], 1, 0)] == [1, 2, 3, 4, 6, 8, 11]


def tiny_for_tasks() -> Model:
    """A random model that knows every word of the tasks."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(**{**tiny.SHARED, **tiny.HEADS, "vocab_size": len(tokenizer)})
    config.is_causal = False
    hf = LlamaForCausalLM(config).eval().requires_grad_(False)
    return wrap(hf, tokenizer, causal=False, shifted=True, mask_token=MASK)


def test_step_counts_double_and_halve_to_the_length() -> None:
    assert step_counts(1) == [1]
    assert step_counts(2) == [1, 2]
    assert step_counts(11) == [1, 2, 3, 4, 6, 8, 11]
    assert step_counts(16) == [1, 2, 3, 4, 6, 8, 12, 16]
    assert step_counts(40) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40]


def test_tokens_that_are_no_words_are_joined_as_their_tokenizer_does() -> None:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({"\u0120Ma": 0, "ry": 1, UNKNOWN: 2}, unk_token=UNKNOWN))
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    task, example = Mixed({("who ?", "Mary")}), Example("who ?", "Mary", "who ?", "John", "")
    assert solves(task, example, ["\u0120Ma", "ry"], tokenizer)
    assert not solves(task, example, ["\u0120Ma", "\u0120Ma"], tokenizer)


def test_the_table_has_a_row_a_count_and_none_for_an_arm() -> None:
    table = accuracy_table([(1, 3, 5), (2, 4, 5)])
    assert table.to_pylist() == [{"steps": 1, "correct": 3, "total": 5}, {"steps": 2, "correct": 4, "total": 5}]
    assert set(table.schema.types) == {pa.int32()} and accuracy_table([]).schema == table.schema


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_logits_at_some_positions_are_those_of_all(architecture: str, causal: bool) -> None:
    model = tiny.model(architecture, causal)
    ids = torch.randint(4, tiny.VOCAB, (3, 9), generator=torch.Generator().manual_seed(0))
    whole, some = model.logits(ids), model.logits(ids, at=[2, 5, 7])
    assert some.shape == (3, 3, tiny.VOCAB)
    torch.testing.assert_close(some, whole[:, [2, 5, 7]], atol=1e-5, rtol=1e-5)


def test_long_inputs_and_large_vocabularies_go_a_few_at_a_time(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [(6, 3), (20, 2)] * 20
    assert [len(rows) for rows in batches(model, lengths)] == [20, 20]
    monkeypatch.setattr("engine.models.decoding.MOST_TOKENS", 9 * 7)
    batched = batches(model, lengths)
    assert [len(rows) for rows in batched] == [7, 7, 6, *[2] * 10]
    assert sorted(row for rows in batched for row in rows) == list(range(40))
    assert all(len({lengths[row] for row in rows}) == 1 for rows in batched)
    monkeypatch.setattr("engine.models.decoding.MOST_LOGITS", tiny.VOCAB * 3 * 4)
    assert [len(rows) for rows in batches(model, lengths)] == [4] * 5 + [2] * 10
    monkeypatch.setattr("engine.models.decoding.MOST_LOGITS", 1)
    assert [len(rows) for rows in batches(model, lengths)] == [1] * 40


def test_answers_do_not_depend_on_how_many_go_together(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = [encode(e, model.tokenizer) for e in examples(Mixed(set()), 24, 5)]
    together = answers_of(model, Mixed(set()), encoded), accuracy_by_steps(model, Mixed(set()), 24, 5)
    orders = reveal_order(model, encoded, "confidence", 6, 0)
    monkeypatch.setattr("engine.models.decoding.MOST_INPUTS", 2)
    assert (answers_of(model, Mixed(set()), encoded), accuracy_by_steps(model, Mixed(set()), 24, 5)) == together
    assert reveal_order(model, encoded, "confidence", 6, 0) == orders
