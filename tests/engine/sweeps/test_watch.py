"""The watch of a sweep: what is being done, how much is stored, how long the rest takes."""

from __future__ import annotations

import pytest

from engine.runs.records import Progress
from engine.sweeps import cost, watch
from engine.sweeps.watch import Ended, Watch
from tests.engine.sweeps.sweeping import planned

pytestmark = pytest.mark.usefixtures("workspace")


def test_it_knows_what_each_worker_does() -> None:
    steps = planned(models=["mdm"]).steps
    seen = Watch(steps)
    seen.begins("b", steps[0])
    seen.begins("a", steps[1])
    seen.reports("b", Progress("edge scores", 3, 8))
    seen.reports("nobody", Progress("edge scores", 3, 8))
    assert [(doing.worker, doing.what, doing.progress) for doing in seen.doing] == [
        ("a", steps[1].description, Progress("starting", 0, 0)),
        ("b", steps[0].description, Progress("edge scores", 3, 8)),
    ]
    seen.stored("b", steps[0], 1.0)
    assert [doing.worker for doing in seen.doing] == ["a"] and (seen.stored_steps, seen.steps) == (1, 5)


def test_what_ended_is_told_once() -> None:
    steps, ended = planned(models=["mdm"]).steps, list[Ended]()
    seen = Watch(steps, ended.append)
    seen.stored("a", steps[0], 2.5)
    seen.failed("b", steps[1], "No room.")
    assert ended == [
        Ended("a", steps[0].description, 2.5),
        Ended("b", steps[1].description, 0.0, "No room."),
    ]
    assert seen.stored_steps == 1


def test_time_left_is_in_proportion_to_the_estimated_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    steps = planned(models=["mdm"]).steps
    seen = Watch(steps)
    now[0] = 110.0
    assert seen.seconds == 10.0 and seen.seconds_left is None
    seen.stored("a", steps[0], 10.0)
    costs = [cost.multiplications(step.spec, step.kind) for step in steps]
    assert seen.seconds_left == pytest.approx(10.0 * sum(costs[1:]) / costs[0])
    for step in steps[1:]:
        seen.stored("a", step, 1.0)
    assert seen.seconds_left == 0.0
