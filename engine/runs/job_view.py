"""What is known of a job at one moment: its state, what it computes on which GPU, and the time left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from engine.runs.records import Progress
from engine.runs.schedule import Failed, Schedule
from engine.runs.spec import RunSpec
from engine.runs.steps import Step
from engine.runs.time_left import WEIGHT, time_left
from engine.schema.artifacts import KINDS, AnyKind

Plan = Callable[[], Sequence[Step]]
State = Literal["queued", "running", "cancelling", "done", "failed", "cancelled"]

WAITING = Progress("Waiting", 0, 0)


@dataclass(frozen=True)
class StepNow:
    """An artifact that is being computed; `place`: as in "GPU 0", empty where there is only one."""

    place: str
    step: Step
    progress: Progress


@dataclass(frozen=True)
class JobView:
    """A job at one moment. Times are seconds since 1970."""

    id: str
    title: str
    state: State
    specs: tuple[RunSpec, ...]
    progress: Progress  # of the current artifact
    step: Step | None  # the current artifact, of several the one begun first; None before the first
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
    steps_now: tuple[StepNow, ...] = ()  # all that are being computed, in the order in which they began

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
class Turn:
    """An artifact that is computed or waited for, with the times (time.monotonic) since when."""

    place: str
    step: Step
    progress: Progress = field(default_factory=lambda: Progress("Starting", 0, 0))
    began: float = field(default_factory=time.monotonic)
    stage_began: float = field(default_factory=time.monotonic)

    def report(self, progress: Progress) -> None:
        if progress.stage != self.progress.stage:
            self.stage_began = time.monotonic()
        self.progress = progress

    def left(self, before: tuple[float, float], after: float) -> float | None:
        """`time_left` from here."""
        now = time.monotonic()
        return time_left(self.progress, now - self.stage_began, now - self.began, self.step.kind, before, after)


@dataclass
class Job:
    """A job as the queue keeps it."""

    id: str
    title: str
    specs: tuple[RunSpec, ...]
    submitted: float
    plan: Plan | None = None
    kinds: tuple[AnyKind, ...] = KINDS
    state: State = "queued"
    steps: tuple[Step, ...] = ()
    schedule: Schedule | None = None  # None: not planned yet
    gpus: int = 1  # that its largest model takes
    busy: int = 0  # how many workers look for something to do here, or do it
    turns: dict[str, Turn] = field(default_factory=dict)  # by key of the artifact
    latest: Turn | None = None  # the one begun last
    stored: list[Step] = field(default_factory=list)
    failures: tuple[Failed, ...] = ()
    started: float | None = None
    finished: float | None = None
    error: str | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    weight: float = 0.0  # of the artifacts that were computed
    seconds: float = 0.0  # that they took

    @property
    def is_open(self) -> bool:
        return self.state in ("queued", "running", "cancelling")

    @property
    def is_begun(self) -> bool:
        return self.state in ("running", "cancelling")

    def view(self) -> JobView:
        left = [step for step in self.steps if step not in self.stored]
        turns = tuple(self.turns.values())
        first = turns[0] if turns else self.latest
        return JobView(
            id=self.id,
            title=self.title,
            state=self.state,
            specs=self.specs,
            progress=first.progress if first else WAITING,
            step=first.step if first else None,
            step_index=len(self.stored),
            n_steps=len(self.steps),
            failures=self.failures,
            eta_seconds=self._eta(turns or (first,), left) if self.state == "running" and first else None,
            error=self.error,
            submitted=self.submitted,
            started=self.started,
            finished=self.finished,
            without_circuit=tuple(step.spec for step in left if step.kind == "circuit")
            if self.steps or self.state == "done"
            else self.specs,
            kinds=self.kinds,
            plan=self.plan,
            steps_now=tuple(StepNow(turn.place, turn.step, turn.progress) for turn in turns),
        )

    def _eta(self, turns: Sequence[Turn], left: Sequence[Step]) -> float | None:
        """What is left is shared by those who compute, but none ends before its own artifact."""
        before = self.weight, self.seconds
        now = {turn.step.key for turn in turns}
        after = sum(WEIGHT[step.kind] for step in left if step.key not in now)
        whole = turns[0].left(before, after)
        if whole is None or len(turns) == 1:
            return whole
        others = [turn.left(before, 0.0) or 0.0 for turn in turns[1:]]
        return max(turns[0].left(before, 0.0) or 0.0, *others, (whole + sum(others)) / len(turns))
