"""What a worker has to have for a model: GPUs and main memory, from the shape of the model alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Protocol

from engine.models.pairs import pair_named
from engine.runs.device_plan import gpus_needed, shape_of, weight_bytes, work_bytes
from engine.runs.steps import Step
from engine.sweeps.carry_out import StepWorker


@dataclass(frozen=True, order=True)
class Resources:
    """`gpus`: whole GPUs, 0 where there are none; `memory`: bytes of main memory, 0 where the shape is unknown."""

    gpus: int
    memory: int


class Machines(Protocol):
    """Where workers run: this machine or a cluster. Used in a `with` block.

    `gpu_memory`: bytes of the smallest GPU; 0 where there is none.
    """

    gpu_memory: int

    def workers(self, resources: Resources, most: int) -> list[StepWorker]:
        """As many workers with these resources as there is room for, `most` at most.

        Raises:
            UserError: there is no room for a single one.
        """
        ...

    def __enter__(self) -> Machines: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def groups(steps: Sequence[Step], gpu_memory: int) -> list[tuple[Resources, list[Step]]]:
    """Steps by what their workers have to have, the largest first.

    Whatever a step needs is in its group: the models of a pair have one shape.
    """
    by_resources: dict[Resources, list[Step]] = {}
    for step in steps:
        resources = resources_of(step.spec.pair, step.spec.dtype, gpu_memory)
        by_resources.setdefault(resources, []).append(step)
    return sorted(by_resources.items(), key=lambda group: group[0], reverse=True)


@lru_cache(maxsize=256)
def resources_of(pair: str, dtype: str, gpu_memory: int) -> Resources:
    """What a worker needs for the models of a pair; on a GPU, main memory holds the weights while they are loaded."""
    shape = shape_of(pair_named(pair))
    if shape is None:
        return Resources(1 if gpu_memory else 0, 0)
    weights = weight_bytes(shape, dtype)
    if gpu_memory:
        return Resources(gpus_needed(shape, dtype, gpu_memory), weights)
    return Resources(0, weights + work_bytes(shape, dtype, "cpu"))
