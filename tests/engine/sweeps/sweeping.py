"""Sweeps for tests: their plan on the fake pair, and workers that compute with a function of tests/fakes.py."""

from __future__ import annotations

from engine.runs.execution import OnProgress
from engine.runs.records import ArtifactTables
from engine.runs.schedule import Schedule
from engine.runs.steps import Step
from engine.sweeps.carry_out import StepWorker, carry_out
from engine.sweeps.local_workers import LocalWorker, threads_of
from engine.sweeps.plan import SweepPlan, Wanted, plan, wanted
from engine.sweeps.sweep_file import Sweep, sweep_of
from engine.sweeps.watch import Watch
from tests.fakes import tiny_compute


def sweep(**table: object) -> Sweep:
    return sweep_of("grid", {"n": 4, **table}, "The sweep grid.toml")


def all_of(**table: object) -> list[Wanted]:
    return wanted(sweep(**table))


def planned(**table: object) -> SweepPlan:
    return plan(all_of(**table))


def local(compute: str, count: int = 2) -> list[StepWorker]:
    return [LocalWorker(f"worker {number}", f"tests.fakes:{compute}", threads_of(1)) for number in range(1, count + 1)]


def carried_out(steps: tuple[Step, ...], workers: list[StepWorker]) -> Schedule:
    schedule = Schedule(steps, keep_model=True)
    carry_out(schedule, workers, Watch(steps))
    return schedule


class Here:
    """A worker in this process, which computes with `compute`."""

    def __init__(self, name: str, compute: object) -> None:
        self.name, self.closed = name, False
        self._compute = compute

    def start(self, on_progress: OnProgress) -> None:
        """It needs no place."""

    def compute(self, step: Step, on_progress: OnProgress) -> ArtifactTables | None:
        return self._compute(step, on_progress)  # type: ignore[operator, no-any-return]

    def close(self) -> None:
        self.closed = True


def compute_here(step: Step, on_progress: OnProgress) -> ArtifactTables:
    """`tiny_compute` in this process."""
    inputs = step.inputs()
    return tiny_compute(step.spec, step.kind, on_progress, *([inputs] if inputs else []))
