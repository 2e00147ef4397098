"""What a sweep has done and is doing, as its workers tell it: counts, and what each worker computes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from engine.runs.records import Progress
from engine.runs.steps import Step
from engine.sweeps import cost


@dataclass(frozen=True)
class Doing:
    """What a worker is doing, since when by time.monotonic."""

    worker: str
    what: str
    progress: Progress
    since: float


@dataclass(frozen=True)
class Ended:
    """A step that was stored, in so many seconds (0: another process computed it), or that failed."""

    worker: str
    what: str
    seconds: float
    failed: str = ""


class Watch:
    """Told by the threads of all workers, asked by whoever shows it."""

    def __init__(self, steps: Sequence[Step], on_end: Callable[[Ended], None] = lambda ended: None) -> None:
        self._left = {step.key: cost.of_step(step) for step in steps}
        self._total, self._began = sum(self._left.values()), time.monotonic()
        self._doing: dict[str, Doing] = {}
        self._on_end = on_end
        self._lock = threading.Lock()
        self.steps, self._given_up = len(self._left), 0

    def begins(self, worker: str, step: Step) -> None:
        with self._lock:
            self._doing[worker] = Doing(worker, step.description, Progress("starting", 0, 0), time.monotonic())

    def reports(self, worker: str, progress: Progress) -> None:
        with self._lock:
            doing = self._doing.get(worker)
            if doing:
                self._doing[worker] = replace(doing, progress=progress)

    def stored(self, worker: str, step: Step, seconds: float) -> None:
        with self._lock:
            self._left.pop(step.key, None)
        self._ends(Ended(worker, step.description, seconds))

    def failed(self, worker: str, step: Step, reason: str) -> None:
        """A step failed, or its worker was lost, so that it may be tried again."""
        self._ends(Ended(worker, step.description, 0.0, reason))

    def given_up(self, steps: Sequence[Step]) -> None:
        """Steps that will not be computed, as they failed or what they need did."""
        with self._lock:
            for step in steps:
                if self._left.pop(step.key, None) is not None:
                    self._given_up += 1

    def _ends(self, ended: Ended) -> None:
        with self._lock:
            self._doing.pop(ended.worker, None)
        self._on_end(ended)

    @property
    def doing(self) -> tuple[Doing, ...]:
        with self._lock:
            return tuple(self._doing[worker] for worker in sorted(self._doing))

    @property
    def stored_steps(self) -> int:
        with self._lock:
            return self.steps - len(self._left) - self._given_up

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    @property
    def seconds_left(self) -> float | None:
        """By what was done so far; None: nothing was."""
        with self._lock:
            left = sum(self._left.values())
        done = self._total - left
        return self.seconds * left / done if done else None
