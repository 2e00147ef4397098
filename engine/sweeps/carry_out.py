"""Compute the steps of a sweep by several workers at once, each served by a thread of this process.

1. Every thread asks the schedule for a step, holds its lease, has its worker compute it and stores the result
   (engine/runs/execution.py: `work`).
2. A worker that is lost (its process was killed, its machine is gone) starts anew with the next step; the step it had
   is tried again.
3. Whatever ends this process, what was stored stays: the same call goes on from there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from engine.errors import Cancelled, UserError, one_line
from engine.runs import execution
from engine.runs.execution import Callbacks, OnProgress, WorkerLost
from engine.runs.records import ArtifactTables, Progress
from engine.runs.schedule import Schedule
from engine.runs.steps import Step
from engine.sweeps.watch import Watch

log = logging.getLogger(__name__)

GRACE = 10.0  # seconds that a thread has to end once its worker was closed


class StepWorker(Protocol):
    """Used by one thread at a time. `name` is for a reader, as in "worker 2", "GPU 1" or "node-3, GPU 0"."""

    name: str

    def start(self, on_progress: OnProgress) -> None:
        """Wait until it has a place where it can compute, where it has to. Raises as `compute`."""
        ...

    def compute(self, step: Step, on_progress: OnProgress) -> ArtifactTables | None:
        """Compute the artifact of a step; None: the worker stored it itself, in the same folder.

        Raises:
            UserError: it cannot be computed.
            WorkerLost: the worker is gone; it may be used again, as it starts anew.
            Whatever `on_progress` raises.
        """
        ...

    def close(self) -> None:
        """End it; what it computes is lost."""
        ...


def carry_out(schedule: Schedule, workers: Sequence[StepWorker], watch: Watch) -> None:
    """Compute everything that is left; what failed stands in the schedule. The workers are closed in the end.

    Raises:
        UserError: the cache cannot be written, or a worker stopped for a reason that no other would escape.
    """
    execution.refuse_unwritable()
    threads = [
        threading.Thread(target=_serve, args=(schedule, worker, watch), name=worker.name, daemon=True)
        for worker in workers
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException as error:  # Ctrl-C: what is being computed is given up
        schedule.stop(error)
        raise
    finally:
        for worker in workers:
            worker.close()
        for thread in threads:
            if thread.ident is not None:
                thread.join(GRACE)
    if schedule.error is not None:
        raise schedule.error


def _serve(schedule: Schedule, worker: StepWorker, watch: Watch) -> None:
    def report(progress: Progress) -> None:
        if schedule.error is not None:
            raise Cancelled
        watch.reports(worker.name, progress)

    def begins(step: Step) -> None:
        watch.begins(worker.name, step)

    def stored(step: Step, seconds: float) -> None:
        watch.stored(worker.name, step, seconds)

    def failed(step: Step, reason: str) -> None:
        if schedule.error is not None:  # the worker was closed
            return
        watch.failed(worker.name, step, reason)
        watch.given_up([*schedule.skipped, *(failure.step for failure in schedule.failures)])

    try:
        _wait_for_place(schedule, worker)
        execution.work(schedule, worker.compute, Callbacks(report, begins, stored, failed), worker.name)
    except Cancelled:
        pass  # whoever stopped the schedule says why
    except UserError as error:
        schedule.stop(error)
    except Exception as error:
        log.exception("%s stopped", worker.name)
        schedule.stop(UserError(f"{worker.name} stopped with {type(error).__name__}: {one_line(error)}"))


def _wait_for_place(schedule: Schedule, worker: StepWorker) -> None:
    """Start a worker, unless others do everything meanwhile."""

    def report(progress: Progress) -> None:
        if schedule.is_over:
            raise Cancelled

    with suppress(WorkerLost):  # which is told when it has a step
        worker.start(report)
