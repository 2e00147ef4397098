"""Workers of a sweep on this machine: processes of engine/runs/worker.py, each with its own GPUs or its own threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from types import TracebackType

from engine.errors import UserError
from engine.runs import device_plan, gpu_slots
from engine.runs.device_plan import gib
from engine.runs.execution import OnProgress, WorkerLost
from engine.runs.gpu_slots import VISIBLE
from engine.runs.records import ArtifactTables
from engine.runs.steps import Step
from engine.runs.worker import Worker, WorkerDied
from engine.sweeps.carry_out import StepWorker
from engine.sweeps.resources import Resources

MOST_WORKERS = 4096  # where nothing tells how much memory one takes
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class LocalWorker:
    """A process of this machine that computes; it is started with its first step, and again after it died."""

    def __init__(self, name: str, compute: str, environment: Mapping[str, str]) -> None:
        """`compute`: "module:name", as in Worker; `environment`: what its process gets beside this one's."""
        self.name = name
        self._worker = Worker(compute, environment=environment)
        self._closing = threading.Event()

    def start(self, on_progress: OnProgress) -> None:
        """It starts with its first step."""

    def compute(self, step: Step, on_progress: OnProgress) -> ArtifactTables:
        """Raises as StepWorker."""
        try:
            return self._worker.compute(step.spec, step.kind, on_progress, self._closing, step.inputs())
        except WorkerDied as died:
            raise WorkerLost(str(died)) from died

    def close(self) -> None:
        self._closing.set()
        self._worker.close()


class ThisMachine:
    """The machine of local workers (engine/sweeps/resources.py: Machines)."""

    def __init__(self, count: int | None, threads: int, compute: str) -> None:
        """`count`: how many workers; None: as many as there is room for."""
        self._count, self._threads, self._compute = count, threads, compute
        self.gpu_memory = min(device_plan.gpu_memories(), default=0)

    def __enter__(self) -> ThisMachine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def workers(self, resources: Resources, most: int) -> list[StepWorker]:
        if resources.gpus:
            return self._on_gpus(resources.gpus, most)
        total, _ = device_plan.cpu_memory()
        fitting = int(device_plan.USABLE * total / resources.memory) if resources.memory else MOST_WORKERS
        if not fitting:
            raise UserError(f"A worker needs {gib(resources.memory)} of memory, but this machine has {gib(total)}.")
        self._refuse_more_than(fitting, f"{gib(resources.memory)} of memory each, and there are {gib(total)}")
        count = self._count or max(1, cores() // self._threads)
        return [
            LocalWorker(f"worker {number}", self._compute, threads_of(self._threads))
            for number in range(1, min(count, fitting, most) + 1)
        ]

    def _on_gpus(self, each: int, most: int) -> list[StepWorker]:
        single = gpu_slots.environments_here()  # a GPU each
        sets = [single[start : start + each] for start in range(0, len(single) - each + 1, each)]
        if not sets:
            raise UserError(f"A worker needs {each} GPUs, but this machine has {len(single)}.")
        self._refuse_more_than(len(sets), f"{each} GPUs each, and there are {len(single)}")
        chosen = [gpu_slots.together(environments) for environments in sets[: min(self._count or len(sets), most)]]
        return [
            LocalWorker(f"GPU {environment.get(VISIBLE, '0')}", self._compute, threads_of(self._threads) | environment)
            for environment in chosen
        ]

    def _refuse_more_than(self, fitting: int, need: str) -> None:
        if self._count is not None and self._count > fitting:
            raise UserError(f"{self._count} workers were asked for, but they need {need}. Ask for {fitting} at most.")


def cores() -> int:
    """How many cores this process may use, which in a job of a cluster are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of(count: int) -> dict[str, str]:
    """The environment of a process that computes with so many threads."""
    return {name: str(count) for name in THREADS}
