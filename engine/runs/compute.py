"""Compute a run from its spec, without cache or page: examples, attribution inputs, edge scores, lenses.

1. Load the model and measure its accuracy on held-out problems.
2. Draw and encode examples; fix the order in which an MDM reveals.
3. Score edges, per part and per block of examples, and neurons.
4. Read lenses of every component at the sites of the first examples, so that a click is a database read.
5. Run the clean inputs once more and record what neurons, heads and the residual stream do.
6. Let an MDM fill in answers under every sampler and in few or many steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import pyarrow as pa
import torch

from engine.attribution.edge_scores import Attribution, attribute
from engine.attribution.sites import AttributionInput, arm_inputs, mdm_inputs
from engine.attribution.soundness import refuse_unsound, refuse_unsound_tables
from engine.circuits.comparison import order_of
from engine.errors import UserError
from engine.inspection.artifact_tables import activity_tables, circuit_tables, lens_tables, weight_tables
from engine.inspection.heads import token_roles
from engine.inspection.lens import Lens, LensSite, lenses, readouts_of
from engine.inspection.lens_by_layer import position_lens
from engine.inspection.neuron_cosines import Cosines, neuron_cosines
from engine.inspection.observers import inputs_of
from engine.inspection.trajectories import reveal_table, trajectory_table
from engine.models.batching import release
from engine.models.decoding import Order, reveal_order
from engine.models.encoding import Encoded, encode
from engine.models.example import Example
from engine.models.model import Model, load
from engine.models.pair import Pair
from engine.runs.device_plan import plan, refuse_too_large, shape_of
from engine.runs.provenance import Resolved, resolve
from engine.runs.records import Progress, RunMeta, RunTables
from engine.runs.refusals import blamed
from engine.runs.remarks import refuse_unranked, remarks
from engine.runs.spec import RunSpec
from engine.runs.tables import edge_table, example_table, node_lens_table, readout_table, residual_lens_table
from engine.schema.arrow import table
from engine.schema.list_columns import lists
from engine.schema.vocabulary import BLOCK_EDGES, HALVES, SHOWN_EXAMPLES, SITE, STEP, TOTAL
from engine.tasks.accuracy import accuracy_by_steps, accuracy_table, answers_of, measure_accuracy, steps_of
from engine.tasks.base import Task
from engine.tasks.natural import variant_for
from engine.tasks.registry import available, examples

ACCURACY_EXAMPLES = 300
ACCURACY_SEED = 0
STEPS_EXAMPLES = 200  # for accuracy against the number of denoising steps
LENS_BATCH = 64

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class _Study:
    """What a run examines: a model on examples of a task."""

    spec: RunSpec
    pair: Pair
    task: Task
    model: Model
    drawn: Sequence[Example]
    encoded: Sequence[Encoded]
    orders: Sequence[Order]  # of revealing, by example; none for an ARM
    rows: Sequence[AttributionInput]
    on_progress: Report

    @property
    def n(self) -> int:
        return len(self.drawn)


def compute(spec: RunSpec, on_progress: Report) -> RunTables:
    """Compute a run. `on_progress` may raise to stop it; nothing is left behind, the model's memory included.

    Raises:
        UserError: unknown pair, task or checkpoint, a model that does not load, misaligned examples, or numbers that
            are none or rank nothing; the text names the model.
    """
    try:
        resolved = resolve(spec)
        model = loaded(resolved.pair, spec.model, spec.dtype, on_progress)
        with blamed(spec, model):
            return _tables(resolved, model, on_progress)
    finally:
        release()


def _tables(resolved: Resolved, model: Model, on_progress: Report) -> RunTables:
    spec, task = resolved.spec, variant_for(resolved.task, resolved.pair.prompts, model.tokenizer)
    drawn = examples(task, spec.n, spec.seed)
    encoded = [encode(example, model.tokenizer) for example in drawn]
    _refuse_masked(model, drawn, encoded)
    _refuse_unsound_logits(model, encoded[0])
    torch.manual_seed(spec.seed)

    on_progress(Progress("measuring accuracy", 0, 0))
    solved_of = available(task, ACCURACY_EXAMPLES)
    accuracy = measure_accuracy(model, task, solved_of, ACCURACY_SEED)
    answers = answers_of(model, task, encoded)
    orders = _orders(spec, model, task, encoded)
    rows = arm_inputs(model, encoded) if spec.is_arm else mdm_inputs(model, encoded, orders)
    study = _Study(spec, resolved.pair, task, model, drawn, encoded, orders, rows, on_progress)

    attribution = attribute(
        model,
        rows,
        study.n,
        spec.method,
        spec.points,
        spec.metric,
        on_rows=lambda done: on_progress(Progress("edge scores", done, len(rows))),
    )
    parts = _part_scores(attribution, study.n)
    refuse_unranked(spec, model, rows, parts[TOTAL])
    readouts = sorted(readouts_of(rows, SHOWN_EXAMPLES), key=lambda r: (r.row.example, r.row.part, r.site.target))
    read_lenses = _lenses(model, readouts, on_progress)

    tables = {
        "edges": edge_table(model.graph, parts),
        "examples": example_table(model, drawn, encoded, task, answers, attribution),
        "readouts": readout_table(model, readouts, encoded),
        "node_lens": node_lens_table(model, readouts, read_lenses, encoded),
        "residual_lens": residual_lens_table(model, readouts, read_lenses, encoded),
        "edge_blocks": _edge_blocks(study, attribution),
        **_survey_tables(study, attribution),
        **_denoising_tables(study),
    }
    refuse_unsound_tables(tables)
    meta = RunMeta(
        n_layers=model.graph.n_layers,
        n_heads=model.graph.n_heads,
        n_sites=sum(len(row.sites) for row in rows),
        parts=tuple(name for name in parts if name.startswith((SITE, STEP))),
        accuracy=accuracy,
        accuracy_n=solved_of,
        metric_clean=float(attribution.metric_clean.mean()),
        metric_corrupt=float(attribution.metric_corrupt.mean()),
        device=str(model.device),
        architecture=model.architecture,
        versions={name: version(name) for name in ("torch", "transformers", "transformer-lens")},
        n_neurons=attribution.neurons.shape[-1],
        remarks=remarks(attribution, parts, rows),
    )
    return RunTables(meta, tables)


def loaded(pair: Pair, model: str, dtype: str, on_progress: Report) -> Model:
    """A model of a pair, on the device and in the way that its memory needs; UserError when it does not fit."""
    shape = shape_of(pair)
    if shape is None:
        on_progress(Progress("loading the model", 0, 0))
        return load(pair, model, dtype)
    chosen = plan(shape, (dtype,))
    on_progress(Progress(f"loading the model: {chosen.short}", 0, 0))
    refuse_too_large(chosen, pair.folder(model))
    return load(pair, model, dtype, "auto" if chosen.spread else chosen.device.name)


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


def _orders(spec: RunSpec, model: Model, task: Task, encoded: Sequence[Encoded]) -> list[Order]:
    if spec.is_arm:
        return []
    steps = steps_of(task, max(len(e.answer) for e in encoded))
    return reveal_order(model, encoded, spec.order, steps, spec.seed)


def _part_scores(attribution: Attribution, n: int) -> dict[str, torch.Tensor]:
    """Mean scores [source, destination] by part: the total, both halves, then every site or step."""
    even, odd = attribution.halves
    return {
        TOTAL: attribution.total / n,
        HALVES[0]: even / ((n + 1) // 2),
        HALVES[1]: odd / max(1, n // 2),  # zeros where there is one example only
        **{part: scores / n for part, scores in sorted(attribution.scores.items())},
    }


def _edge_blocks(study: _Study, attribution: Attribution) -> pa.Table:
    """What every block of examples adds to the scores of the strongest edges."""
    graph = study.model.graph
    blocks = (attribution.blocks / study.n).cpu().numpy()[:, graph.edge_source, graph.edge_destination]  # [block, edge]
    total = (attribution.total / study.n).cpu().numpy()[graph.edge_source, graph.edge_destination]
    strongest = order_of(total)[:BLOCK_EDGES]
    return table("edge_blocks", {"edge": strongest.astype(np.int32), "scores": lists(blocks[:, strongest].T)})


def _survey_tables(study: _Study, attribution: Attribution) -> dict[str, pa.Table]:
    """What components do on the clean inputs and by their weights: the tables of all artifacts, joined."""
    model, inputs = study.model, inputs_of(study.rows, study.encoded)
    roles = [_roles(study, example) for example in range(study.n)]

    def on_inputs(done: int) -> None:
        study.on_progress(Progress("what components do", done, len(inputs)))

    parts = [
        circuit_tables(model, attribution, study.n, inputs, roles, on_inputs),
        lens_tables(model, inputs, study.n, on_inputs),
        activity_tables(model, inputs, roles, on_inputs),
    ]
    study.on_progress(Progress("what neurons read and write", 0, 0))
    parts.append(weight_tables(model, _cosines(study)))
    return {name: _joined(name, [part[name] for part in parts if name in part]) for name in set().union(*parts)}


def _joined(name: str, parts: Sequence[pa.Table]) -> pa.Table:
    """The table `name` of parts that have the same rows and hold its columns between them."""
    return table(name, {column: part[column] for part in parts for column in part.column_names})


def _denoising_tables(study: _Study) -> dict[str, pa.Table]:
    """How the answer is filled in, and when it becomes readable."""
    model, task, seed = study.model, study.task, study.spec.seed

    def reporting(stage: str) -> Callable[[int, int], None]:
        return lambda done, total: study.on_progress(Progress(stage, done, total))

    def counts() -> list[tuple[int, int, int]]:
        if model.causal:
            return []
        n = available(task, STEPS_EXAMPLES)
        return accuracy_by_steps(model, task, n, ACCURACY_SEED, on_pass=reporting("accuracy by steps"))

    return {
        "position_lens": position_lens(model, study.encoded, study.orders),
        "reveals": reveal_table(study.orders),
        "trajectories": trajectory_table(
            model, task, study.drawn, study.encoded, seed, on_samplers=reporting("samplers")
        ),
        "accuracy_steps": accuracy_table(counts()),
    }


def _roles(study: _Study, example: int) -> tuple[str, ...]:
    """A role for every token of prompt + answer."""
    prompt, answer = token_roles(study.task, study.drawn[example], study.encoded[example], study.model.tokenizer)
    return prompt + answer


def _cosines(study: _Study) -> Cosines | None:
    """Neurons' weights against the ARM's; None for the ARM itself."""
    pair, spec = study.pair, study.spec
    return None if spec.is_arm else neuron_cosines(pair.folder(spec.model), pair.folder("arm"), study.model.device)


def _lenses(model: Model, readouts: Sequence[LensSite], on_progress: Report) -> list[Lens]:
    results: list[Lens] = []
    for start in range(0, len(readouts), LENS_BATCH):
        on_progress(Progress("lenses", start, len(readouts)))
        batch = readouts[start : start + LENS_BATCH]
        results += lenses(model, [r.row.clean for r in batch], [r.site.read for r in batch])
    return results
