"""Whether a model can do a task at all: its own answers to held-out problems, in as many steps as it likes or fewer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import TYPE_CHECKING

import pyarrow as pa
import torch
from torch import Tensor

from engine.models.decoding import (
    batches,
    decode,
    grouped,
    masked,
    most_confident,
    predict,
    reveal,
    run_in_batches,
    step_sizes,
)
from engine.models.encoding import Encoded, encode
from engine.models.example import Example
from engine.models.model import Model
from engine.schema.arrow import table_of_rows
from engine.tasks.base import Task
from engine.tasks.own_prompts import OwnPrompts
from engine.tasks.registry import examples

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def measure_accuracy(model: Model, task: Task, n: int, seed: int) -> float:
    """Share of `n` held-out problems solved: greedily by an ARM, by confidence-ordered denoising by an MDM."""
    drawn = examples(task, n, seed)
    return _solved(model, task, drawn) / len(drawn)


def measure_ability(
    model: Model,
    task: Task,
    n: int,
    n_by_steps: int,
    seed: int,
    on_pass: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[float, list[tuple[int, int, int]]]:
    """`measure_accuracy` on `n` problems, and `accuracy_by_steps` on the first `n_by_steps` of them; none for an ARM.

    The most steps are those of the accuracy itself, so that an MDM does not solve these problems twice.
    """
    if model.causal:
        return measure_accuracy(model, task, n, seed), []
    counts = accuracy_by_steps(model, task, n_by_steps, seed, on_pass)
    _, solved, _ = counts[-1]
    return (solved + _solved(model, task, examples(task, n, seed)[n_by_steps:])) / n, counts


def _solved(model: Model, task: Task, drawn: Sequence[Example]) -> int:
    """How many of the drawn problems the model solves."""
    answers = answers_of(model, task, [encode(example, model.tokenizer) for example in drawn])
    return sum(solves(task, e, answer, model.tokenizer) for e, answer in zip(drawn, answers, strict=True))


def answers_of(model: Model, task: Task, encoded: Sequence[Encoded], denoising_steps: int = 0) -> list[list[str]]:
    """The tokens with which the model answers each clean prompt; as many as the right answer has.

    An MDM takes the task's number of steps (0), or `denoising_steps`, but no more than the answer has tokens.
    """
    answers: dict[int, list[str]] = {}
    for rows in grouped([len(e.answer) for e in encoded]):
        length = len(encoded[rows[0]].answer)
        steps = min(denoising_steps, length) or steps_of(task, length)
        decoded = decode(model, [encoded[i].prompt for i in rows], length, steps)
        answers |= {row: tokens_of(model, answer) for row, answer in zip(rows, decoded, strict=True)}
    return [answers[i] for i in range(len(encoded))]


def tokens_of(model: Model, ids: Sequence[int]) -> list[str]:
    return model.words(ids)


def solves(task: Task, example: Example, answer: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether tokens solve a problem, spelled out as their tokenizer does.

    Own prompts are solved by the very tokens that are measured: the same word without its space is another answer.
    """
    if isinstance(task, OwnPrompts):
        measured = encode(example, tokenizer)
        right = [[token] for token in measured.right] or [list(measured.answer)]
        return any(tokenizer.convert_ids_to_tokens(ids) == list(answer) for ids in right)
    return task.check(example.prompt, tokenizer.convert_tokens_to_string(list(answer)).strip())


def steps_of(task: Task, length: int) -> int:
    """Denoising steps of an answer of `length` tokens: one for a parallel task, else one a token."""
    return 1 if task.parallel else length


def step_counts(length: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, 24, ... below `length`, then `length` itself."""
    grid = sorted({2**power for power in range(length.bit_length())} | {3 * 2**p for p in range(length.bit_length())})
    return [*(steps for steps in grid if steps < length), length]


@torch.no_grad()
def accuracy_by_steps(
    model: Model,
    task: Task,
    n: int,
    seed: int,
    on_pass: Callable[[int, int], None] = lambda done, total: None,
) -> list[tuple[int, int, int]]:
    """(steps, solved, problems) for few to many denoising steps of an MDM, most confident positions first.

    The most steps are those of the longest answer; a shorter answer never takes more steps than it has tokens. A
    parallel task has one step. `on_pass` is told before every forward pass how many there were, and of how many.
    """
    drawn = examples(task, n, seed)
    encoded = [encode(example, model.tokenizer) for example in drawn]
    counts = step_counts(steps_of(task, max(len(e.answer) for e in encoded)))
    solved = dict.fromkeys(counts, 0)
    groups = batches(model, [(len(e.prompt), len(e.answer)) for e in encoded])
    lengths = [len(encoded[rows[0]].answer) for rows in groups]
    plans_of = {length: {s: tuple(step_sizes(length, min(s, length))) for s in counts} for length in lengths}
    total, passes = sum(_passes(plans_of[length].values()) for length in lengths), count()

    def tell() -> None:
        on_pass(min(next(passes), total), total)  # a batch that runs out of memory takes more passes than were counted

    def work(rows: Sequence[int]) -> dict[StepSizes, Tensor]:
        prompts = torch.tensor([encoded[i].prompt for i in rows], device=model.device)  # [batch, prompt]
        length = len(encoded[rows[0]].answer)
        return _denoised(model, masked(model, prompts, length), length, set(plans_of[length].values()), tell)

    for rows, finished in run_in_batches(groups, work):
        length = len(encoded[rows[0]].answer)
        for steps, plan in plans_of[length].items():
            for row, ids in zip(rows, finished[plan].tolist(), strict=True):
                answer = tokens_of(model, ids[-length:])
                solved[steps] += solves(task, drawn[row], answer, model.tokenizer)
    return [(steps, solved[steps], len(drawn)) for steps in counts]


StepSizes = tuple[int, ...]  # how many positions each step reveals


def _passes(plans: Iterable[StepSizes]) -> int:
    """How many forward passes `_denoised` makes."""
    return len({plan[:step] for plan in plans for step in range(len(plan))})


def _denoised(
    model: Model, ids: Tensor, length: int, plans: set[StepSizes], before_pass: Callable[[], None]
) -> dict[StepSizes, Tensor]:
    """ids [batch, pos] after each plan; plans that begin alike share those steps' forward passes."""
    done = {plan: ids for plan in plans if not plan}
    if plans == done.keys():
        return done
    before_pass()
    predicted = predict(model, ids, ids.shape[1] - length)
    for size in {plan[0] for plan in plans if plan}:
        rest = {plan[1:] for plan in plans if plan[:1] == (size,)}
        further = _denoised(
            model, reveal(ids, most_confident(predicted, size), predicted.best), length, rest, before_pass
        )
        done |= {(size, *plan): revealed for plan, revealed in further.items()}
    return done


def accuracy_table(counts: Sequence[tuple[int, int, int]]) -> pa.Table:
    """The table accuracy_steps, from `accuracy_by_steps`; nothing for an ARM."""
    names = ("steps", "correct", "total")
    return table_of_rows("accuracy_steps", [dict(zip(names, row, strict=True)) for row in counts])
