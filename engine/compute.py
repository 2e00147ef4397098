"""A run from its spec, without cache or page: examples, rows, edge scores, lenses.

1. Load the model and measure its accuracy on held-out problems.
2. Draw and encode examples; fix the order in which an MDM reveals.
3. Score edges, per part and per half of the examples.
4. Read lenses of every component at the sites of the first examples, so that a click is a database read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from engine.accuracy import answers_of, measure_accuracy, solves, steps_of
from engine.attribution import Attribution, attribute
from engine.circuit import order_of
from engine.denoise import reveal_order
from engine.encoding import Encoded, encode
from engine.graph import Graph
from engine.lens import Lens, Readout, ends, entropy, lenses, ranks, readouts_of
from engine.models import Model, load_model
from engine.pairs import pair_named
from engine.records import Progress, RunMeta, RunTables
from engine.sites import Row, arm_rows, mdm_rows
from engine.spec import RunSpec
from engine.tasks import Example, Task, examples, task_named

ACCURACY_EXAMPLES = 300
ACCURACY_SEED = 0
LENS_EXAMPLES = 6
LENS_BATCH = 64
SHOWN_TOKENS = 5  # of a residual lens

Report = Callable[[Progress], None]


def compute(spec: RunSpec, on_progress: Report) -> RunTables:
    """Compute a run. `on_progress` may raise to stop it; nothing is left behind.

    Raises:
        UserError: unknown pair, task or checkpoint, a model that does not load, or misaligned examples.
    """
    task, model = task_named(spec.task), _load(spec, on_progress)
    drawn = examples(task, spec.n, spec.seed)
    encoded = [encode(example, model.tokenizer) for example in drawn]
    torch.manual_seed(spec.seed)

    on_progress(Progress("accuracy", 0, 1))
    accuracy = measure_accuracy(model, task, ACCURACY_EXAMPLES, ACCURACY_SEED)
    answers = answers_of(model, task, encoded)
    rows = _rows(spec, model, task, encoded)

    attribution = attribute(
        model,
        rows,
        spec.n,
        spec.method,
        spec.points,
        spec.metric,
        on_rows=lambda done: on_progress(Progress("edge scores", done, len(rows))),
    )
    parts = _part_scores(attribution, spec.n)
    readouts = sorted(readouts_of(rows, LENS_EXAMPLES), key=lambda r: (r.row.example, r.row.part, r.site.target))
    found = _lenses(model, readouts, on_progress)

    tables = {
        "edges": _edge_table(model.graph, parts),
        "examples": _example_table(drawn, task, answers, attribution),
        "readouts": _readout_table(model, readouts, encoded),
        "node_lens": _node_lens_table(model, readouts, found, encoded),
        "residual_lens": _residual_lens_table(model, readouts, found, encoded),
    }
    meta = RunMeta(
        n_layers=model.graph.n_layers,
        n_heads=model.graph.n_heads,
        n_sites=sum(len(row.sites) for row in rows),
        parts=tuple(name for name in parts if name.startswith(("site-", "step-"))),
        accuracy=accuracy,
        accuracy_n=ACCURACY_EXAMPLES,
        metric_clean=float(attribution.metric_clean.mean()),
        metric_corrupt=float(attribution.metric_corrupt.mean()),
        device=str(model.device),
        architecture=model.architecture,
        versions={name: version(name) for name in ("torch", "transformers", "transformer-lens")},
    )
    return RunTables(meta, tables)


def _load(spec: RunSpec, on_progress: Report) -> Model:
    on_progress(Progress("loading the model", 0, 1))
    pair = pair_named(spec.pair)
    return load_model(
        pair.folder(spec.model),
        causal=spec.is_arm,
        shifted=pair.shifted,
        mask_token=pair.mask_token,
        dtype=spec.dtype,
    )


def _rows(spec: RunSpec, model: Model, task: Task, encoded: Sequence[Encoded]) -> list[Row]:
    if spec.is_arm:
        return arm_rows(model, encoded)
    steps = steps_of(task, len(encoded[0].answer))
    return mdm_rows(model, encoded, reveal_order(model, encoded, spec.order, steps, spec.seed))


def _part_scores(attribution: Attribution, n: int) -> dict[str, torch.Tensor]:
    """Mean scores [source, destination] by part: the total, both halves, then every site or step."""
    scores = attribution.scores
    names = sorted({part for part, _ in scores})

    def summed(keep: Callable[[str, int], bool]) -> torch.Tensor:
        return torch.stack([s for (part, half), s in scores.items() if keep(part, half)]).sum(0)

    parts = {
        "total": summed(lambda part, half: True) / n,
        "half-a": summed(lambda part, half: half == 0) / ((n + 1) // 2),
        "half-b": summed(lambda part, half: half == 1) / (n // 2),
    }
    return parts | {name: summed(lambda part, half, name=name: part == name) / n for name in names}  # type: ignore[misc]


def _edge_table(graph: Graph, parts: dict[str, torch.Tensor]) -> pa.Table:
    tables = []
    for part, scores in parts.items():
        flat = scores.cpu().numpy()[graph.edge_source, graph.edge_destination].astype(np.float32)
        order = order_of(flat).astype(np.int32)
        columns = {"rank": np.arange(len(order), dtype=np.int32), "edge": order, "score": flat[order]}
        part_column = pa.array([part], pa.string()).take(pa.array(np.zeros(len(order), np.int32)))
        tables.append(pa.table({"part": part_column, **columns}))
    return pa.concat_tables(tables)


def _example_table(
    drawn: Sequence[Example], task: Task, answers: Sequence[Sequence[str]], attribution: Attribution
) -> pa.Table:
    return pa.table(
        {
            "example": pa.array(range(len(drawn)), pa.int32()),
            "prompt": [e.prompt.split() for e in drawn],
            "answer": [e.answer.split() for e in drawn],
            "corrupt_prompt": [e.corrupt_prompt.split() for e in drawn],
            "corrupt_answer": [e.corrupt_answer.split() for e in drawn],
            "predicted": [list(answer) for answer in answers],
            "correct": [solves(task, e, a) for e, a in zip(drawn, answers, strict=True)],
            "metric_clean": pa.array(attribution.metric_clean.numpy(), pa.float32()),
            "metric_corrupt": pa.array(attribution.metric_corrupt.numpy(), pa.float32()),
        }
    )


def _lenses(model: Model, readouts: Sequence[Readout], on_progress: Report) -> list[Lens]:
    found: list[Lens] = []
    for start in range(0, len(readouts), LENS_BATCH):
        on_progress(Progress("lenses", start, len(readouts)))
        batch = readouts[start : start + LENS_BATCH]
        found += lenses(model, [r.row.clean for r in batch], [r.site.read for r in batch])
    return found


def _contrast(encoded: Sequence[Encoded], readout: Readout) -> tuple[int, int]:
    """The answer and foil tokens of a readout."""
    e = encoded[readout.row.example]
    t = readout.site.target - e.start
    return e.answer[t], e.corrupt_answer[t]


def _readout_table(model: Model, readouts: Sequence[Readout], encoded: Sequence[Encoded]) -> pa.Table:
    words = model.tokenizer.convert_ids_to_tokens
    contrasts = [_contrast(encoded, r) for r in readouts]
    return pa.table(
        {
            "readout": pa.array(range(len(readouts)), pa.int32()),
            "example": pa.array([r.row.example for r in readouts], pa.int32()),
            "part": [r.row.part for r in readouts],
            "position": pa.array([r.site.read for r in readouts], pa.int32()),
            "target": pa.array([r.site.target for r in readouts], pa.int32()),
            "tokens": [words(list(r.row.clean)) for r in readouts],
            "answer": [words(answer) for answer, _ in contrasts],
            "foil": [words(foil) for _, foil in contrasts],
        }
    )


def _node_lens_table(
    model: Model, readouts: Sequence[Readout], found: Sequence[Lens], encoded: Sequence[Encoded]
) -> pa.Table:
    words, tables = model.tokenizer.convert_ids_to_tokens, []
    for i, (readout, lens) in enumerate(zip(readouts, found, strict=True)):
        answer, foil = _contrast(encoded, readout)
        sides = ends(lens.components)
        columns: dict[str, Any] = {
            "readout": np.full(len(lens.components), i, np.int32),
            "node": np.arange(len(lens.components), dtype=np.int32),
            "answer_logit": lens.components[:, answer].cpu().numpy(),
            "foil_logit": lens.components[:, foil].cpu().numpy(),
            "entropy": entropy(lens.components).cpu().numpy(),
            "top_probability": lens.components.softmax(-1).amax(-1).cpu().numpy(),
            "promoted": [words(row) for row in sides.promoted.tolist()],
            "promoted_logit": _lists(sides.promoted_logits),
            "suppressed": [words(row) for row in sides.suppressed.tolist()],
            "suppressed_logit": _lists(sides.suppressed_logits),
        }
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def _residual_lens_table(
    model: Model, readouts: Sequence[Readout], found: Sequence[Lens], encoded: Sequence[Encoded]
) -> pa.Table:
    words, tables = model.tokenizer.convert_ids_to_tokens, []
    for i, (readout, lens) in enumerate(zip(readouts, found, strict=True)):
        answer, foil = _contrast(encoded, readout)
        probabilities = lens.residuals.softmax(-1)  # [layer + 1, vocab]
        top = probabilities.topk(SHOWN_TOKENS)
        columns: dict[str, Any] = {
            "readout": np.full(len(probabilities), i, np.int32),
            "layer": np.arange(len(probabilities), dtype=np.int32),
            "answer_probability": probabilities[:, answer].cpu().numpy(),
            "foil_probability": probabilities[:, foil].cpu().numpy(),
            "entropy": entropy(lens.residuals).cpu().numpy(),
            "answer_rank": ranks(lens.residuals, answer).int().cpu().numpy(),
            "foil_rank": ranks(lens.residuals, foil).int().cpu().numpy(),
            "tokens": [words(row) for row in top.indices.tolist()],
            "probabilities": _lists(top.values),
        }
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def _lists(values: torch.Tensor) -> pa.Array:
    return pa.array(values.tolist(), pa.list_(pa.float32()))
