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
    """What a run examines: a model on examples of a task."""

    spec: RunSpec
    task: Task
    model: Model
    drawn: Sequence[Example]
    encoded: Sequence[Encoded]
    orders: Sequence[Order]  # of revealing, by example; none for an ARM
    rows: Sequence[AttributionInput]

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


def study_of(resolved: Resolved, model: Model) -> Study:
    """Draw and encode the examples of a run, and fix the order in which an MDM reveals.

    Raises:
        UserError: an example does not align or holds the mask, or answers have fewer tokens than there are to be steps.
        Unsound: the model gives no sound logits.
    """
    spec, task = resolved.spec, task_of(resolved, model)
    drawn = examples(task, spec.n, spec.seed)
    encoded = [encode(example, model.tokenizer) for example in drawn]
    _refuse_masked(model, drawn, encoded)
    _refuse_unsound_logits(model, encoded[0])
    orders = _orders(spec, model, task, encoded)
    rows = arm_inputs(model, encoded) if spec.is_arm else mdm_inputs(model, encoded, orders)
    return Study(spec, task, model, drawn, encoded, orders, rows)


def task_of(resolved: Resolved, model: Model) -> Task:
    """The task of a run in the tokens of its model."""
    return variant_for(resolved.task, resolved.pair.prompts, model.tokenizer)


def _orders(spec: RunSpec, model: Model, task: Task, encoded: Sequence[Encoded]) -> list[Order]:
    if spec.is_arm:
        return []
    longest = max(len(e.answer) for e in encoded)
    steps = spec.denoising_steps or steps_of(task, longest)
    if steps > longest:
        raise UserError(
            f"denoising_steps is {steps}, but the longest answer has {longest} token{'s' * (longest > 1)}, and every "
            f"step reveals at least one. Choose at most {longest}, or 0 for the task's usual number."
        )
    return reveal_order(model, encoded, spec.order, steps, spec.seed)


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
