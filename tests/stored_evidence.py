"""Runs of a fake pair with evidence, in the cache of a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.exchange.report_runs import Question, questions
from engine.runs import evidence, lifecycle
from engine.runs.evidence import DEFAULT_KINDS
from engine.runs.execution import Compute
from engine.runs.spec import RunSpec
from engine.schema.artifacts import EvidenceKind
from tests.fakes import tiny_compute


def store(
    *tasks: str,
    kinds: Sequence[EvidenceKind] = DEFAULT_KINDS,
    control: bool = True,
    compute: Compute = tiny_compute,
    **settings: Any,
) -> None:
    """Both models' runs on tasks (IOI where none is named), and evidence of them."""
    for task in tasks or ("ioi",):
        specs = [RunSpec(task=task, model=model, **{"n": 4, **settings}) for model in ("arm", "mdm", "control")]
        for spec in specs if control else specs[:2]:
            lifecycle.run(spec, compute=compute)
        if kinds:
            evidence.compute(specs[:2], kinds, compute=compute)


def question(**settings: Any) -> Question:
    """The first question about the embedded pair."""
    return questions("embedded", None, settings)[0]
