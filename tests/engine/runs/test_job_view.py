"""What a job shows: of several artifacts at once the first, and a time left that they share."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from engine.runs.execution import plan
from engine.runs.job_view import WAITING, Job, Turn
from engine.runs.provenance import resolve
from engine.runs.records import Progress
from engine.runs.spec import RunSpec
from engine.runs.steps import Step
from engine.runs.time_left import WEIGHT

SPECS = (RunSpec(n=4, model="arm"), RunSpec(n=4))


@pytest.fixture
def steps(workspace: Path) -> tuple[Step, ...]:
    return tuple(plan([resolve(spec) for spec in SPECS]))


def turn(place: str, step: Step, seconds: float, share: float) -> Turn:
    """One that began so long ago and has done so much."""
    since = time.monotonic() - seconds
    return Turn(place, step, Progress("Scoring", int(100 * share), 100), since, since)


def test_a_job_that_waits_shows_nothing_yet() -> None:
    view = Job("1", "both", SPECS, 0.0).view()
    assert (view.progress, view.step, view.steps_now, view.eta_seconds) == (WAITING, None, (), None)
    assert view.without_circuit == SPECS and view.is_open and view.is_wanted and view.made == ()


def test_the_first_of_several_is_the_current_one(steps: tuple[Step, ...]) -> None:
    turns = [turn("GPU 1", steps[1], 9.0, 0.2), turn("GPU 0", steps[0], 5.0, 0.5)]
    job = Job("1", "both", SPECS, 0.0, state="running", steps=steps, turns={t.step.key: t for t in turns})
    view = job.view()
    assert (view.step, view.progress.done, view.n_steps) == (steps[1], 20, 10)
    assert [(now.place, now.step) for now in view.steps_now] == [("GPU 1", steps[1]), ("GPU 0", steps[0])]
    job.turns, job.latest = {}, turns[1]
    assert (job.view().step, job.view().steps_now) == (steps[0], ())


def test_the_time_left_is_shared_but_none_ends_before_its_own_artifact(steps: tuple[Step, ...]) -> None:
    first, second = turn("GPU 0", steps[0], 10.0, 0.5), turn("GPU 1", steps[1], 10.0, 0.1)
    both = {first.step.key: first, second.step.key: second}
    rest = sum(WEIGHT[step.kind] for step in steps[2:])
    job = Job("1", "both", SPECS, 0.0, state="running", steps=steps, turns=both)
    # the first has 10 s left of 20, the second 90 s; what follows takes 20 s a unit of weight
    assert job.view().eta_seconds == pytest.approx(max(90.0, (10 + 90 + 20 * rest) / 2), rel=0.02)
    job.stored = list(steps[2:])
    assert job.view().eta_seconds == pytest.approx(90.0, rel=0.02)
    job.turns = {first.step.key: first}
    job.stored = list(steps[1:])
    assert job.view().eta_seconds == pytest.approx(10.0, rel=0.02)


def test_a_stage_begins_with_its_first_report(steps: tuple[Step, ...]) -> None:
    now = turn("", steps[0], 10.0, 0.5)
    began = now.stage_began
    now.report(Progress("Scoring", 60, 100))
    assert now.stage_began == began
    now.report(Progress("Storing", 0, 1))
    assert now.stage_began > began and now.progress.stage == "Storing"
