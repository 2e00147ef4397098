"""Evidence of the seeded runs, for tests of pages that show it."""

from __future__ import annotations

from typing import Any

from engine.runs import evidence, execution, lifecycle
from engine.runs.evidence import Evidence
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.schema.artifacts import EvidenceKind
from tests.fakes import fake_compute

ARM, MDM = RunSpec(model="arm"), RunSpec(model="mdm")
KINDS: tuple[EvidenceKind, ...] = ("faithfulness", "knockouts", "audit")


def measure(
    *specs: RunSpec, kinds: tuple[EvidenceKind, ...] = KINDS, size: int | None = None, compute: Any = None
) -> None:
    """Compute evidence of some runs; `compute`: instead of `fake_compute`."""
    execution.carry_out(evidence.plan(specs, kinds, size), compute or fake_compute, lambda progress: None)


def run_of(model: str, task: str = "ioi") -> Run:
    run = lifecycle.find(RunSpec(task=task, model=model))
    assert run
    return run


def examine(kind: EvidenceKind, *models: str, task: str = "ioi", size: int | None = None) -> list[Evidence]:
    """Compute evidence of some models; it in their order. `size`: K, of `faithfulness_at`."""
    specs = [RunSpec(task=task, model=model) for model in models]
    measure(*specs, kinds=(kind,), size=size)
    there = [
        evidence.find(run_of(spec.model, task), kind, run_of(evidence.other_of(spec).model, task), size)
        for spec in specs
    ]
    assert all(there)
    return [stored for stored in there if stored]
