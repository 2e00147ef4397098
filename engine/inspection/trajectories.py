"""The steps in which an MDM fills in answers, under every sampler (engine/models/samplers.py), as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import torch

from engine.files.reading import Json
from engine.models.decoding import Order, grouped
from engine.models.encoding import Encoded
from engine.models.example import Example
from engine.models.model import Model
from engine.models.samplers import SAMPLERS, denoise, example_generator
from engine.schema import arrow
from engine.schema.vocabulary import SHOWN_EXAMPLES
from engine.tasks.accuracy import solves, tokens_of
from engine.tasks.base import Task


def trajectory_table(
    model: Model,
    task: Task,
    drawn: Sequence[Example],
    encoded: Sequence[Encoded],
    seed: int,
    on_samplers: Callable[[int, int], None] = lambda done, total: None,
) -> pa.Table:
    """`trajectories` of docs/tables.md: every sampler on the first examples; nothing for an ARM.

    `on_samplers` is called before every sampler with how many are done, and of how many.
    """
    few = [] if model.causal else encoded[:SHOWN_EXAMPLES]
    records: list[Json] = []
    for done, sampler in enumerate(SAMPLERS):
        on_samplers(done, len(SAMPLERS))
        of_sampler: list[Json] = []
        for rows in grouped([(len(e.prompt), len(e.answer)) for e in few]):
            of_sampler += _records(model, task, drawn, encoded, sampler, seed, rows)
        records += sorted(of_sampler, key=lambda record: (record["example"], record["step"]))
    return arrow.table_of_rows("trajectories", records)


def _records(
    model: Model,
    task: Task,
    drawn: Sequence[Example],
    encoded: Sequence[Encoded],
    sampler: str,
    seed: int,
    rows: Sequence[int],
) -> list[Json]:
    """Rows of the table for the examples at `rows`, whose prompts and answers are of one length."""
    prompts = torch.tensor([encoded[i].prompt for i in rows], device=model.device)
    generators = [example_generator(sampler, seed, i) for i in rows]
    steps = list(denoise(model, prompts, len(encoded[rows[0]].answer), sampler, generators))
    records: list[Json] = []
    for i, row in enumerate(rows):
        answer = tokens_of(model, steps[-1].tokens[i].tolist())
        correct = solves(task, drawn[row], answer, model.tokenizer)
        records += [
            {
                "sampler": sampler,
                "example": row,
                "step": number,
                "tokens": tokens_of(model, step.tokens[i].tolist()),
                "confidences": step.confidences[i].tolist(),
                "revealed": step.revealed[i].tolist(),
                "visible": step.visible[i].tolist(),
                "correct": correct,
            }
            for number, step in enumerate(steps)
        ]
    return records


def reveal_table(orders: Sequence[Order], first: int = 0) -> pa.Table:
    """`reveals` of docs/tables.md: the order of a run's own denoising steps, by example; nothing for an ARM.

    `first`: the number of the example whose order is the first.
    """
    by_example = enumerate(orders, first)
    rows = [(i, step, t) for i, order in by_example for step, revealed in enumerate(order) for t in revealed]
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    return arrow.table("reveals", dict(zip(("example", "step", "index"), map(list, columns), strict=True)))


def orders_in(reveals: pa.Table) -> list[Order]:
    """The orders that `reveal_table` wrote, those of all examples."""
    orders: list[list[list[int]]] = []
    columns = (reveals[name].to_pylist() for name in ("example", "step", "index"))
    for example, step, t in sorted(zip(*columns, strict=True)):
        orders += [[] for _ in range(example + 1 - len(orders))]
        orders[example] += [[] for _ in range(step + 1 - len(orders[example]))]
        orders[example][step].append(t)
    return [tuple(tuple(revealed) for revealed in order) for order in orders]
