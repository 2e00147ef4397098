"""What a worker of a sweep is: something that computes one step after the other, in a process or on a machine."""

from __future__ import annotations

from typing import Protocol

from engine.runs.execution import OnProgress, Step
from engine.runs.records import ArtifactTables


class StepWorker(Protocol):
    """Used by one thread at a time. `name` is for a reader, as in "worker 2", "GPU 1" or "node-3, GPU 0"."""

    name: str

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
