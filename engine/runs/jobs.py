"""Queue jobs for worker processes, with their progress, the time left, and a way to cancel them.

A job is a list of runs under one title; what is computed are the artifacts that they lack (engine/runs/execution.py).
Each artifact is stored as soon as it is there, so a cancelled or failed job keeps what it finished and can simply be
submitted again.

1. There is a worker for each GPU, and one on a machine with fewer than two; each has a thread here.
2. A worker computes the next artifact of the earliest job that has one which can begin.
3. Where none has, it begins the next job in the order of submission. A single worker first ends the one before.
4. A job with a model that one GPU does not hold gets as few GPUs as hold it: it waits until the jobs that have begun
   are over, none begins meanwhile, and one process that sees these GPUs computes its artifacts one after the other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from itertools import count

from engine.errors import Cancelled, UserError
from engine.runs import execution, gpu_slots, lifecycle
from engine.runs.gpu_slots import Slot
from engine.runs.job_view import Job, JobView, Plan, State, Turn
from engine.runs.provenance import Resolved, resolve
from engine.runs.records import ArtifactTables, Progress
from engine.runs.schedule import Schedule
from engine.runs.spec import RunSpec
from engine.runs.steps import Step
from engine.runs.time_left import WEIGHT
from engine.schema.artifacts import KINDS, AnyKind

__all__ = ["JobQueue", "JobView", "Plan"]

COMPUTE = "engine.runs.compute:Computing"

log = logging.getLogger(__name__)


class JobQueue:
    """Jobs in memory; their results are in the cache. Safe to use from any thread."""

    def __init__(self, compute: str = COMPUTE, grace: float = 10.0) -> None:
        """`compute` and `grace` as in Worker."""
        self._environments = gpu_slots.environments_here()
        names = [f"GPU {n}" for n in range(len(self._environments))] if len(self._environments) > 1 else [""]
        self._slots = [Slot(name, compute, grace, each) for name, each in zip(names, self._environments, strict=True)]
        self._wide: Slot | None = None  # over several GPUs, while a job has it
        self._compute, self._grace = compute, grace
        self._jobs: dict[str, Job] = {}
        self._ids = count(1)
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
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
            job = Job(f"job-{next(self._ids)}", title, tuple(specs), time.time(), plan, kinds)
            self._jobs[job.id] = job
            if not self._threads:
                self._threads = [
                    threading.Thread(target=self._work, args=(slot,), name=f"jobs {slot.name}", daemon=True)
                    for slot in self._slots
                ]
                for thread in self._threads:
                    thread.start()
            self._changed.notify_all()
        return job.id

    def jobs(self) -> list[JobView]:
        """Every job since the queue was made that was not dismissed, in the order of submission."""
        with self._changed:
            return [job.view() for job in self._jobs.values()]

    def job(self, id: str) -> JobView:
        with self._changed:
            return self._known(id).view()

    def cancel(self, id: str) -> None:
        """Take a job out of the queue, or stop it at its next report; a finished job stays what it is."""
        with self._changed:
            job = self._known(id)
            job.cancel.set()
            if job.state == "queued":
                self._end(job, "cancelled")
            elif job.state == "running":
                job.state = "cancelling"
            self._changed.notify_all()

    def dismiss(self, id: str) -> None:
        """Forget a finished job; what it computed stays. An open job stays; an unknown id is ignored."""
        with self._changed:
            if id in self._jobs and not self._jobs[id].is_open:
                del self._jobs[id]

    def close(self) -> None:
        """Cancel everything and end the workers' processes."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.cancel.set()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for job in self._jobs.values():
            if job.is_begun:
                self._end(job, "cancelled")
        for slot in (*self._slots, *([self._wide] if self._wide else [])):
            slot.close()

    def _known(self, id: str) -> Job:
        if id not in self._jobs:
            raise UserError(f"There is no job {id!r}.")
        return self._jobs[id]

    def _work(self, slot: Slot) -> None:
        """What the thread of a worker does."""
        latest: Job | None = None  # for which the worker's process may hold a model
        while not self._closed:
            worked = next((job for job in self._served() if self._turn(job, slot)), None)
            latest = worked or latest
            if latest and not latest.is_begun:
                slot.release()
                latest = None
            if worked is None and not self._begin_next():
                self._wait()

    def _served(self) -> list[Job]:
        """Jobs that are planned and may be worked on, in the order of submission."""
        with self._changed:
            begun = [job for job in self._jobs.values() if job.is_begun]
            wide = [job for job in begun if job.gpus > 1]
            ready = wide[:1] if len(wide) == len(begun) else [job for job in begun if job.gpus == 1]
            return [job for job in (*ready, *(job for job in begun if job.cancel.is_set())) if job.schedule]

    def _turn(self, job: Job, slot: Slot) -> bool:
        """Compute an artifact of a job; False: none of it can begin at the moment."""
        with self._changed:
            schedule = job.schedule
            if schedule is None or (job.gpus > 1 and job.busy):
                return False
            job.busy += 1
        worked = False
        try:
            worked = self._computed(job, schedule, slot)
        except Exception as error:  # whatever goes wrong with one job must not end the queue
            if not isinstance(error, (Cancelled, UserError)):
                log.exception("%s failed", job.id)
            schedule.stop(error)
            job.cancel.set()  # for its other artifacts
        finally:
            with self._changed:
                job.busy -= 1
                self._end_if_over(job)
                if worked:
                    self._changed.notify_all()
        return worked

    def _computed(self, job: Job, schedule: Schedule, slot: Slot) -> bool:
        if job.cancel.is_set():
            raise Cancelled
        place = self._wide_slot(job.gpus) if job.gpus > 1 else slot
        turn: Turn | None = None

        def begin(step: Step) -> None:
            nonlocal turn
            with self._changed:
                job.latest = turn = job.turns[step.key] = Turn(place.name, step)

        def report(progress: Progress) -> None:
            with self._changed:
                if turn:
                    turn.report(progress)

        def compute(step: Step, on_progress: execution.OnProgress) -> ArtifactTables:
            return place.compute(step, on_progress, job.cancel)

        def stored(step: Step, seconds: float) -> None:
            with self._changed:
                job.stored.append(step)
                if seconds:  # else another process had computed it
                    job.weight += WEIGHT[step.kind]
                    job.seconds += seconds

        callbacks = execution.Callbacks(report, begin, stored)
        try:
            if execution.work_once(schedule, compute, callbacks, place.name):
                return True
        finally:
            if turn:
                with self._changed:
                    job.turns.pop(turn.step.key, None)
        self._report_wait(job, schedule)
        return False

    def _report_wait(self, job: Job, schedule: Schedule) -> None:
        """Show which other process a job waits for, where it waits for one."""
        awaited = schedule.wait(0)
        if awaited is None:
            return
        with self._changed:
            if job.latest is None or job.latest.step != awaited:
                job.latest = Turn("", awaited)
            execution.report_wait(awaited, job.latest.report)

    def _wide_slot(self, gpus: int) -> Slot:
        """The process over several GPUs; nothing else computes when it is asked for."""
        if self._wide is None:
            for slot in self._slots:
                slot.close()
            environment = gpu_slots.together(self._environments[:gpus])
            self._wide = Slot(f"{gpus} GPUs", self._compute, self._grace, environment)
        return self._wide

    def _begin_next(self) -> bool:
        """Plan the next job, if one may begin."""
        with self._changed:
            begun = [job for job in self._jobs.values() if job.is_begun]
            if any(job.gpus > 1 or job.schedule is None for job in begun) or (begun and len(self._slots) == 1):
                return False
            job = next((job for job in self._jobs.values() if job.state == "queued"), None)
            if job is None:
                return False
            job.state, job.started = "running", time.time()
        try:
            steps = tuple(job.plan() if job.plan else _missing(job.specs))
            gpus = gpu_slots.gpus_of(steps)
            schedule = Schedule(steps, keep_model=len(self._slots) > 1 and gpus == 1)
            if steps:
                execution.refuse_unwritable()
        except Exception as error:  # as above
            if not isinstance(error, UserError):
                log.exception("%s failed", job.id)
            self._end(job, *_outcome(error))
            return True
        with self._changed:
            job.steps, job.schedule, job.gpus = steps, schedule, gpus
            self._end_if_over(job)
            self._changed.notify_all()
        return True

    def _wait(self) -> None:
        """Until something has changed, or another process may have computed what a job waits for."""
        with self._changed:
            if not self._closed:
                is_open = any(job.is_begun for job in self._jobs.values())
                self._changed.wait(execution.WAIT if is_open else None)

    def _end_if_over(self, job: Job) -> None:
        if job.schedule is None or job.busy or not job.is_begun or not job.schedule.is_over:
            return
        if job.gpus > 1 and self._wide:
            self._wide.close()
            self._wide = None
        error, failures = job.schedule.error, job.schedule.failures
        if error is None and failures:
            job.failures = failures
            self._end(job, "failed", failures[0].reason)
        else:
            self._end(job, *_outcome(error))

    def _end(self, job: Job, state: State, error: str | None = None) -> None:
        with self._changed:
            job.state, job.error, job.finished = state, error, time.time()
            self._changed.notify_all()


def _outcome(error: BaseException | None) -> tuple[State, str | None]:
    if error is None:
        return "done", None
    if isinstance(error, Cancelled):
        return "cancelled", None
    return "failed", str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _missing(specs: Sequence[RunSpec]) -> list[Step]:
    return execution.plan([run for spec in specs if isinstance(run := lifecycle.find_whole(spec), Resolved)])
