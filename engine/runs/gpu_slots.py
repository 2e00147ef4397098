"""Share the GPUs of a machine among worker processes: one process a GPU, and one over several for a large model."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence

from engine.errors import Cancelled
from engine.models.pairs import pair_named
from engine.runs import device_plan
from engine.runs.execution import OnProgress
from engine.runs.records import ArtifactTables
from engine.runs.steps import Step
from engine.runs.worker import Worker

VISIBLE = "CUDA_VISIBLE_DEVICES"


class Slot:
    """A place for one model at a time: a worker process with the GPUs that it sees. Safe to use from any thread."""

    def __init__(self, name: str, compute: str, grace: float, environment: Mapping[str, str] | None = None) -> None:
        """`name`: for a reader, as in "GPU 0", empty where there is only one place; the rest as in Worker."""
        self.name = name
        self._worker = Worker(compute, grace, environment)
        self._lock = threading.Lock()

    def compute(self, step: Step, on_progress: OnProgress, cancel: threading.Event) -> ArtifactTables:
        """Raises as Worker.compute."""
        if cancel.is_set():
            raise Cancelled
        with self._lock:
            return self._worker.compute(step.spec, step.kind, on_progress, cancel, step.inputs())

    def release(self) -> None:
        """Let the process give up its model."""
        with self._lock:
            self._worker.release()

    def close(self) -> None:
        """End the process, so that it holds no memory of a GPU; the next computation starts another."""
        with self._lock:
            self._worker.close()


def slots(count: int, visible: str | None) -> list[dict[str, str]]:
    """The environments of processes that see one of `count` GPUs each; an empty one where there are fewer than two.

    `visible`: CUDA_VISIBLE_DEVICES of this process, whose names (numbers or UUIDs) are kept.
    """
    if count < 2:
        return [{}]
    names = [str(n) for n in range(count)] if visible is None else [name.strip() for name in visible.split(",")]
    return [{VISIBLE: name} for name in names[:count]]


def together(environments: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The environment of a process that sees the GPUs of several; empty where there is only one, as in `slots`."""
    names = [environment[VISIBLE] for environment in environments if VISIBLE in environment]
    return {VISIBLE: ",".join(names)} if names else {}


def environments_here() -> list[dict[str, str]]:
    """`slots` of this machine."""
    return slots(len(device_plan.gpu_memories()), os.environ.get(VISIBLE))


def gpus_of(steps: Sequence[Step]) -> int:
    """How many GPUs the largest model of some steps takes: 1 where it fits one or is not known, at most all.

    A model that does not fit all of them either gets all, so that its process decides as if it were alone here.
    """
    memories = device_plan.gpu_memories()
    if len(memories) < 2:
        return 1
    needed = 1
    for pair, dtype in {(step.spec.pair, step.spec.dtype) for step in steps}:
        shape = device_plan.shape_of(pair_named(pair))
        if shape is not None:
            needed = max(needed, device_plan.gpus_needed(shape, dtype, min(memories)))
    return min(needed, len(memories))
