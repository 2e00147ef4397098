"""Queue jobs for one worker process, with their progress, the time left, and a way to cancel them.

A job is a list of runs under one title. Jobs are done in the order they were submitted; a run that the cache has is
not computed again, so a cancelled or failed job keeps what it finished and can simply be submitted again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from engine.errors import Cancelled, UserError
from engine.runs import lifecycle
from engine.runs.provenance import resolve
from engine.runs.records import Progress, Run
from engine.runs.spec import RunSpec
from engine.runs.worker import Worker

State = Literal["queued", "running", "cancelling", "done", "failed", "cancelled"]

COMPUTE = "engine.runs.compute:compute"
WAITING = Progress("Waiting", 0, 0)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobView:
    """A job at one moment. Times are seconds since 1970."""

    id: str
    title: str
    state: State
    specs: tuple[RunSpec, ...]
    progress: Progress  # of the current run
    run_index: int  # of the current run, 0 .. n_runs - 1
    n_runs: int
    eta_seconds: float | None  # None: not known yet, or not running
    error: str | None  # a sentence, when failed
    submitted: float
    started: float | None
    finished: float | None

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
        """The specs whose runs it computed, or found, before it ended."""
        return self.specs if self.state == "done" else self.specs[: self.run_index]


@dataclass
class _Job:
    id: str
    title: str
    specs: tuple[RunSpec, ...]
    submitted: float
    state: State = "queued"
    progress: Progress = WAITING
    run_index: int = 0
    started: float | None = None
    finished: float | None = None
    error: str | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    run_began: float = 0.0
    stage_began: float = 0.0
    durations: list[float] = field(default_factory=list)  # of the runs that were computed


class JobQueue:
    """Jobs in memory; their results are in the cache. Safe to use from any thread."""

    def __init__(self, compute: str = COMPUTE, grace: float = 10.0) -> None:
        """`compute` is "module:function", named because it runs in another process; `grace` as in Worker."""
        self._worker = Worker(compute, grace)
        self._jobs: dict[str, _Job] = {}
        self._ids = count(1)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, specs: Sequence[RunSpec], title: str) -> str:
        """Put runs in the queue; the id of their job.

        Raises:
            UserError: nothing to do, or one of the runs cannot be asked for (no such pair, task, weights).
        """
        if not specs:
            raise UserError("There is nothing to compute.")
        for spec in specs:
            resolve(spec)
        with self._changed:
            job = _Job(f"job-{next(self._ids)}", title, tuple(specs), time.time())
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
        for index, spec in enumerate(job.specs):
            if job.cancel.is_set():
                raise Cancelled
            self._begin_run(job, index)
            match = lifecycle.find_or_resolve(spec)
            if isinstance(match, Run):
                continue
            tables = self._worker.compute(spec, lambda progress: self._report(job, progress), job.cancel)
            seconds = time.monotonic() - job.run_began
            lifecycle.keep(match, tables, seconds)
            with self._changed:
                job.durations.append(seconds)

    def _begin_run(self, job: _Job, index: int) -> None:
        with self._changed:
            job.run_index, job.progress = index, Progress("Starting", 0, 0)
            job.run_began = job.stage_began = time.monotonic()

    def _report(self, job: _Job, progress: Progress) -> None:
        with self._changed:
            if progress.stage != job.progress.stage:
                job.stage_began = time.monotonic()
            job.progress = progress

    def _end(self, job: _Job, state: State, error: str | None = None) -> None:
        with self._changed:
            job.state, job.error, job.finished = state, error, time.time()


def time_left(
    progress: Progress, stage_seconds: float, run_seconds: float, before: list[float], after: int
) -> float | None:
    """Seconds until a job is done, or None when there is nothing to judge by.

    `stage_seconds`, `run_seconds`: since the current stage and run began; `before`: what the job's earlier runs took;
    `after`: how many runs follow. A run is taken to last as long as the earlier ones, and at least as long as its
    current stage still needs at its present speed.
    """
    stage_left = stage_seconds * (1 - progress.share) / progress.share if progress.share else None
    if before:
        typical = sum(before) / len(before)
        return max(typical - run_seconds, stage_left or 0.0) + after * typical
    if stage_left is None:
        return None
    return stage_left + after * (run_seconds + stage_left)


def _view(job: _Job) -> JobView:
    now, eta = time.monotonic(), None
    if job.state == "running":
        after = len(job.specs) - job.run_index - 1
        eta = time_left(job.progress, now - job.stage_began, now - job.run_began, job.durations, after)
    return JobView(
        id=job.id,
        title=job.title,
        state=job.state,
        specs=job.specs,
        progress=job.progress,
        run_index=job.run_index,
        n_runs=len(job.specs),
        eta_seconds=eta,
        error=job.error,
        submitted=job.submitted,
        started=job.started,
        finished=job.finished,
    )
