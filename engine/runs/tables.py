"""Tables of a run from what was computed for it: edges, examples, lenses (columns: docs/tables.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from engine.attribution.edge_scores import Attribution
from engine.circuits.comparison import order_of
from engine.circuits.graph import Graph
from engine.inspection.lens import Lens, LensSite, entropy, entropy_and_top, ranks, top_tokens
from engine.models.encoding import Encoded
from engine.models.example import Example
from engine.models.model import Model
from engine.schema.arrow import table
from engine.schema.vocabulary import LAYER_TOKENS
from engine.tasks.accuracy import solves, tokens_of
from engine.tasks.base import Task

Columns = dict[str, Any]


def edge_table(graph: Graph, parts: Mapping[str, torch.Tensor]) -> pa.Table:
    """Every part's edges, sorted by rank; parts are scores [source, destination]."""
    tables = []
    for part, scores in parts.items():
        flat = scores.cpu().numpy()[graph.edge_source, graph.edge_destination].astype(np.float32)
        order = order_of(flat).astype(np.int32)
        columns = {"rank": np.arange(len(order), dtype=np.int32), "edge": order, "score": flat[order]}
        repeated = pa.array([part], pa.string()).take(pa.array(np.zeros(len(order), np.int32)))
        tables.append(table("edges", {"part": repeated, **columns}))
    return pa.concat_tables(tables)


def example_table(
    model: Model,
    drawn: Sequence[Example],
    encoded: Sequence[Encoded],
    task: Task,
    answers: Sequence[Sequence[str]],
    attribution: Attribution,
    first: int = 0,
) -> pa.Table:
    """The examples, the first of which has the number `first`."""

    def tokens(name: str) -> list[list[str]]:
        return [tokens_of(model, getattr(e, name)) for e in encoded]

    names = ("prompt", "answer", "corrupt_prompt", "corrupt_answer")
    tokenizer = model.tokenizer
    return table(
        "examples",
        {
            "example": range(first, first + len(drawn)),
            **{name: tokens(name) for name in names},
            "predicted": [list(answer) for answer in answers],
            "correct": [solves(task, e, a, tokenizer) for e, a in zip(drawn, answers, strict=True)],
            "metric_clean": attribution.metric_clean.numpy(),
            "metric_corrupt": attribution.metric_corrupt.numpy(),
        },
    )


def _contrast(encoded: Sequence[Encoded], readout: LensSite) -> tuple[int, int]:
    """The answer and foil tokens of a readout."""
    e = encoded[readout.row.example]
    t = readout.site.target - e.start
    return e.answer[t], e.corrupt_answer[t]


def readout_table(model: Model, readouts: Sequence[LensSite], encoded: Sequence[Encoded]) -> pa.Table:
    contrasts = [_contrast(encoded, r) for r in readouts]
    return table(
        "readouts",
        {
            "readout": range(len(readouts)),
            "example": [r.row.example for r in readouts],
            "part": [r.row.part for r in readouts],
            "position": [r.site.read for r in readouts],
            "target": [r.site.target for r in readouts],
            "tokens": [model.words(r.row.clean) for r in readouts],
            "answer": model.words([answer for answer, _ in contrasts]),
            "foil": model.words([foil for _, foil in contrasts]),
        },
    )


def node_lens_table(
    model: Model, readouts: Sequence[LensSite], lenses: Sequence[Lens], encoded: Sequence[Encoded]
) -> pa.Table:
    def columns(lens: Lens, answer: int, foil: int) -> Columns:
        sides, (entropies, tops) = top_tokens(lens.components), entropy_and_top(lens.components)
        return {
            "node": np.arange(len(lens.components), dtype=np.int32),
            "answer_logit": lens.components[:, answer].cpu().numpy(),
            "foil_logit": lens.components[:, foil].cpu().numpy(),
            "entropy": entropies.cpu().numpy(),
            "top_probability": tops.cpu().numpy(),
            "promoted": [model.words(row) for row in sides.promoted.tolist()],
            "promoted_logit": sides.promoted_logits.tolist(),
            "suppressed": [model.words(row) for row in sides.suppressed.tolist()],
            "suppressed_logit": sides.suppressed_logits.tolist(),
        }

    contrasts = [_contrast(encoded, readout) for readout in readouts]
    return _by_readout(
        "node_lens", [columns(lens, *contrast) for lens, contrast in zip(lenses, contrasts, strict=True)]
    )


def residual_lens_table(
    model: Model, readouts: Sequence[LensSite], lenses: Sequence[Lens], encoded: Sequence[Encoded]
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
            "probabilities": top.values.tolist(),
        }

    contrasts = [_contrast(encoded, readout) for readout in readouts]
    return _by_readout(
        "residual_lens", [columns(lens, *contrast) for lens, contrast in zip(lenses, contrasts, strict=True)]
    )


def _by_readout(name: str, parts: Sequence[Columns]) -> pa.Table:
    """The table `name` of every readout's columns, numbered by readout."""
    tables = []
    for number, columns in enumerate(parts):
        rows = len(columns["entropy"])
        tables.append(table(name, {"readout": np.full(rows, number, np.int32), **columns}))
    return pa.concat_tables(tables)
