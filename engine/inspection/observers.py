"""One pass over a task's clean inputs, whose activations are shown to every observer of a run.

1. `inputs_of` lists the distinct clean inputs behind an attribution's rows: an ARM's is the same for all its sites.
2. `detailed_inputs` chooses the few whose detail (every token, every attention pattern) is stored with the run.
3. `survey` runs every distinct input once and passes what was recorded to each observer in turn, batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import torch
from torch import Tensor

from engine.attribution.sites import AttributionInput
from engine.models.activation_cache import ActivationCache, recording
from engine.models.batching import TOKENS, Capacity, in_batches, padded
from engine.models.encoding import Encoded, Ids
from engine.models.model import Model
from engine.schema import arrow
from engine.schema.vocabulary import SHOWN_EXAMPLES

KEPT_OF_STEPS = 3  # examples of which three steps are kept: the first, the middle and the last


@dataclass(frozen=True)
class Input:
    """A clean input. `part` names it: "site-TT" of its first site (ARM), or "step-SS" (MDM)."""

    example: int
    part: str
    ids: Ids
    start: int  # position of the first answer token
    reads: tuple[int, ...]  # positions at which the logits of sites are read


@dataclass(frozen=True)
class Batch:
    """Inputs that ran together, right-padded to [batch, pos]; `numbers` are their places in the list of inputs."""

    numbers: tuple[int, ...]
    inputs: tuple[Input, ...]
    ids: Tensor  # [batch, pos]
    real: Tensor  # [batch, pos] False: padding


class Observer(Protocol):
    """Gets every batch with what was recorded of it; `hooks` names what is to be recorded."""

    @property
    def hooks(self) -> Sequence[str]: ...

    def observe(self, batch: Batch, cache: ActivationCache) -> None: ...


def inputs_of(rows: Sequence[AttributionInput], encoded: Sequence[Encoded]) -> list[Input]:
    """Every distinct clean input of `rows` once, ordered by example and part."""
    inputs: dict[tuple[int, Ids], Input] = {}
    for row in sorted(rows, key=lambda row: (row.example, row.part)):
        known = inputs.get((row.example, row.clean))
        reads = {*(known.reads if known else ()), *(site.read for site in row.sites)}
        part, start = known.part if known else row.part, encoded[row.example].start
        inputs[row.example, row.clean] = Input(row.example, part, row.clean, start, tuple(sorted(reads)))
    return list(inputs.values())


def detailed_inputs(inputs: Sequence[Input]) -> list[int]:
    """Places in `inputs` of those whose detail is stored."""
    by_example: dict[int, list[int]] = {}
    for number, item in enumerate(inputs):
        by_example.setdefault(item.example, []).append(number)
    chosen: list[int] = []
    stepped = any(len(numbers) > 1 for numbers in by_example.values())
    for numbers in list(by_example.values())[: KEPT_OF_STEPS if stepped else SHOWN_EXAMPLES]:
        chosen += sorted({numbers[0], numbers[len(numbers) // 2], numbers[-1]})
    return chosen


@torch.no_grad()
def survey(
    model: Model,
    inputs: Sequence[Input],
    observers: Sequence[Observer],
    on_inputs: Callable[[int], None] = lambda done: None,
) -> None:
    """Run what differs among the inputs once, and show every input to every observer.

    Inputs with the same tokens, such as those of examples with one prompt, are one row of what runs; each is shown.
    """
    names = sorted({name for observer in observers for name in observer.hooks})
    same: dict[Ids, list[int]] = {}  # places of the inputs with these tokens
    for number in sorted(range(len(inputs)), key=lambda number: len(inputs[number].ids)):
        same.setdefault(inputs[number].ids, []).append(number)
    done = 0

    def run(chosen: Sequence[Ids]) -> tuple[Tensor, Tensor, ActivationCache]:
        ids, real = padded(model, chosen)
        with recording(model, names) as cache:
            model.logits(ids, real, at=[0])  # only what is recorded counts
        return ids, real, cache

    for chosen, (ids, real, cache) in in_batches(list(same), len, Capacity(TOKENS), run):
        places = [(number, row) for row, tokens in enumerate(chosen) for number in same[tokens]]
        for start in range(0, len(places), len(chosen)):  # at most as many at once as ran
            numbers, rows = zip(*places[start : start + len(chosen)], strict=True)
            shown = cache if rows == tuple(range(len(chosen))) else _of_rows(cache, rows)
            batch = Batch(numbers, tuple(inputs[number] for number in numbers), ids[list(rows)], real[list(rows)])
            for observer in observers:
                observer.observe(batch, shown)
            done += len(numbers)
            on_inputs(done)
        cache.clear()  # before the next batch runs


def _of_rows(cache: ActivationCache, rows: Sequence[int]) -> ActivationCache:
    """Rows of every recorded tensor [row, ...]."""
    return {name: tensor[list(rows)] for name, tensor in cache.items()}


def input_table(model: Model, inputs: Sequence[Input], roles: Sequence[Sequence[str]]) -> pa.Table:
    """The kept inputs (docs/tables.md), with a role per token."""
    return arrow.table(
        "inputs",
        {
            "input": pa.array(range(len(inputs)), pa.int32()),
            "example": pa.array([item.example for item in inputs], pa.int32()),
            "part": pa.array([item.part for item in inputs], pa.string()),
            "tokens": pa.array([model.words(item.ids) for item in inputs], pa.list_(pa.string())),
            "roles": pa.array([list(of_input) for of_input in roles], pa.list_(pa.string())),
            "start": pa.array([item.start for item in inputs], pa.int32()),
        },
    )
