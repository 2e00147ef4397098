"""Compute evidence of a circuit, without cache or page: from the model, the examples and the scores of circuits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.circuits.comparison import order_of
from engine.circuits.edges import Floats
from engine.circuits.graph import Graph
from engine.circuits.profiles import importance
from engine.evidence.audit import audit_tables, passes
from engine.evidence.circuit_runs import faithfulness_tables
from engine.evidence.knockout_tables import knockout_tables
from engine.evidence.node_groups import groups_of
from engine.runs.records import ArtifactTables, EvidenceInputs, Progress
from engine.runs.study import Study
from engine.schema.arrow import table
from engine.schema.artifacts import AnyKind

GROUP_EDGES = 200  # K of the circuits whose important components are removed together

Report = Callable[[Progress], None]
Made = tuple[dict[str, Any], dict[str, dict[str, Any]]]  # what sums it up, and the columns of its tables


def evidence(study: Study, kind: AnyKind, inputs: EvidenceInputs, on_progress: Report) -> ArtifactTables:
    """Compute an evidence artifact. Raises like run_circuits (engine/evidence/patching.py)."""
    meta, tables = _MAKE[kind](study, inputs, on_progress)
    return ArtifactTables(meta, {name: table(name, columns) for name, columns in tables.items()})


def _faithfulness(study: Study, inputs: EvidenceInputs, on_progress: Report) -> Made:
    if inputs.other is None:
        raise ValueError("faithfulness needs the circuit of the other model")

    def on_rows(stage: str, done: int) -> None:
        on_progress(Progress(stage, done, len(study.rows)))

    on_rows("circuits", 0)
    return faithfulness_tables(
        study.model,
        study.rows,
        study.n,
        study.spec.metric,
        (inputs.own, inputs.other),
        on_rows=on_rows,
        size=inputs.size,
        seed=study.spec.seed,
    )


def _knockouts(study: Study, inputs: EvidenceInputs, on_progress: Report) -> Made:
    if inputs.other is None:
        raise ValueError("groups of knockouts need the circuit of the other model")
    graph, rows = study.model.graph, study.rows
    groups = groups_of(graph, _importance(graph, inputs.own), _importance(graph, inputs.other), seed=study.spec.seed)
    stage = "knockouts"
    on_progress(Progress(stage, 0, len(rows)))
    return knockout_tables(
        study.model,
        rows,
        study.n,
        study.spec.metric,
        groups,
        on_rows=lambda done: on_progress(Progress(stage, done, len(rows))),
    )


def _audit(study: Study, inputs: EvidenceInputs, on_progress: Report) -> Made:
    rows, total = study.rows, passes() * len(study.rows)
    on_progress(Progress("audit", 0, total))
    return audit_tables(
        study.model,
        rows,
        study.n,
        study.spec.metric,
        inputs.own,
        study.spec.seed,
        on_rows=lambda done: on_progress(Progress("audit", done, total)),
    )


def _importance(graph: Graph, scores: Floats) -> Floats:
    """[node]: of the circuit of the GROUP_EDGES strongest of `scores` [edge]."""
    edges = order_of(scores)[:GROUP_EDGES]
    return importance(graph, edges, scores[edges])


_MAKE: dict[AnyKind, Callable[[Study, EvidenceInputs, Report], Made]] = {
    "faithfulness": _faithfulness,
    "faithfulness_at": _faithfulness,
    "knockouts": _knockouts,
    "audit": _audit,
}
