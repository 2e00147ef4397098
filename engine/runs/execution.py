"""Compute the artifacts that runs lack, in an order in which circuits come first.

1. `plan` lists what is missing: the circuits of the ARM and of the model it is compared with, then the rest of the
   latter, which is loaded, then the rest of the ARM; further models whole, one after the other.
2. `carry_out` computes one after the other and stores each as soon as it is there, so that whatever ends it later
   leaves what was finished.
3. What another process is computing is left to it (cache/leases.py): the next artifact comes first, and in the end it
   is waited for.
4. An artifact that fails does not keep the others of its run from being computed, unless it is the circuit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cache import leases
from cache.layout import Record
from engine.errors import UserError
from engine.models.pair import model_title
from engine.runs.artifacts import record_of
from engine.runs.cache_connection import errors_of_cache, store
from engine.runs.provenance import Resolved, resolve
from engine.runs.records import ArtifactTables, EvidenceInputs, Progress
from engine.runs.spec import RunSpec
from engine.schema.artifacts import KIND_TITLES, KINDS, AnyKind

WAIT = 0.5  # seconds between looks at what another process computes
NOT_COMPUTED = (
    "A circuit from elsewhere cannot be computed here. Take its file with `python -m engine import-circuit` again, or "
    "choose another method."
)

OnProgress = Callable[[Progress], None]
Compute = Callable[..., ArtifactTables]  # (RunSpec, Kind, OnProgress); of evidence a fourth, EvidenceInputs


@dataclass(frozen=True)
class Step:
    """An artifact to be computed; of a run here, of evidence in engine/runs/evidence.py."""

    run: Resolved
    kind: AnyKind

    @property
    def key(self) -> str:
        return self.run.keys[self.kind]  # type: ignore[index]  # a run's artifact has a run's kind

    @property
    def spec(self) -> RunSpec:
        return self.run.spec

    @property
    def title(self) -> str:
        """In plain words, as in "circuit of the MDM"."""
        return f"{KIND_TITLES[self.kind]} of the {model_title(self.spec.model)}"

    def record(self, meta: Mapping[str, Any], created: str, seconds: float) -> Record:
        """What is kept about it: `created` in ISO 8601, `seconds` of computing."""
        return record_of(self.kind, self.run.provenance, meta, created, seconds)  # type: ignore[arg-type]

    @property
    def needs(self) -> tuple[str, ...]:
        """The keys of the circuits that have to be stored before it can be computed."""
        return ()

    def inputs(self) -> EvidenceInputs | None:
        """What it is computed from beside its spec; None: nothing."""
        return None

    def is_current(self) -> bool:
        """Whether weights and settings of the pair are still those that its key stands for."""
        return resolve(self.spec).keys[self.kind] == self.key  # type: ignore[index]


@dataclass(frozen=True)
class Failed:
    """An artifact that could not be computed, and why."""

    step: Step
    reason: str


class Failures(UserError):
    """Some artifacts could not be computed; the message is why the first could not."""

    def __init__(self, failures: Sequence[Failed]) -> None:
        super().__init__(failures[0].reason)
        self.failures = tuple(failures)


def plan(runs: Sequence[Resolved]) -> list[Step]:
    """What is not stored of these runs, each artifact once, in the order in which it is computed."""
    first, others = list(runs[:2]), runs[2:]
    steps = [Step(run, "circuit") for run in first]
    steps += [Step(run, kind) for run in reversed(first) for kind in KINDS]
    steps += [Step(run, kind) for run in others for kind in KINDS]
    return not_stored(steps)


def not_stored(steps: Iterable[Step]) -> list[Step]:
    """Those of some steps whose artifact is not stored, each artifact once, in their order."""
    missing: dict[str, Step] = {}
    for step in steps:
        if store().record(step.key) is None:
            missing.setdefault(step.key, step)
    return list(missing.values())


def carry_out(
    steps: Sequence[Step],
    compute: Compute,
    on_progress: OnProgress,
    on_step: Callable[[Step], None] = lambda step: None,
    on_stored: Callable[[Step, float], None] = lambda step, seconds: None,
) -> None:
    """Compute and store every artifact that is not there by the time it is its turn.

    `on_step` is told before an artifact is computed or waited for, `on_stored` when it is stored, with the seconds that
    it took; 0 where another process had computed it.

    Raises:
        Failures: some artifacts could not be computed; the others were.
        UserError: the cache cannot be written: nothing more is computed then.
        Whatever `on_progress` raises.
    """
    waiting, failures, announced = list(steps), list[Failed](), ""
    if waiting:
        _refuse_unwritable()
    while waiting:
        left: list[Step] = []
        for step in waiting:
            failed = [failure.step for failure in failures if failure.step.kind == "circuit"]
            if any(circuit.run == step.run or circuit.key in step.needs for circuit in failed):
                continue
            if any(each.key in step.needs for each in left):  # another process computes its circuit
                left.append(step)
                continue
            lease = store().lease_of(step.key)
            if not leases.take(lease) and leases.holder(lease):
                left.append(step)
                continue
            with leases.renewed(lease):
                failure = _turn(step, compute, on_progress, on_step, on_stored)
            failures += [failure] if failure else []
        if left == waiting:
            if announced != left[0].key:
                on_step(left[0])
            announced = left[0].key
            _wait(left[0], on_progress)
        waiting = left
    if failures:
        raise Failures(failures)


def keep(step: Step, made: ArtifactTables, seconds: float) -> None:
    """Store what was computed in `seconds`.

    Raises:
        UserError: the cache cannot be written.
    """
    created = datetime.now(UTC).isoformat(timespec="milliseconds")
    with errors_of_cache():
        store().write(step.record(made.meta, created, seconds), made.tables)


def elsewhere(key: str) -> leases.Holder | None:
    """Which other process is computing an artifact; None where none is."""
    holder = leases.holder(store().lease_of(key)) if key else None
    return None if holder and holder.is_here and holder.pid == os.getpid() else holder


def _refuse_unwritable() -> None:
    with errors_of_cache(), store().staged():
        pass


def _turn(
    step: Step,
    compute: Compute,
    on_progress: OnProgress,
    on_step: Callable[[Step], None],
    on_stored: Callable[[Step, float], None],
) -> Failed | None:
    """Compute and store one artifact, unless another process finished it meanwhile; why that could not be done."""
    if store().record(step.key):
        on_stored(step, 0.0)
        return None
    on_step(step)
    began = time.monotonic()
    try:
        made = _computed(step, compute, on_progress)
    except UserError as error:
        return Failed(step, str(error))
    seconds = time.monotonic() - began
    keep(step, made, seconds)
    on_stored(step, seconds)
    return None


def _computed(step: Step, compute: Compute, on_progress: OnProgress) -> ArtifactTables:
    """What is stored under the key of a step, which was fixed when it was planned.

    Raises:
        UserError: it cannot be computed, or would not be what the key stands for, as weights or settings of the pair
            were changed since.
    """
    _refuse_changed(step)
    if step.kind == "circuit" and step.spec.is_imported:
        raise UserError(NOT_COMPUTED)
    inputs = step.inputs()
    made = compute(step.spec, step.kind, on_progress, *([inputs] if inputs else []))
    _refuse_changed(step)
    return made


def _refuse_changed(step: Step) -> None:
    if not step.is_current():
        raise UserError(
            f"The weights or the settings of the pair {step.spec.pair} were changed while the {step.title} was to be "
            "computed. It is not stored; ask for it again."
        )


def _wait(step: Step, on_progress: OnProgress) -> None:
    holder = leases.holder(store().lease_of(step.key))
    if holder:
        on_progress(Progress(f"waiting for process {holder.pid} on {holder.host}, which computes it", 0, 0))
        time.sleep(WAIT)
