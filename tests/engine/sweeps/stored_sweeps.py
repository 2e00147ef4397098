"""Sweeps of the fake pair whose circuits are in a test's cache."""

from __future__ import annotations

from collections.abc import Sequence

from engine.runs import evidence, lifecycle
from engine.runs.execution import Compute
from engine.runs.spec import RunSpec
from engine.schema.artifacts import EvidenceKind
from engine.sweeps.sweep_file import Sweep
from tests.engine.sweeps.sweeping import sweep
from tests.fakes import tiny_compute

N = 16  # examples: as many blocks, which is enough for intervals


def small(**table: object) -> Sweep:
    return sweep(**{"n": N, "models": ["arm", "mdm", "control", "step:100"], **table})


def store(
    specs: Sequence[RunSpec],
    kinds: Sequence[EvidenceKind] = (),
    compute: Compute = tiny_compute,
    whole: bool = False,
) -> None:
    """Keep circuits, or whole runs, of these specs, and evidence of them."""
    if whole:
        lifecycle.run_all(specs, compute=compute)
    else:
        evidence.compute_circuits(specs, compute=compute)
    if kinds:
        evidence.compute(specs, kinds, compute=compute)
