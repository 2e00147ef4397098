"""A run from its spec, without cache or page: examples, rows, edge scores, lenses.

1. Load the model and measure its accuracy on held-out problems.
2. Draw and encode examples; fix the order in which an MDM reveals.
3. Score edges, per part and per half of the examples.
4. Read lenses of every component at the sites of the first examples, so that a click is a database read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version

import torch

from engine.accuracy import answers_of, measure_accuracy, steps_of
from engine.attribution import Attribution, attribute
from engine.denoise import reveal_order
from engine.encoding import Encoded, encode
from engine.lens import Lens, Readout, lenses, readouts_of
from engine.models import Model, load_model
from engine.pairs import pair_named
from engine.records import Progress, RunMeta, RunTables
from engine.sites import Row, arm_rows, mdm_rows
from engine.spec import RunSpec
from engine.tables import edge_table, example_table, node_lens_table, readout_table, residual_lens_table
from engine.tasks import Task, examples, task_named

ACCURACY_EXAMPLES = 300
ACCURACY_SEED = 0
LENS_EXAMPLES = 6
LENS_BATCH = 64

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

    on_progress(Progress("measuring accuracy", 0, 0))
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
        "edges": edge_table(model.graph, parts),
        "examples": example_table(drawn, task, answers, attribution),
        "readouts": readout_table(model, readouts, encoded),
        "node_lens": node_lens_table(model, readouts, found, encoded),
        "residual_lens": residual_lens_table(model, readouts, found, encoded),
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
    on_progress(Progress("loading the model", 0, 0))
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
    even, odd = attribution.halves
    return {
        "total": attribution.total / n,
        "half-a": even / ((n + 1) // 2),
        "half-b": odd / max(1, n // 2),  # zeros where there is one example only
        **{part: scores / n for part, scores in sorted(attribution.scores.items())},
    }


def _lenses(model: Model, readouts: Sequence[Readout], on_progress: Report) -> list[Lens]:
    found: list[Lens] = []
    for start in range(0, len(readouts), LENS_BATCH):
        on_progress(Progress("lenses", start, len(readouts)))
        batch = readouts[start : start + LENS_BATCH]
        found += lenses(model, [r.row.clean for r in batch], [r.site.read for r in batch])
    return found
