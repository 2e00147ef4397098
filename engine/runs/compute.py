"""Compute the artifacts of a run, without cache or page: each is a plain function of what it depends on.

    circuit   draw and encode examples; fix the order in which an MDM reveals; score edges and neurons
              (engine/runs/compute_circuit.py)
    ability   measure accuracy on held-out problems, and an MDM's in few to many steps
    lens      read lenses of every component at the sites of the first examples, so that a click is a database read; let
              an MDM fill in answers under every sampler
    activity  run the clean inputs once more and record what neurons, heads and the residual stream do
    weights   what neurons write, cosines with the ARM's, head scores on random tokens

`Computing` keeps the model and the examples of one artifact for the next, so that one loaded model serves all of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import torch

from engine.attribution.edge_scores import integration_points
from engine.attribution.soundness import refuse_unsound_tables
from engine.inspection.artifact_tables import activity_tables, lens_tables, weight_tables
from engine.inspection.lens import Lens, LensSite, lenses, readouts_of
from engine.inspection.lens_by_layer import position_lens
from engine.inspection.neuron_cosines import neuron_cosines
from engine.inspection.trajectories import orders_in, trajectory_table
from engine.models.batching import release
from engine.models.decoding import Order
from engine.models.model import Model, load
from engine.models.pair import Pair
from engine.runs.artifacts import whole
from engine.runs.compute_circuit import circuit, circuit_of_sums, circuit_part
from engine.runs.compute_evidence import evidence
from engine.runs.device_plan import (
    plan,
    refuse_evidence_too_large,
    refuse_inputs_too_large,
    refuse_too_large,
    shape_of,
)
from engine.runs.parts import added
from engine.runs.provenance import Resolved, resolve
from engine.runs.records import (
    Accuracy,
    ArtifactTables,
    CircuitSums,
    EvidenceInputs,
    ExampleRange,
    Inputs,
    Progress,
    RunTables,
)
from engine.runs.refusals import blamed
from engine.runs.spec import RunSpec
from engine.runs.study import Study, study_of, task_of
from engine.runs.tables import node_lens_table, readout_table, residual_lens_table
from engine.schema.artifacts import KINDS, AnyKind
from engine.schema.vocabulary import SHOWN_EXAMPLES
from engine.tasks.accuracy import accuracy_table, measure_ability
from engine.tasks.base import Task
from engine.tasks.registry import available

ACCURACY_EXAMPLES = 300
ACCURACY_SEED = 0
STEPS_EXAMPLES = 200  # for accuracy against the number of denoising steps
LENS_BATCH = 64
MOST_AT_ONCE = 200  # circuits that evidence runs, of which the buffer takes as many as it holds

Report = Callable[[Progress], None]


class Computing:
    """Computes artifacts one after the other. Close it, or use it in a `with` block: it holds a model in memory."""

    def __init__(self) -> None:
        self._model: tuple[str, Model] | None = None
        self._study: tuple[str, Study] | None = None

    def __enter__(self) -> Computing:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the model and its memory."""
        self._model = self._study = None
        release()

    def __call__(
        self, spec: RunSpec, kind: AnyKind, on_progress: Report, inputs: Inputs | None = None
    ) -> ArtifactTables:
        """Compute an artifact of a run, with `inputs` evidence of its circuit, a part of it, or it from its parts.

        `on_progress` may raise to stop it.

        Raises:
            UserError: unknown pair, task or checkpoint, a model that does not load, misaligned examples, or numbers
                that are none or rank nothing; the text names the model.
        """
        try:
            resolved = resolve(spec)
            model = self._loaded(resolved, on_progress)
            with blamed(spec, model):
                torch.manual_seed(spec.seed)
                made = self._computed(resolved, kind, model, on_progress, inputs)
                refuse_unsound_tables(made.tables)
                return made
        except BaseException:
            self.close()  # a model that has just run out of memory, say, is not to stay in it
            raise

    def _computed(
        self, resolved: Resolved, kind: AnyKind, model: Model, on_progress: Report, inputs: Inputs | None
    ) -> ArtifactTables:
        if kind == "weights":
            return _weights(resolved, model, on_progress)
        if kind == "ability":
            return _ability(task_of(resolved, model), model, on_progress)
        if isinstance(inputs, ExampleRange):
            return _part(resolved, model, range(inputs.first, inputs.stop), on_progress)
        if kind == "circuit":
            return self._circuit(resolved, model, on_progress, inputs)
        study = self._studied(resolved, model)
        if isinstance(inputs, EvidenceInputs):
            return _evidence(resolved, study, kind, inputs, on_progress)
        return (_lens if kind == "lens" else _activity)(study, on_progress)

    def _circuit(self, resolved: Resolved, model: Model, on_progress: Report, inputs: Inputs | None) -> ArtifactTables:
        if not resolved.parts:
            study = self._studied(resolved, model)
            _refuse_too_large(resolved, study)
            return circuit(study, on_progress)
        if not isinstance(inputs, CircuitSums):
            inputs = added(_part(resolved, model, part, on_progress).tables for part in resolved.parts)
        return circuit_of_sums(self._studied(resolved, model, orders_in(inputs.reveals)), inputs, on_progress)

    def _loaded(self, resolved: Resolved, on_progress: Report) -> Model:
        spec, key = resolved.spec, resolved.keys["weights"]  # which depends on the model and on how it is read
        if self._model is None or self._model[0] != key:
            self.close()
            self._model = key, loaded(resolved.pair, spec.model, spec.dtype, on_progress)
        return self._model[1]

    def _studied(self, resolved: Resolved, model: Model, orders: Sequence[Order] | None = None) -> Study:
        key = resolved.keys["activity"]  # which depends on the model, the examples and how they are revealed
        if self._study is None or self._study[0] != key:
            self._study = key, study_of(resolved, model, orders=orders)
        return replace(self._study[1], spec=resolved.spec)


def compute(spec: RunSpec, on_progress: Report = lambda progress: None) -> RunTables:
    """A whole run at once, not stored. Raises like Computing."""
    with Computing() as computing:
        made = {kind: computing(spec, kind, on_progress) for kind in KINDS}
    return whole(made)


def _part(resolved: Resolved, model: Model, examples: range, on_progress: Report) -> ArtifactTables:
    study = study_of(resolved, model, examples)
    _refuse_too_large(resolved, study)
    return circuit_part(study, on_progress)


def _refuse_too_large(resolved: Resolved, study: Study) -> None:
    """UserError where edges cannot be scored on the longest input."""
    spec, prompts = study.spec, [example.prompt for example in study.drawn]
    points = len(integration_points(spec.method, spec.points))
    refuse_inputs_too_large(shape_of(resolved.pair), spec.dtype, study.rows, prompts, points, study.first)


def _evidence(
    resolved: Resolved, study: Study, kind: AnyKind, inputs: EvidenceInputs, on_progress: Report
) -> ArtifactTables:
    prompts = [example.prompt for example in study.drawn]
    shape, dtype = shape_of(resolved.pair), study.spec.dtype
    needed = refuse_evidence_too_large(shape, dtype, study.rows, prompts, MOST_AT_ONCE)
    if needed:
        on_progress(Progress(f"about {needed / 2**30:.1f} GiB will be needed", 0, 0))
    return evidence(study, kind, inputs, on_progress)


def _ability(task: Task, model: Model, on_progress: Report) -> ArtifactTables:
    on_progress(Progress("accuracy", 0, 0))
    n, n_by_steps = available(task, ACCURACY_EXAMPLES), available(task, STEPS_EXAMPLES)
    reporting = _reporting("accuracy by steps", on_progress)
    solved, counts = measure_ability(model, task, n, n_by_steps, ACCURACY_SEED, reporting)
    return ArtifactTables(asdict(Accuracy(solved, n)), {"accuracy_steps": accuracy_table(counts)})


def _lens(study: Study, on_progress: Report) -> ArtifactTables:
    model, task = study.model, study.task
    readouts = sorted(readouts_of(study.rows, SHOWN_EXAMPLES), key=lambda r: (r.row.example, r.row.part, r.site.target))
    read_lenses = _lenses(model, readouts, on_progress)
    on_progress(Progress("samplers", 0, 0))
    samplers = _reporting("samplers", on_progress)
    seed = study.spec.seed
    tables = {
        "readouts": readout_table(model, readouts, study.encoded),
        "node_lens": node_lens_table(model, readouts, read_lenses, study.encoded),
        "residual_lens": residual_lens_table(model, readouts, read_lenses, study.encoded),
        **lens_tables(model, study.inputs, study.n, _counting("lens by layer", study, on_progress)),
        "position_lens": position_lens(model, study.encoded, study.orders),
        "trajectories": trajectory_table(model, task, study.drawn, study.encoded, seed, on_samplers=samplers),
    }
    return ArtifactTables({}, tables)


def _activity(study: Study, on_progress: Report) -> ArtifactTables:
    counting = _counting("what components do", study, on_progress)
    return ArtifactTables({}, activity_tables(study.model, study.inputs, study.roles, counting))


def _weights(resolved: Resolved, model: Model, on_progress: Report) -> ArtifactTables:
    on_progress(Progress("what neurons write, head scores", 0, 0))
    pair, spec = resolved.pair, resolved.spec
    cosines = None if spec.is_arm else neuron_cosines(pair.folder(spec.model), pair.folder("arm"), model.device)
    return ArtifactTables({}, weight_tables(model, cosines))


def _counting(stage: str, study: Study, on_progress: Report) -> Callable[[int], None]:
    return lambda done: on_progress(Progress(stage, done, len(study.inputs)))


def _reporting(stage: str, on_progress: Report) -> Callable[[int, int], None]:
    return lambda done, total: on_progress(Progress(stage, done, total))


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


def _lenses(model: Model, readouts: Sequence[LensSite], on_progress: Report) -> list[Lens]:
    results: list[Lens] = []
    for start in range(0, len(readouts), LENS_BATCH):
        on_progress(Progress("lenses", start, len(readouts)))
        batch = readouts[start : start + LENS_BATCH]
        results += lenses(model, [r.row.clean for r in batch], [r.site.read for r in batch])
    return results
