"""How long all evidence of the embedded pair takes on the CPU, beside the circuits that it tests.

    python -m benchmarks --only embedded_evidence

IOI and COUNTDOWN, n = 64, both models: faithfulness, knockouts and audit, computed into an empty cache in one process.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import defaultdict

from benchmarks.table import Figure
from engine.runs import evidence
from engine.runs.cache_connection import close
from engine.runs.execution import carry_out
from engine.runs.provenance import resolve
from engine.runs.records import Progress
from engine.runs.spec import RunSpec
from engine.runs.steps import Step
from engine.schema.artifacts import KIND_TITLES, AnyKind

TASKS, BAR = ("ioi", "countdown"), 5.0  # minutes


def rows() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("CIRCUITS_CACHE")
        os.environ["CIRCUITS_CACHE"] = folder
        try:
            return _measured()
        finally:
            close()
            os.environ.pop("CIRCUITS_CACHE")
            if before is not None:
                os.environ["CIRCUITS_CACHE"] = before


def _measured() -> list[Figure]:
    from engine.runs.compute import Computing

    specs = [RunSpec(task=task, model=model) for task in TASKS for model in ("arm", "mdm")]
    seconds: defaultdict[AnyKind, float] = defaultdict(float)

    def add(step: Step, took: float) -> None:
        seconds[step.kind] += took

    def ignore(progress: Progress) -> None:
        pass

    with Computing() as computing:
        carry_out([Step(resolve(spec), "circuit") for spec in specs], computing, ignore, on_stored=add)
        start = time.perf_counter()
        for spec in specs:
            carry_out(evidence.plan([spec], evidence.DEFAULT_KINDS), computing, ignore, on_stored=add)
        minutes = (time.perf_counter() - start) / 60
    parts = ", ".join(f"{KIND_TITLES[kind]} {seconds[kind]:.0f} s" for kind in evidence.DEFAULT_KINDS)
    return [
        Figure("all evidence of the embedded pair, IOI and COUNTDOWN", minutes, "min", BAR, parts),
        Figure("all evidence / the circuits that it tests", minutes * 60 / seconds["circuit"], "x"),
    ]
