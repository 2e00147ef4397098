"""Queue jobs for one worker process, with their progress, the time left, and a way to cancel them.

A job is a list of runs under one title; what is computed are the artifacts that they lack (engine/runs/execution.py).
Jobs are done in the order they were submitted. Each artifact is stored as soon as it is there, so a cancelled or failed
job keeps what it finished and can simply be submitted again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from engine.errors import Cancelled, UserError
from engine.runs import execution, lifecycle
from engine.runs.execution import OnProgress
from engine.runs.provenance import Resolved, resolve
from engine.runs.records import ArtifactTables, Inputs, Progress
from engine.runs.schedule import Failed, Failures
from engine.runs.spec import RunSpec
from engine.runs.steps import Step
from engine.runs.time_left import WEIGHT, time_left
from engine.runs.worker import Worker
from engine.schema.artifacts import KINDS, AnyKind

Plan = Callable[[], Sequence[Step]]
State = Literal["queued", "running", "cancelling", "done", "failed", "cancelled"]

COMPUTE = "engine.runs.compute:Computing"
WAITING = Progress("Waiting", 0, 0)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobView:
    """A job at one moment. Times are seconds since 1970."""

    id: str
    title: str
    state: State
    specs: tuple[RunSpec, ...]
    progress: Progress  # of the current artifact
    step: Step | None  # the current artifact; None before the first
    step_index: int  # how many artifacts of this job are stored
    n_steps: int  # how many artifacts it computes; 0 before it begins
    failures: tuple[Failed, ...]
    eta_seconds: float | None  # None: not known yet, or not running
    error: str | None  # a sentence, when failed
    submitted: float
    started: float | None
    finished: float | None
    without_circuit: tuple[RunSpec, ...] = ()  # specs whose circuits are still to come
    kinds: tuple[AnyKind, ...] = KINDS  # of the artifacts that it computes
    plan: Plan | None = None  # with which it was submitted

    @property
    def is_open(self) -> bool:
        """Whether anything is still to happen to it."""
        return self.state in ("queued", "running", "cancelling")

    @property
    def is_wanted(self) -> bool:
        """Whether its runs are still to come: it is open, and nobody cancelled it."""
        return self.state in ("queued", "running")

    @property
    def made(self) -> tuple[RunSpec, ...]:
        """The specs whose circuits are stored, by this job or before it."""
        return tuple(spec for spec in self.specs if spec not in self.without_circuit)


@dataclass
class _Job:
    id: str
    title: str
    specs: tuple[RunSpec, ...]
    submitted: float
    plan: Plan | None = None
    kinds: tuple[AnyKind, ...] = KINDS
    state: State = "queued"
    progress: Progress = WAITING
    steps: tuple[Step, ...] = ()
    step: Step | None = None
    stored: list[Step] = field(default_factory=list)
    failures: tuple[Failed, ...] = ()
    started: float | None = None
    finished: float | None = None
    error: str | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    step_began: float = 0.0
    stage_began: float = 0.0
    weight: float = 0.0  # of the artifacts that were computed
    seconds: float = 0.0  # that they took


class JobQueue:
    """Jobs in memory; their results are in the cache. Safe to use from any thread."""

    def __init__(self, compute: str = COMPUTE, grace: float = 10.0) -> None:
        """`compute` and `grace` as in Worker."""
        self._worker = Worker(compute, grace)
        self._jobs: dict[str, _Job] = {}
        self._ids = count(1)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(
        self, specs: Sequence[RunSpec], title: str, plan: Plan | None = None, kinds: tuple[AnyKind, ...] = KINDS
    ) -> str:
        """Put runs in the queue; the id of their job.

        `plan` says, when it is the job's turn, what is missing; left out, all artifacts of the runs are wanted.
        `kinds`: of the artifacts that it will name, for who waits for one.

        Raises:
            UserError: nothing to do, or one of the runs cannot be asked for (no such pair, task, weights).
        """
        if not specs:
            raise UserError("There is nothing to compute.")
        for spec in specs:
            resolve(spec)
        with self._changed:
            job = _Job(f"job-{next(self._ids)}", title, tuple(specs), time.time(), plan, kinds)
            self._jobs[job.id] = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return job.id

    def jobs(self) -> list[JobView]:
        """Every job since the queue was made that was not dismissed, in the order of submission."""
        with self._changed:
            return [_view(job) for job in self._jobs.values()]

    def job(self, id: str) -> JobView:
        with self._changed:
            return _view(self._known(id))

    def cancel(self, id: str) -> None:
        """Take a job out of the queue, or stop it at its next report; a finished job stays what it is."""
        with self._changed:
            job = self._known(id)
            job.cancel.set()
            if job.state == "queued":
                self._end(job, "cancelled")
            elif job.state == "running":
                job.state = "cancelling"

    def dismiss(self, id: str) -> None:
        """Forget a finished job; what it computed stays. An open job stays; an unknown id is ignored."""
        with self._changed:
            if id in self._jobs and not _view(self._jobs[id]).is_open:
                del self._jobs[id]

    def close(self) -> None:
        """Cancel everything and end the worker's process."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.cancel.set()
            self._changed.notify_all()
        if self._thread:
            self._thread.join()
        self._worker.close()

    def _known(self, id: str) -> _Job:
        if id not in self._jobs:
            raise UserError(f"There is no job {id!r}.")
        return self._jobs[id]

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._do(job)
            except Cancelled:
                self._end(job, "cancelled")
            except Failures as error:
                with self._changed:
                    job.failures = error.failures
                self._end(job, "failed", str(error))
            except UserError as error:
                self._end(job, "failed", str(error))
            except Exception as error:  # whatever goes wrong with one job must not end the queue
                log.exception("%s failed", job.id)
                self._end(job, "failed", f"{type(error).__name__}: {error}")
            else:
                self._end(job, "done")

    def _next(self) -> _Job | None:
        with self._changed:
            while True:
                if self._closed:
                    return None
                for job in self._jobs.values():
                    if job.state == "queued":
                        job.state, job.started = "running", time.time()
                        return job
                self._changed.wait()

    def _do(self, job: _Job) -> None:
        if job.cancel.is_set():
            raise Cancelled
        steps = tuple(job.plan() if job.plan else _missing(job.specs))
        with self._changed:
            job.steps = steps

        def compute(
            spec: RunSpec, kind: AnyKind, on_progress: OnProgress, inputs: Inputs | None = None
        ) -> ArtifactTables:
            if job.cancel.is_set():
                raise Cancelled
            return self._worker.compute(spec, kind, lambda progress: self._report(job, progress), job.cancel, inputs)

        def waiting(progress: Progress) -> None:
            if job.cancel.is_set():
                raise Cancelled
            self._report(job, progress)

        try:
            execution.carry_out(
                steps,
                compute,
                on_progress=waiting,
                on_step=lambda step: self._begin(job, step),
                on_stored=lambda step, seconds: self._stored(job, step, seconds),
            )
        finally:
            self._worker.release()

    def _begin(self, job: _Job, step: Step) -> None:
        with self._changed:
            job.step, job.progress = step, Progress("Starting", 0, 0)
            job.step_began = job.stage_began = time.monotonic()

    def _stored(self, job: _Job, step: Step, seconds: float) -> None:
        with self._changed:
            job.stored.append(step)
            if seconds:  # else another process had computed it
                job.weight += WEIGHT[step.kind]
                job.seconds += seconds

    def _report(self, job: _Job, progress: Progress) -> None:
        with self._changed:
            if progress.stage != job.progress.stage:
                job.stage_began = time.monotonic()
            job.progress = progress

    def _end(self, job: _Job, state: State, error: str | None = None) -> None:
        with self._changed:
            job.state, job.error, job.finished = state, error, time.time()


def _missing(specs: Sequence[RunSpec]) -> list[Step]:
    return execution.plan([run for spec in specs if isinstance(run := lifecycle.find_whole(spec), Resolved)])


def _view(job: _Job) -> JobView:
    now, eta = time.monotonic(), None
    left = [step for step in job.steps if step not in job.stored]
    if job.state == "running" and job.step:
        after = sum(WEIGHT[step.kind] for step in left if step != job.step)
        before = job.weight, job.seconds
        eta = time_left(job.progress, now - job.stage_began, now - job.step_began, job.step.kind, before, after)
    return JobView(
        id=job.id,
        title=job.title,
        state=job.state,
        specs=job.specs,
        progress=job.progress,
        step=job.step,
        step_index=len(job.stored),
        n_steps=len(job.steps),
        failures=job.failures,
        eta_seconds=eta,
        error=job.error,
        submitted=job.submitted,
        started=job.started,
        finished=job.finished,
        without_circuit=tuple(step.spec for step in left if step.kind == "circuit")
        if job.steps or job.state == "done"
        else job.specs,
        kinds=job.kinds,
        plan=job.plan,
    )
