"""Batches: what is in them, and that nothing held out is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
import torch

from engine.tasks.base import split_of
from engine.tasks.countdown.problems import is_solved
from engine.tasks.registry import TASKS, examples
from engine.training.mixture import ROWS, TEXT, WEIGHTS, Mixture, chosen_tasks, plain_task, problems
from tests.engine.training.tiny_llama import tokenizer

MIXTURE = Mixture(tokenizer(), torch.arange(60).view(6, 10), seed=0)


def decoded(ids: Sequence[int]) -> str:
    return str(tokenizer().decode(list(ids)))


@pytest.fixture(params=list(TASKS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_problems_of_training_are_never_held_out_ones(name: str) -> None:
    """What a problem is, is in its prompt, but in IOI, where the two names and the template are all that counts."""
    trained = {decoded(prompt) for prompt, _ in problems(name, tokenizer(), "0/arm/0")}
    held_out = examples(plain_task(name, tokenizer()), 100, seed=0)
    assert not trained & {e.prompt for e in held_out} and not trained & {f"{e.prompt}{e.join}" for e in held_out}
    assert all(split_of(e.content) == "heldout" for e in held_out)


def test_ioi_and_countdown_are_split_by_what_is_asked_and_not_by_how() -> None:
    asked = {tuple(decoded(p).split("Input: ")[1].split("\n")[0].split(",")) for p, _ in _rows("countdown")}
    for *operands, target in asked:
        assert split_of(f"countdown/{tuple(sorted(map(int, operands)))}/{target}") == "train"


def _rows(name: str) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return problems(name, tokenizer(), "0/arm/0")


def test_answers_are_right(name: str) -> None:
    task = plain_task(name, tokenizer())
    for prompt, answer in _rows(name):
        assert task.check(decoded(prompt), decoded(answer).strip())


def test_a_batch_is_a_function_of_its_step_without_padding(name: str) -> None:
    seen: Counter[tuple[int, ...]] = Counter()
    task = plain_task(name, tokenizer())
    for step in range(6):
        batch = MIXTURE.batch(name, "arm", step)
        assert torch.equal(batch.ids, MIXTURE.batch(name, "arm", step).ids)
        assert 1 <= len(batch.ids) <= ROWS[name] and 0 < batch.start < batch.ids.shape[1]
        for row in batch.ids.tolist():
            prompt, answer = decoded(row[: batch.start]), decoded(row[batch.start :])
            assert task.check(prompt, answer.strip())
        seen[tuple(batch.ids.flatten().tolist())] += 1
    assert max(seen.values()) == 1
    assert not torch.equal(MIXTURE.batch(name, "arm", 0).ids, MIXTURE.batch(name, "mdm", 0).ids)


def test_text_is_asked_from_its_second_token_on() -> None:
    batch = MIXTURE.batch(TEXT, "arm", 0)
    assert batch.start == 1 and len({tuple(row) for row in batch.ids.tolist()}) == ROWS[TEXT]


@pytest.mark.parametrize("phase", ["arm", "mdm"])
def test_tasks_are_drawn_by_their_weights_two_different_ones_a_step(phase: str) -> None:
    drawn = [chosen_tasks(0, phase, step) for step in range(4000)]
    assert all(len(set(tasks)) == len(tasks) for tasks in drawn)
    assert [TEXT in tasks for tasks in drawn[:8]] == [True, False, False, False] * 2
    first = Counter(tasks[0] for tasks in drawn)
    total = sum(WEIGHTS[phase].values())
    for name, weight in WEIGHTS[phase].items():
        assert first[name] / len(drawn) == pytest.approx(weight / total, abs=0.03)


def test_countdown_is_asked_as_published_without_examples() -> None:
    prompt, answer = _rows("countdown")[0]
    asked, output = decoded(prompt), decoded(answer)
    *operands, target = map(int, asked.removeprefix("Input: ").partition("\n")[0].split(","))
    assert asked.endswith(("\nOutput: ", "\nOutput:"))
    assert is_solved(operands, target, output.strip()) and operands == sorted(operands, reverse=True)
