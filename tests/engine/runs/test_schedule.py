"""The schedule of several workers: each step once, in the order of what needs what, models kept, failures contained."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from cache import leases
from engine.runs import evidence
from engine.runs.cache_connection import store
from engine.runs.execution import plan
from engine.runs.provenance import resolve
from engine.runs.schedule import ATTEMPTS, Schedule
from engine.runs.spec import RunSpec
from engine.runs.steps import Step

pytestmark = pytest.mark.usefixtures("workspace")

MDM = RunSpec(n=4)
ARM = replace(MDM, model="arm")


def planned(*specs: RunSpec) -> list[Step]:
    return plan([resolve(spec) for spec in specs])


def name(step: Step | None) -> tuple[str, str] | None:
    return (step.spec.model, step.kind) if step else None


def end(schedule: Schedule, step: Step | None) -> None:
    assert step
    leases.give_back(store().lease_of(step.key))
    schedule.end(step)


def begun(schedule: Schedule, worker: str) -> Step:
    step = schedule.begin(worker)
    assert step
    return step


def test_one_worker_follows_the_plan() -> None:
    steps = planned(ARM, MDM)
    schedule, order = Schedule(steps), []
    while not schedule.is_over:
        step = begun(schedule, "a")
        order.append(step)
        end(schedule, step)
    assert order == steps and schedule.begin("a") is None


def test_two_workers_take_different_models() -> None:
    schedule = Schedule(planned(ARM, MDM))
    first, second = begun(schedule, "a"), begun(schedule, "b")
    assert (name(first), name(second)) == (("arm", "circuit"), ("mdm", "circuit"))
    end(schedule, first)
    assert name(schedule.begin("a")) == ("arm", "ability")  # though the MDM's comes first in the plan


def test_a_worker_without_a_model_of_its_own_helps_another() -> None:
    schedule = Schedule(planned(MDM))
    assert name(begun(schedule, "a")) == ("mdm", "circuit")
    assert name(begun(schedule, "b")) == ("mdm", "ability")


def test_models_are_kept_loaded_where_that_is_asked() -> None:
    in_order, keeping = Schedule(planned(ARM, MDM)), Schedule(planned(ARM, MDM), keep_model=True)
    for schedule in (in_order, keeping):
        end(schedule, begun(schedule, "a"))
    assert name(in_order.begin("a")) == ("mdm", "circuit")
    end(in_order, Step(resolve(MDM), "circuit"))
    assert name(keeping.begin("a")) == ("arm", "ability")


def test_evidence_begins_when_its_circuits_are_stored() -> None:
    schedule = Schedule(evidence.plan([ARM], ["faithfulness", "audit"]))
    first, second = begun(schedule, "a"), begun(schedule, "b")
    assert {first.kind, second.kind} == {"circuit"} and schedule.begin("c") is None
    end(schedule, first if first.spec.is_arm else second)
    assert name(schedule.begin("c")) == ("arm", "audit") and schedule.begin("d") is None
    end(schedule, second if first.spec.is_arm else first)
    assert name(schedule.begin("d")) == ("arm", "faithfulness")


def test_what_needs_a_failed_step_is_skipped_and_nothing_else() -> None:
    runs = planned(ARM, MDM)
    schedule = Schedule([*runs, *evidence.plan([ARM], ["faithfulness", "audit"])[2:]])
    step = begun(schedule, "a")
    schedule.fail(step, "It is broken.")
    assert [(name(failed.step), failed.reason) for failed in schedule.failures] == [
        (("arm", "circuit"), "It is broken.")
    ]
    assert {name(step) for step in schedule.skipped} == {
        *(("arm", kind) for kind in ("ability", "lens", "activity", "weights", "faithfulness", "audit"))
    }
    while (step := schedule.begin("a")) is not None:
        assert step.spec.model == "mdm"
        end(schedule, step)
    assert schedule.is_over


def test_where_runs_share_artifacts_a_failed_circuit_takes_along_only_what_needs_it() -> None:
    schedule = Schedule([*planned(ARM), *evidence.plan([ARM], ["audit"])[1:]], whole_runs=False)
    schedule.fail(begun(schedule, "a"), "It is broken.")
    assert [name(step) for step in schedule.skipped] == [("arm", "audit")]
    kinds = []
    while (step := schedule.begin("a")) is not None:
        kinds.append(step.kind)
        end(schedule, step)
    assert kinds == ["ability", "lens", "activity", "weights"]


def test_all_of_it_can_be_refused() -> None:
    schedule = Schedule(planned(MDM))
    schedule.refuse("There is no room.")
    assert schedule.is_over and [failed.reason for failed in schedule.failures] == ["There is no room."] * 5


def test_a_lost_step_comes_next_and_fails_in_the_end() -> None:
    schedule = Schedule(planned(MDM)[:2])
    first = begun(schedule, "a")
    for _ in range(ATTEMPTS - 1):
        leases.give_back(store().lease_of(first.key))
        assert schedule.try_again(first, "The worker ended.")
        assert schedule.failures == () and begun(schedule, "b") == first
    assert not schedule.try_again(first, "The worker ended.")
    assert [failed.reason for failed in schedule.failures] == [f"The worker ended. It was tried {ATTEMPTS} times."]


def test_it_is_not_over_while_a_step_may_come_back() -> None:
    schedule = Schedule(planned(MDM)[:1])
    step = begun(schedule, "a")
    assert schedule.begin("b") is None and not schedule.is_over
    assert schedule.wait(0.0) is None  # it is computed here
    threading.Timer(0.05, lambda: end(schedule, step)).start()
    while not schedule.is_over:
        schedule.wait(5.0)
    assert schedule.begin("b") is None


def test_stopped_it_begins_nothing_more() -> None:
    schedule = Schedule(planned(MDM))
    begun(schedule, "a")
    schedule.stop(KeyboardInterrupt())
    assert schedule.begin("b") is None and schedule.is_over and isinstance(schedule.error, KeyboardInterrupt)


def test_many_threads_begin_every_step_once() -> None:
    steps = planned(ARM, MDM, replace(MDM, seed=1), replace(MDM, task="sudoku"))
    schedule, taken = Schedule(steps, keep_model=True), list[Step]()

    def work(worker: str) -> None:
        while not schedule.is_over:
            step = schedule.begin(worker)
            if step is None:
                schedule.wait(0.01)
                continue
            taken.append(step)
            end(schedule, step)

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(step.key for step in taken) == sorted(step.key for step in steps)
