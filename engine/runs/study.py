"""What a run examines: a model, the examples of its task as the model reads them, the rows that attribution runs.

Drawn once and shared by the artifacts of a run that depend on examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from engine.attribution.sites import AttributionInput, arm_inputs, mdm_inputs
from engine.attribution.soundness import refuse_unsound
from engine.errors import UserError
from engine.inspection.heads import token_roles
from engine.inspection.observers import Input, inputs_of
from engine.models.decoding import Order, reveal_order
from engine.models.encoding import Encoded, encode
from engine.models.example import Example
from engine.models.model import Model
from engine.runs.provenance import Resolved
from engine.runs.spec import RunSpec
from engine.tasks.accuracy import steps_of
from engine.tasks.base import Task
from engine.tasks.natural import variant_for
from engine.tasks.registry import examples


@dataclass(frozen=True)
class Study:
    """What a run examines: a model on examples of a task.

    Examples are numbered from 0 on, in `rows` too. Of a part of a run, `first` is the number of example 0 in the run.
    """

    spec: RunSpec
    task: Task
    model: Model
    drawn: Sequence[Example]
    encoded: Sequence[Encoded]
    orders: Sequence[Order]  # of revealing, by example; none for an ARM
    rows: Sequence[AttributionInput]
    first: int = 0

    @property
    def n(self) -> int:
        return len(self.drawn)

    @cached_property
    def inputs(self) -> list[Input]:
        return inputs_of(self.rows, self.encoded)

    @cached_property
    def roles(self) -> list[tuple[str, ...]]:
        """By example, a role for every token of prompt + answer."""
        roles = (
            token_roles(self.task, example, encoded, self.model.tokenizer)
            for example, encoded in zip(self.drawn, self.encoded, strict=True)
        )
        return [prompt + answer for prompt, answer in roles]


def study_of(
    resolved: Resolved, model: Model, part: range | None = None, orders: Sequence[Order] | None = None
) -> Study:
    """Draw and encode the examples of a run, or of a `part` of it, and fix the order in which an MDM reveals.

    `orders`: these, where they are known already.

    Raises:
        UserError: an example does not align or holds the mask, or answers have fewer tokens than there are to be steps.
        Unsound: the model gives no sound logits.
    """
    spec, task = resolved.spec, task_of(resolved, model)
    whole, part = examples(task, spec.n, spec.seed), part or range(spec.n)
    drawn = whole[part.start : part.stop]
    encoded = [encode(example, model.tokenizer) for example in drawn]
    _refuse_masked(model, drawn, encoded)
    _refuse_unsound_logits(model, encoded[0])
    if orders is None:
        steps = 0 if spec.is_arm else _steps(spec, task, model, whole, encoded)
        orders = _orders(resolved, model, encoded, steps, part)
    rows = arm_inputs(model, encoded) if spec.is_arm else mdm_inputs(model, encoded, orders)
    return Study(spec, task, model, drawn, encoded, orders, rows, part.start)


def task_of(resolved: Resolved, model: Model) -> Task:
    """The task of a run in the tokens of its model."""
    return variant_for(resolved.task, resolved.pair.prompts, model.tokenizer)


def _steps(spec: RunSpec, task: Task, model: Model, whole: Sequence[Example], encoded: Sequence[Encoded]) -> int:
    """In how many steps the longest answer is revealed; `encoded` are some or all of the `whole` examples."""
    longest = max(len(e.answer) for e in encoded)
    steps = spec.denoising_steps or steps_of(task, longest)
    if steps > longest and len(encoded) < len(whole):
        longest = max(len(encode(example, model.tokenizer).answer) for example in whole)
    if steps > longest:
        raise UserError(
            f"denoising_steps is {steps}, but the longest answer has {longest} token{'s' * (longest > 1)}, and every "
            f"step reveals at least one. Choose at most {longest}, or 0 for the task's usual number."
        )
    return steps


def _orders(resolved: Resolved, model: Model, encoded: Sequence[Encoded], steps: int, part: range) -> list[Order]:
    """Of the examples of `part`: part by part of the circuit, as rounding depends on what runs together."""
    spec, orders = resolved.spec, list[Order]()
    for each in resolved.parts or (part,):
        if steps and each.start in part:
            own = encoded[each.start - part.start : each.stop - part.start]
            orders += reveal_order(model, own, spec.order, steps, spec.seed, each.start)
    return orders


def _refuse_masked(model: Model, drawn: Sequence[Example], encoded: Sequence[Encoded]) -> None:
    """No example may hold the mask, which is an ordinary token in some models."""
    for example, tokens in zip(drawn, encoded, strict=True):
        if model.mask_id in tokens.prompt + tokens.answer + tokens.corrupt_prompt + tokens.corrupt_answer:
            raise UserError(
                f"The prompt {example.prompt!r} or its answer contains token {model.mask_id}, which this model reads "
                "as masked. Choose another seed, or other prompts."
            )


@torch.no_grad()
def _refuse_unsound_logits(model: Model, encoded: Encoded) -> None:
    """Of one example, before time is spent on more."""
    ids = torch.tensor([encoded.prompt + encoded.answer], device=model.device)
    refuse_unsound(model.logits(ids, at=[ids.shape[1] - 1]), "its logits")
