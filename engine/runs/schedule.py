"""What is left to compute, and which artifact a worker computes next; shared by the threads of several workers.

1. A step can begin when what it needs is stored, and no other process computes it (cache/leases.py).
2. Of those that can, a worker gets one of the model that it has loaded (`keep_model`), else the first in the order of
   the plan whose model no other worker has loaded, else the first.
3. A step that fails takes those with it that need it; a circuit also the rest of its run, unless further runs share
   artifacts with it (`whole_runs`).
4. A step whose worker was lost is tried again, at most ATTEMPTS times.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import leases
from engine.errors import UserError
from engine.runs.cache_connection import store

if TYPE_CHECKING:
    from engine.runs.steps import Step

ATTEMPTS = 3


@dataclass(frozen=True)
class Failed:
    """An artifact that could not be computed, and why."""

    step: Step
    reason: str


class Failures(UserError):
    """Some artifacts could not be computed; the message is why the first could not."""

    def __init__(self, failures: Sequence[Failed]) -> None:
        super().__init__(failures[0].reason)
        self.failures = tuple(failures)


@dataclass(frozen=True)
class _Entry:
    """A step with what the schedule asks of it again and again, which takes hashing to tell."""

    step: Step
    key: str
    needs: frozenset[str]  # the keys of what is computed before it
    model: str  # what tells models apart, as the one that engine/runs/compute.py keeps loaded


class Schedule:
    """Steps, each of which is waiting, being computed, stored, failed or skipped. Safe to use from any thread."""

    def __init__(self, steps: Sequence[Step], keep_model: bool = False, whole_runs: bool = True) -> None:
        """`keep_model` and `whole_runs`: rules 2 and 3 of this module."""
        entries = [_Entry(step, step.key, frozenset(step.needs), step.run.keys["weights"]) for step in steps]
        self._waiting = {entry.key: entry for entry in entries}  # in the order of the plan
        self._computing: dict[str, _Entry] = {}
        self._failures: list[Failed] = []
        self._skipped: list[Step] = []
        self._lost: Counter[str] = Counter()  # how often the worker of a step was lost, by key
        self._loaded: dict[str, str] = {}  # worker -> the model that it has loaded
        self._keep_model, self._whole_runs, self._began = keep_model, whole_runs, time.time()
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    @property
    def failures(self) -> tuple[Failed, ...]:
        with self._changed:
            return tuple(self._failures)

    @property
    def skipped(self) -> tuple[Step, ...]:
        """Steps that cannot be computed, as what they need has failed."""
        with self._changed:
            return tuple(self._skipped)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to begin, nor may be again; or it was stopped."""
        with self._changed:
            return self._error is not None or not (self._waiting or self._computing)

    @property
    def error(self) -> BaseException | None:
        """What stopped it before its end."""
        with self._changed:
            return self._error

    def begin(self, worker: str = "") -> Step | None:
        """The next step for a worker, which holds its lease from now on; None: nothing can begin at the moment.

        What was begun ends with `end`, `fail` or `try_again`.
        """
        with self._changed:
            if self._error is not None:
                return None
            elsewhere = {model for other, model in self._loaded.items() if other != worker}
            for entry in sorted(self._ready(), key=lambda entry: self._rank(entry, worker, elsewhere)):
                lease = store().lease_of(entry.key)
                if not leases.take(lease, entry.step.description, worker, self._began) and leases.holder(lease):
                    continue
                self._computing[entry.key] = self._waiting.pop(entry.key)
                self._loaded[worker] = entry.model
                return entry.step
            return None

    def end(self, step: Step) -> None:
        """A step is stored."""
        with self._changed:
            del self._computing[step.key]
            self._changed.notify_all()

    def fail(self, step: Step, reason: str) -> None:
        """A step cannot be computed; those that need it are skipped, and of a circuit the rest of its run."""
        with self._changed:
            gone = {self._computing.pop(step.key).key}
            self._failures.append(Failed(step, reason))
            while without := [each for each in self._waiting.values() if self._is_without(each, gone)]:
                for each in without:
                    gone.add(each.key)
                    self._skipped.append(self._waiting.pop(each.key).step)
            self._changed.notify_all()

    def refuse(self, reason: str) -> None:
        """Nothing of it can be computed."""
        with self._changed:
            self._failures += [Failed(entry.step, reason) for entry in self._waiting.values()]
            self._waiting.clear()
            self._changed.notify_all()

    def try_again(self, step: Step, reason: str) -> bool:
        """The worker of a step was lost. After ATTEMPTS of them the step has failed, else True: it is tried again."""
        with self._changed:
            self._lost[step.key] += 1
            if self._lost[step.key] < ATTEMPTS:
                entry = self._computing.pop(step.key)
                self._waiting = {entry.key: entry, **self._waiting}
                self._changed.notify_all()
                return True
        self.fail(step, f"{reason} It was tried {ATTEMPTS} times.")
        return False

    def stop(self, error: BaseException) -> None:
        """Begin nothing more; what is being computed ends at its next report."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def wait(self, seconds: float) -> Step | None:
        """Wait until something has changed here, for so long at most.

        Returns the step that is waited for where it is another process's; None: it is computed here.
        """
        with self._changed:
            if self._error is None and self._waiting:
                self._changed.wait(seconds)
            return next(iter(self._waiting.values())).step if self._waiting and not self._computing else None

    def _ready(self) -> list[_Entry]:
        to_come = self._waiting.keys() | self._computing.keys()
        return [entry for entry in self._waiting.values() if not entry.needs & to_come]

    def _is_without(self, entry: _Entry, gone: set[str]) -> bool:
        return bool(gone & entry.needs) or (self._whole_runs and entry.step.run.key in gone)

    def _rank(self, entry: _Entry, worker: str, elsewhere: set[str]) -> int:
        if self._keep_model and self._loaded.get(worker) == entry.model:
            return 0
        return 2 if entry.model in elsewhere else 1
