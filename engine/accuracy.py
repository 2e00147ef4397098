"""Whether a model can do a task at all: its own answers to held-out problems."""

from __future__ import annotations

from collections.abc import Sequence

from engine.denoise import decode
from engine.encoding import Encoded, encode
from engine.models import Model
from engine.tasks import Example, Task, examples


def measure_accuracy(model: Model, task: Task, n: int, seed: int) -> float:
    """Share of `n` held-out problems solved: greedily by an ARM, by confidence-ordered denoising by an MDM."""
    drawn = examples(task, n, seed)
    answers = answers_of(model, task, [encode(example, model.tokenizer) for example in drawn])
    return sum(solves(task, example, answer) for example, answer in zip(drawn, answers, strict=True)) / n


def answers_of(model: Model, task: Task, encoded: Sequence[Encoded]) -> list[list[str]]:
    """The tokens with which the model answers each clean prompt."""
    length = len(encoded[0].answer)
    ids = decode(model, [e.prompt for e in encoded], length, steps_of(task, length))
    return [[str(model.tokenizer.convert_ids_to_tokens(token)) for token in answer] for answer in ids]


def solves(task: Task, example: Example, answer: Sequence[str]) -> bool:
    return task.check(example.prompt, " ".join(answer))


def steps_of(task: Task, length: int) -> int:
    """Denoising steps of an answer of `length` tokens: one for a parallel task, else one a token."""
    return 1 if task.parallel else length
