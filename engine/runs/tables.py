"""The tables of a run (engine/runs/records.py) from what was computed for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from engine.attribution.edge_scores import Attribution
from engine.circuits.comparison import order_of
from engine.circuits.graph import Graph
from engine.inspection.lens import Lens, LensSite, entropy, ranks, top_tokens
from engine.models.encoding import Encoded
from engine.models.model import Model
from engine.schema.vocabulary import LAYER_TOKENS
from engine.tasks import Example, Task
from engine.tasks.accuracy import solves, tokens_of

Columns = dict[str, Any]


def edge_table(graph: Graph, parts: Mapping[str, torch.Tensor]) -> pa.Table:
    """Every part's edges, sorted by rank; parts are scores [source, destination]."""
    tables = []
    for part, scores in parts.items():
        flat = scores.cpu().numpy()[graph.edge_source, graph.edge_destination].astype(np.float32)
        order = order_of(flat).astype(np.int32)
        columns = {"rank": np.arange(len(order), dtype=np.int32), "edge": order, "score": flat[order]}
        part_column = pa.array([part], pa.string()).take(pa.array(np.zeros(len(order), np.int32)))
        tables.append(pa.table({"part": part_column, **columns}))
    return pa.concat_tables(tables)


def example_table(
    model: Model,
    drawn: Sequence[Example],
    encoded: Sequence[Encoded],
    task: Task,
    answers: Sequence[Sequence[str]],
    attribution: Attribution,
) -> pa.Table:
    def tokens(name: str) -> list[list[str]]:
        return [tokens_of(model, getattr(e, name)) for e in encoded]

    names = ("prompt", "answer", "corrupt_prompt", "corrupt_answer")
    tokenizer = model.tokenizer
    return pa.table(
        {
            "example": pa.array(range(len(drawn)), pa.int32()),
            **{name: tokens(name) for name in names},
            "predicted": [list(answer) for answer in answers],
            "correct": [solves(task, e, a, tokenizer) for e, a in zip(drawn, answers, strict=True)],
            "metric_clean": pa.array(attribution.metric_clean.numpy(), pa.float32()),
            "metric_corrupt": pa.array(attribution.metric_corrupt.numpy(), pa.float32()),
        }
    )


def _contrast(encoded: Sequence[Encoded], readout: LensSite) -> tuple[int, int]:
    """The answer and foil tokens of a readout."""
    e = encoded[readout.row.example]
    t = readout.site.target - e.start
    return e.answer[t], e.corrupt_answer[t]


def readout_table(model: Model, readouts: Sequence[LensSite], encoded: Sequence[Encoded]) -> pa.Table:
    contrasts = [_contrast(encoded, r) for r in readouts]
    return pa.table(
        {
            "readout": pa.array(range(len(readouts)), pa.int32()),
            "example": pa.array([r.row.example for r in readouts], pa.int32()),
            "part": [r.row.part for r in readouts],
            "position": pa.array([r.site.read for r in readouts], pa.int32()),
            "target": pa.array([r.site.target for r in readouts], pa.int32()),
            "tokens": [model.words(r.row.clean) for r in readouts],
            "answer": model.words([answer for answer, _ in contrasts]),
            "foil": model.words([foil for _, foil in contrasts]),
        }
    )


def node_lens_table(
    model: Model, readouts: Sequence[LensSite], found: Sequence[Lens], encoded: Sequence[Encoded]
) -> pa.Table:
    def columns(lens: Lens, answer: int, foil: int) -> Columns:
        sides = top_tokens(lens.components)
        return {
            "node": np.arange(len(lens.components), dtype=np.int32),
            "answer_logit": lens.components[:, answer].cpu().numpy(),
            "foil_logit": lens.components[:, foil].cpu().numpy(),
            "entropy": entropy(lens.components).cpu().numpy(),
            "top_probability": lens.components.softmax(-1).amax(-1).cpu().numpy(),
            "promoted": [model.words(row) for row in sides.promoted.tolist()],
            "promoted_logit": _lists(sides.promoted_logits),
            "suppressed": [model.words(row) for row in sides.suppressed.tolist()],
            "suppressed_logit": _lists(sides.suppressed_logits),
        }

    contrasts = [_contrast(encoded, readout) for readout in readouts]
    return _by_readout([columns(lens, *contrast) for lens, contrast in zip(found, contrasts, strict=True)])


def residual_lens_table(
    model: Model, readouts: Sequence[LensSite], found: Sequence[Lens], encoded: Sequence[Encoded]
) -> pa.Table:
    def columns(lens: Lens, answer: int, foil: int) -> Columns:
        probabilities = lens.residuals.softmax(-1)  # [layer + 1, vocab]
        top = probabilities.topk(LAYER_TOKENS)
        return {
            "layer": np.arange(len(probabilities), dtype=np.int32),
            "answer_probability": probabilities[:, answer].cpu().numpy(),
            "foil_probability": probabilities[:, foil].cpu().numpy(),
            "entropy": entropy(lens.residuals).cpu().numpy(),
            "answer_rank": ranks(lens.residuals, answer).int().cpu().numpy(),
            "foil_rank": ranks(lens.residuals, foil).int().cpu().numpy(),
            "tokens": [model.words(row) for row in top.indices.tolist()],
            "probabilities": _lists(top.values),
        }

    contrasts = [_contrast(encoded, readout) for readout in readouts]
    return _by_readout([columns(lens, *contrast) for lens, contrast in zip(found, contrasts, strict=True)])


def _by_readout(parts: Sequence[Columns]) -> pa.Table:
    """One table of every readout's columns, numbered by readout."""
    tables = []
    for number, columns in enumerate(parts):
        rows = len(columns["entropy"])
        tables.append(pa.table({"readout": np.full(rows, number, np.int32), **columns}))
    return pa.concat_tables(tables)


def _lists(values: torch.Tensor) -> pa.Array:
    return pa.array(values.tolist(), pa.list_(pa.float32()))
