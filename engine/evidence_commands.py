"""The commands on evidence of circuits: `evidence` computes and prints it, `report` writes all of a pair to a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.commands import n_edges_of, refuse_early, refuse_sizes
from engine.errors import UserError
from engine.exchange import report as reports
from engine.models.pair import CONTROL, model_title
from engine.models.pairs import pair_named
from engine.runs import evidence as kept
from engine.runs import evidence_lines as lines
from engine.runs import evidence_summary as summary
from engine.runs import lifecycle, stability
from engine.runs.evidence_summary import ModelEvidence
from engine.runs.execution import Compute
from engine.runs.records import short_key
from engine.runs.run_lines import described
from engine.runs.schedule import Failures
from engine.runs.spec import RunSpec
from engine.runs.stability_lines import stability_lines
from engine.schema.artifacts import EVIDENCE_KINDS, EvidenceKind
from engine.tasks.registry import task_named
from engine.terminal import shown_progress

STABILITY = "stability"


def evidence(
    spec: RunSpec,
    models: Sequence[str],
    only: Sequence[str] | None = None,
    size: int | None = None,
    compute: Compute | None = None,
) -> Iterator[str]:
    """Evidence of a spec's circuits for every model, computed where the cache has none; `size`: at one K instead."""
    if only and size is not None:
        raise UserError("--k cannot go with --only: it measures the faithfulness of circuits of one size.")
    chosen = [word for word in only or kept.DEFAULT_KINDS if word != STABILITY]
    kinds: list[EvidenceKind] = [kind for kind in EVIDENCE_KINDS if kind in chosen]
    if size is not None:
        kinds = ["faithfulness_at"]
    specs = [replace(spec, model=model) for model in models]
    steps = spec.denoising_steps
    refuse_early([*specs, *(kept.other_of(each, steps) for each in specs)])
    if size is not None:
        refuse_sizes([size], n_edges_of(replace(spec, model="arm"), pair_named(spec.pair)))
    with shown_progress(f"{spec.pair} / {spec.task}") as show:
        kept.compute(specs, kinds, size, show, compute, steps)
    there = [summary.evidence_of(each, size, steps) for each in specs]
    of_models = [each for each in there if each is not None]
    refused = _circuits(spec, models, compute) if only and STABILITY in only else []
    yield f"{pair_named(spec.pair).title} on {task_named(spec.task).title}"
    for of_model in of_models:
        yield from described(of_model.run)
    for kind in kinds:
        yield from _PRINT[kind](of_models)
    if size is None and (not only or STABILITY in only):
        yield from _stability(spec, models)
    yield from refused


def report(file: str, pair: str, tasks: Sequence[str] | None, settings: Mapping[str, Any]) -> Iterator[str]:
    """Write what is stored of a pair to a page for a browser, or to Markdown, by the ending of the file's name."""
    for path, size in reports.write(Path(file), pair, tasks, settings):
        yield f"{path}: {size} bytes"


def _circuits(spec: RunSpec, models: Sequence[str], compute: Compute | None) -> list[str]:
    """Compute the circuits under other settings that are missing; which could not be computed, in lines."""
    wanted = dict.fromkeys(
        each
        for compared in _compared(spec, models)
        for each in (*stability.missing(stability.settings_of(compared)), replace(compared, model=CONTROL))
    )
    try:
        with shown_progress(f"{spec.pair} / {spec.task}") as show:
            kept.compute_circuits(list(wanted), show, compute)
    except Failures as error:
        return [f"not computed: {failed.step.title}: {failed.reason}" for failed in error.failures]
    return []


def _stability(spec: RunSpec, models: Sequence[str]) -> Iterator[str]:
    arm, control = (lifecycle.find(replace(spec, model=model)) for model in ("arm", CONTROL))
    for compared in _compared(spec, models):
        run = lifecycle.find(compared)
        if arm and run:
            yield from ("", f"Stability of the overlap of ARM and {model_title(compared.model)}")
            yield from stability_lines(compared, arm, run, control)


def _compared(spec: RunSpec, models: Sequence[str]) -> list[RunSpec]:
    """The models whose circuits are compared with the ARM's."""
    others = [model for model in models if model not in ("arm", CONTROL)] or ["mdm"]
    return [replace(spec, model=model) for model in others]


def _faithfulness(models: Sequence[ModelEvidence]) -> Iterator[str]:
    yield from ("", "Faithfulness: the model run with these edges only")
    for of_model, artifact in _with(models, "faithfulness"):
        points = summary.circuit_points(artifact)
        smallest = [(summary.TAU, summary.smallest_faithful(artifact))]
        yield from lines.faithfulness_lines(
            _title(of_model), points, summary.nearest_sizes(points), artifact.meta, smallest
        )
    yield from lines.FAITHFULNESS_LEGEND


def _faithfulness_at(models: Sequence[ModelEvidence]) -> Iterator[str]:
    yield from ("", "Faithfulness at one size: the model run with these edges only")
    for of_model, artifact in _with(models, "faithfulness_at"):
        points = summary.circuit_points(artifact)
        yield from lines.faithfulness_lines(_title(of_model), points, [points[0].size], artifact.meta, [])
    yield from lines.FAITHFULNESS_LEGEND[:2]


def _knockouts(models: Sequence[ModelEvidence]) -> Iterator[str]:
    yield from ("", f"Knockouts: the model without a head or MLP; the {lines.STRONGEST} strongest of each model")
    there = list(_with(models, "knockouts"))
    alone = [(_name(of_model), summary.knockouts(artifact)) for of_model, artifact in there]
    yield from lines.knockout_lines(there[0][0].run.meta.graph, alone)
    yield from lines.group_lines([(_name(of_model), summary.group_knockouts(artifact)) for of_model, artifact in there])
    yield from lines.KNOCKOUT_LEGEND


def _audit(models: Sequence[ModelEvidence]) -> Iterator[str]:
    yield from ("", "Audit: edges patched for real, one at a time, beside what estimators say")
    yield from lines.audit_lines(
        [(_name(of_model), summary.agreements(artifact)) for of_model, artifact in _with(models, "audit")]
    )
    yield from lines.AUDIT_LEGEND


def _with(models: Sequence[ModelEvidence], kind: EvidenceKind) -> Iterator[tuple[ModelEvidence, kept.Evidence]]:
    """The models of which there is evidence of a kind, with it."""
    for of_model in models:
        artifact = of_model.get(kind)
        if artifact:
            yield of_model, artifact


def _name(of_model: ModelEvidence) -> str:
    return model_title(of_model.run.spec.model)


def _title(of_model: ModelEvidence) -> str:
    return f"{_name(of_model)} ({short_key(of_model.run.key)})"


_PRINT = {
    "faithfulness": _faithfulness,
    "faithfulness_at": _faithfulness_at,
    "knockouts": _knockouts,
    "audit": _audit,
}
