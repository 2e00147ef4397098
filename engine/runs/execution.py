"""Compute the artifacts that runs lack, in an order in which circuits come first.

1. `plan` lists what is missing: the circuits of the ARM and of the model it is compared with, then the rest of the
   latter, which is loaded, then the rest of the ARM; further models whole, one after the other. The parts of a circuit
   of many examples (engine/runs/parts.py) come before it.
2. `carry_out` computes one after the other and stores each as soon as it is there, so that whatever ends it later
   leaves what was finished.
3. What another process is computing is left to it (cache/leases.py): the next artifact comes first, and in the end it
   is waited for.
4. An artifact that fails does not keep the others of its run from being computed, unless it is the circuit
   (engine/runs/schedule.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cache import leases
from engine.errors import UserError
from engine.runs import parts
from engine.runs.cache_connection import errors_of_cache, store
from engine.runs.provenance import Resolved
from engine.runs.records import ArtifactTables, Inputs, Progress
from engine.runs.schedule import Failures, Schedule
from engine.runs.spec import RunSpec
from engine.runs.steps import Step, circuit_steps
from engine.schema.artifacts import KINDS, AnyKind

WAIT = 0.5  # seconds between looks at what another process computes
NOT_COMPUTED = (
    "A circuit from elsewhere cannot be computed here. Take its file with `python -m engine import-circuit` again, or "
    "choose another method."
)

OnProgress = Callable[[Progress], None]
OnStep = Callable[["Step"], None]
OnStored = Callable[["Step", float], None]
Compute = Callable[..., ArtifactTables]  # (RunSpec, Kind, OnProgress); of some a fourth, Inputs
ComputeStep = Callable[["Step", OnProgress], ArtifactTables | None]  # None: it is stored already


@dataclass(frozen=True)
class Callbacks:
    """Who is told what a worker does; whatever `on_progress` raises ends the work.

    `on_step`, `on_stored`: as for `carry_out`. `on_failed`: that a step cannot be computed or its worker was lost, with
    the reason.
    """

    on_progress: OnProgress
    on_step: OnStep = lambda step: None
    on_stored: OnStored = lambda step, seconds: None
    on_failed: Callable[[Step, str], None] = lambda step, reason: None


class WorkerLost(Exception):
    """The process or machine that computed a step is gone: it can be tried again. The message says what is known."""


def plan(runs: Sequence[Resolved]) -> list[Step]:
    """What is not stored of these runs, each artifact once, in the order in which it is computed."""
    first, others = list(runs[:2]), runs[2:]
    steps = [step for run in first for step in circuit_steps(run)]
    steps += [Step(run, kind) for run in reversed(first) for kind in KINDS]
    steps += [step for run in others for step in (*circuit_steps(run), *(Step(run, kind) for kind in KINDS))]
    return not_stored(steps)


def not_stored(steps: Iterable[Step]) -> list[Step]:
    """Those of some steps whose artifact is not stored, each artifact once, in their order."""
    missing: dict[str, Step] = {}
    for step in steps:
        if not step.is_stored():
            missing.setdefault(step.key, step)
    return list(missing.values())


def carry_out(
    steps: Sequence[Step],
    compute: Compute,
    on_progress: OnProgress,
    on_step: OnStep = lambda step: None,
    on_stored: OnStored = lambda step, seconds: None,
) -> None:
    """Compute and store every artifact that is not there by the time it is its turn, one after the other.

    `on_step` is told before an artifact is computed or waited for, `on_stored` when it is stored, with the seconds that
    it took; 0 where another process had computed it.

    Raises:
        Failures: some artifacts could not be computed; the others were.
        UserError: the cache cannot be written: nothing more is computed then.
        Whatever `on_progress` raises.
    """
    schedule = Schedule(steps)
    if steps:
        refuse_unwritable()

    def compute_step(step: Step, on_progress: OnProgress) -> ArtifactTables:
        return called(compute, step.spec, step.kind, on_progress, step.inputs())

    work(schedule, compute_step, Callbacks(on_progress, on_step, on_stored))
    if schedule.failures:
        raise Failures(schedule.failures)


def called(
    compute: Compute, spec: RunSpec, kind: AnyKind, on_progress: OnProgress, inputs: Inputs | None
) -> ArtifactTables:
    """What a Compute computes, which takes inputs only where there are any."""
    return compute(spec, kind, on_progress, *([inputs] if inputs else []))


def unexpected(spec: RunSpec, error: Exception) -> str:
    """What is told of an error that no Compute foresaw."""
    return f"{type(error).__name__} while computing {spec.pair} / {spec.model} / {spec.task}: {error}"


def work(schedule: Schedule, compute: ComputeStep, callbacks: Callbacks, worker: str = "") -> None:
    """What one worker does until a schedule is over; several may at once, each in a thread of its own.

    Raises:
        UserError: the cache cannot be written.
        Whatever `on_progress` raises; it is told about what is waited for, too.
    """
    announced: Step | None = None
    while not schedule.is_over:
        if work_once(schedule, compute, callbacks, worker):
            continue
        awaited = schedule.wait(WAIT)
        if awaited is not None:
            if awaited != announced:
                callbacks.on_step(awaited)
            announced = awaited
            report_wait(awaited, callbacks.on_progress)


def work_once(schedule: Schedule, compute: ComputeStep, callbacks: Callbacks, worker: str = "") -> bool:
    """Compute and store the next step of a schedule; False: none can begin at the moment. The rest as in `work`."""
    step = schedule.begin(worker)
    if step is None:
        return False
    latest = _Latest(callbacks.on_progress)
    with leases.renewed(store().lease_of(step.key), latest.state):
        _turn(schedule, step, compute, replace(callbacks, on_progress=latest))
    return True


class _Latest:
    """Hands reports of progress on, and says in words how far the last one was."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress, self._progress = on_progress, Progress("", 0, 0)

    def __call__(self, progress: Progress) -> None:
        self._progress = progress
        self._on_progress(progress)

    def state(self) -> str:
        """As in "edge scores 12 of 64"."""
        progress = self._progress
        return f"{progress.stage} {progress.done} of {progress.total}" if progress.total else progress.stage


def keep(step: Step, made: ArtifactTables, seconds: float) -> None:
    """Store what was computed in `seconds`.

    Raises:
        UserError: the cache cannot be written.
    """
    created = datetime.now(UTC).isoformat(timespec="milliseconds")
    with errors_of_cache():
        store().write(step.record(made.meta, created, seconds), made.tables)
    if step.kind == "circuit":
        parts.delete(step.run)


def elsewhere(key: str) -> leases.Holder | None:
    """Which other process is computing an artifact; None where none is."""
    holder = leases.holder(store().lease_of(key)) if key else None
    return None if holder and holder.is_this_process else holder


def refuse_unwritable() -> None:
    """UserError where nothing can be stored."""
    with errors_of_cache(), store().staged():
        pass


def _turn(schedule: Schedule, step: Step, compute: ComputeStep, callbacks: Callbacks) -> None:
    """Compute and store one artifact, unless another process finished it meanwhile."""
    if step.is_stored():
        schedule.end(step)
        callbacks.on_stored(step, 0.0)
        return
    callbacks.on_step(step)
    began = time.monotonic()
    try:
        made = _computed(step, compute, callbacks.on_progress)
    except WorkerLost as lost:
        again = schedule.try_again(step, str(lost))
        callbacks.on_failed(step, f"{lost} It is tried again." if again else str(lost))
        return
    except UserError as error:
        schedule.fail(step, str(error))
        callbacks.on_failed(step, str(error))
        return
    seconds = time.monotonic() - began
    if made is not None:
        keep(step, made, seconds)
    schedule.end(step)
    callbacks.on_stored(step, seconds)


def _computed(step: Step, compute: ComputeStep, on_progress: OnProgress) -> ArtifactTables | None:
    """What is stored under the key of a step, which was fixed when it was planned; None: it is stored already.

    Raises:
        UserError: it cannot be computed, or would not be what the key stands for, as weights or settings of the pair
            were changed since.
        WorkerLost: as `compute` does.
    """
    _refuse_changed(step)
    if step.kind == "circuit" and step.spec.is_imported:
        raise UserError(NOT_COMPUTED)
    made = compute(step, on_progress)
    _refuse_changed(step)
    return made


def _refuse_changed(step: Step) -> None:
    if not step.is_current():
        raise UserError(
            f"The weights or the settings of the pair {step.spec.pair} were changed while the {step.title} was to be "
            "computed. It is not stored; ask for it again."
        )


def report_wait(step: Step, on_progress: OnProgress) -> None:
    """Tell which other process computes a step, where one does."""
    holder = leases.holder(store().lease_of(step.key))
    if holder:
        who = f"process {holder.pid} on {holder.host}" if elsewhere(step.key) else "another job"
        on_progress(Progress(f"waiting for {who}, which computes it", 0, 0))
