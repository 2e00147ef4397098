"""Stand-ins for a real compute in tests: small runs, slow ones, refused ones (tables: tools/synthetic_runs.py)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engine.circuits.graph import Graph
from engine.errors import UserError
from engine.runs.records import ArtifactTables, EvidenceInputs, Progress, RunTables
from engine.runs.spec import RunSpec
from engine.schema.artifacts import AnyKind, Kind
from tools.synthetic_components import HOSTILE
from tools.synthetic_runs import GRAPH, LLAMA, by_kind, fake_compute, fake_model, fake_run, register_fake_pair

__all__ = ["GRAPH", "HOSTILE", "LLAMA", "by_kind", "fake_compute", "fake_model", "fake_run", "register_fake_pair"]


def tiny_run(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
    """`fake_run` on a graph of 2 layers x 2 heads, for tests that only need some run."""
    return fake_run(spec, on_progress, Graph(2, 2))


REMARK = "All scores are *exactly* zero."


def remarked_run(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
    """`tiny_run` with something to be said of the run."""
    made = tiny_run(spec, on_progress)
    return replace(made, meta=replace(made.meta, remarks=(REMARK, "And another.")))


def slow_run(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
    """Reports 600 steps in 30 seconds, so that a test can cancel it on the way."""
    for done in range(600):
        on_progress(Progress("Scoring edges", done, 600))
        time.sleep(0.05)
    return tiny_run(spec, on_progress)


def deaf_run(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
    """Says once that it works, then nothing more, as a compute stuck inside one long call."""
    on_progress(Progress("Scoring edges", 1, 2))
    time.sleep(60)
    return tiny_run(spec, on_progress)


def moody_run(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
    """Seed 13 is refused, seed 14 has a bug, seed 15 takes its process down; every other seed works."""
    if spec.seed == 13:
        raise UserError("There is no model in this folder. Choose another pair.")
    if spec.seed == 14:
        raise RuntimeError("shapes do not match")
    if spec.seed == 15:
        os._exit(9)
    return tiny_run(spec, on_progress)


def logging_compute(spec: RunSpec, kind: Kind, on_progress: Callable[[Progress], None]) -> ArtifactTables:
    """`tiny_compute` that appends seed and kind to the file named by FAKE_LOG."""
    with Path(os.environ["FAKE_LOG"]).open("a") as log:
        log.write(f"{spec.seed}-{kind}\n")
    return tiny_compute(spec, kind, on_progress)


def stuck_compute(spec: RunSpec, kind: Kind, on_progress: Callable[[Progress], None]) -> ArtifactTables:
    """`tiny_compute` whose logit lens takes 30 seconds."""
    for done in range(600 if kind == "lens" else 0):
        on_progress(Progress("lenses", done, 600))
        time.sleep(0.05)
    return tiny_compute(spec, kind, on_progress)


def blind_compute(spec: RunSpec, kind: Kind, on_progress: Callable[[Progress], None]) -> ArtifactTables:
    """`tiny_compute` that cannot read the logit lens."""
    if kind == "lens":
        raise UserError("The unembedding is not here.")
    return tiny_compute(spec, kind, on_progress)


def gated_compute(
    spec: RunSpec, kind: Kind, on_progress: Callable[[Progress], None], *inputs: EvidenceInputs
) -> ArtifactTables:
    """`fake_compute` that waits until there is a file MODEL-KIND in the folder named by FAKE_GATES."""
    waited = 0
    while not (Path(os.environ["FAKE_GATES"]) / f"{spec.model}-{kind}").exists():
        waited += 1
        on_progress(Progress("Waiting at the gate", waited, 10_000))
        time.sleep(0.1)
    return fake_compute(spec, kind, on_progress, *inputs)


def refused_evidence(
    spec: RunSpec, kind: AnyKind, on_progress: Callable[[Progress], None], *inputs: EvidenceInputs
) -> ArtifactTables:
    """`fake_compute` that computes no evidence."""
    if inputs:
        raise UserError("There is no room.")
    return fake_compute(spec, kind, on_progress)


tiny_compute, remarked_compute, slow_compute = by_kind(tiny_run), by_kind(remarked_run), by_kind(slow_run)
deaf_compute, moody_compute = by_kind(deaf_run), by_kind(moody_run)


class Holding:
    """Computes as `tiny_compute` does, with something that stands for a loaded model; logs to FAKE_LOG."""

    def __init__(self) -> None:
        self.loaded = False

    def __call__(self, spec: RunSpec, kind: Kind, on_progress: Callable[[Progress], None]) -> ArtifactTables:
        if not self.loaded:
            self._log("load")
        self.loaded = True
        self._log(kind)
        return tiny_compute(spec, kind, on_progress)

    def close(self) -> None:
        self.loaded = False
        self._log("close")

    def _log(self, word: str) -> None:
        with Path(os.environ["FAKE_LOG"]).open("a") as log:
            log.write(f"{word}\n")


def mortal_compute(
    spec: RunSpec, kind: AnyKind, on_progress: Callable[[Progress], None], *inputs: EvidenceInputs
) -> ArtifactTables:
    """`tiny_compute` that logs to FAKE_LOG, and whose process dies in the middle of the third line of it."""
    log = Path(os.environ["FAKE_LOG"])
    with log.open("a") as lines:
        lines.write(f"{spec.model}-{spec.seed}-{kind}\n")
    if len(log.read_text().split()) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return tiny_compute(spec, kind, on_progress, *inputs)


def slow_logging_compute(
    spec: RunSpec, kind: AnyKind, on_progress: Callable[[Progress], None], *inputs: EvidenceInputs
) -> ArtifactTables:
    """`tiny_compute` that takes a moment, and logs its process and what it computes to FAKE_LOG."""
    with Path(os.environ["FAKE_LOG"]).open("a") as lines:
        lines.write(f"pid{os.getpid()} {spec.model}-{spec.seed}-{kind}\n")
    time.sleep(0.2)
    return tiny_compute(spec, kind, on_progress, *inputs)


def environment_compute(spec: RunSpec, kind: AnyKind, on_progress: Callable[[Progress], None]) -> ArtifactTables:
    """`tiny_compute` that logs to FAKE_LOG with how many threads it may compute."""
    with Path(os.environ["FAKE_LOG"]).open("a") as lines:
        lines.writelines(f"{name}={os.environ.get(name)}\n" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"))
    return tiny_compute(spec, kind, on_progress)


def meeting_compute(spec: RunSpec, kind: AnyKind, on_progress: Callable[[Progress], None]) -> ArtifactTables:
    """`tiny_compute` that writes which GPUs it sees into a file MODEL-SEED-KIND of the folder FAKE_GATES.

    A circuit waits until there are FAKE_CIRCUITS of them, so that it ends only where so many are computed at once.
    """
    folder = Path(os.environ["FAKE_GATES"])
    made = folder / f".{spec.model}-{spec.seed}-{kind}"
    made.write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
    made.rename(folder / made.name[1:])
    waited = 0
    while kind == "circuit" and len(list(folder.glob("[!.]*-circuit"))) < int(os.environ["FAKE_CIRCUITS"]):
        waited += 1
        on_progress(Progress("Waiting for others", waited, 10_000))
        time.sleep(0.02)
    return tiny_compute(spec, kind, on_progress)


def no_circuit_13(
    spec: RunSpec, kind: AnyKind, on_progress: Callable[[Progress], None], *inputs: EvidenceInputs
) -> ArtifactTables:
    """`tiny_compute` that cannot compute circuits of the seed 13."""
    if spec.seed == 13 and kind == "circuit":
        raise UserError("Its scores are all zero.")
    return tiny_compute(spec, kind, on_progress, *inputs)
