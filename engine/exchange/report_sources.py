"""Where a report's numbers on a task come from: every artifact with its full key, settings, versions and origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from engine.exchange.report_parts import Grid, Section
from engine.exchange.report_runs import Question
from engine.runs.evidence import Evidence
from engine.runs.evidence_summary import ModelEvidence
from engine.runs.records import Run
from engine.schema.artifacts import KIND_TITLES, EvidenceKind

NAMED = ("pair", "model", "task")  # settings that the report says elsewhere


def sources_section(question: Question) -> Section:
    runs = [(name, of_model.run) for name, of_model in question.models]
    runs += [("control", question.control)] if question.control else []
    head = ("of", *(name for name, _ in runs))
    of_runs = [_run(run) for _, run in runs]
    rows = [(label, *(fields[label] for fields in of_runs)) for label in of_runs[0]]
    blocks = [Grid("The runs", head, rows, tuple(range(len(head))))]
    evidence = [(name, artifact) for name, of_model in question.models for artifact in _artifacts(of_model)]
    if evidence:
        columns = ("evidence", "of", "key", "version, libraries", "computed")
        blocks.append(
            Grid("The evidence", columns, [_evidence(name, artifact) for name, artifact in evidence], (0, 1, 2, 3, 4))
        )
    return Section("Where the numbers come from", blocks)


def _artifacts(of_model: ModelEvidence) -> list[Evidence]:
    alone = [each for each in of_model.faithfulness if each.size]
    return [*of_model.by_kind.values(), *alone]


def _run(run: Run) -> dict[str, str]:
    settings = {name.replace("_", " "): str(value) for name, value in asdict(run.spec).items() if name not in NAMED}
    return {
        "key": run.key,
        **settings,
        "architecture": run.meta.architecture,
        "computed on": run.meta.device,
        "computed": f"{run.created}, in {run.seconds:.0f} s",
        "method version": str(run.method_version or "unknown"),
        "versions": _versions(run.meta.versions),
        "weights": str(run.provenance.get("weights", "unknown")),
        "imported": run.imported or "no",
    }


def _evidence(name: str, artifact: Evidence) -> tuple[str, ...]:
    record = artifact.record
    kind: EvidenceKind = record.kind  # type: ignore[assignment]  # evidence has one of its kinds
    made = record.made_with
    version = f"{made.get('evidence_version', 'unknown')}; {_versions(made.get('libraries') or {})}"
    title = f"faithfulness at K = {artifact.size:,}" if artifact.size else KIND_TITLES[kind]
    return (title, name, artifact.key, version, f"{_moment(record.created)}, in {record.seconds:.0f} s")


def _moment(created: str) -> str:
    """ISO 8601, to a second."""
    try:
        return datetime.fromisoformat(created).isoformat(timespec="seconds")
    except ValueError:
        return created


def _versions(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
