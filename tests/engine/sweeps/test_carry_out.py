"""Several workers on one sweep: equal results however many there are; a lost worker, a failing step, an end midway."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cache.leases import Lease
from engine import settings
from engine.errors import UserError
from engine.runs.cache_connection import store
from engine.runs.execution import OnProgress, WorkerLost, keep
from engine.runs.records import ArtifactTables, Progress
from engine.runs.schedule import ATTEMPTS, Schedule
from engine.runs.steps import Step
from engine.runs.worker import Worker
from engine.sweeps.carry_out import carry_out
from engine.sweeps.watch import Watch
from tests.contents import contents
from tests.engine.sweeps.sweeping import Here, carried_out, compute_here, local, planned
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("workspace")

ROOT = Path(__file__).resolve().parents[3]
GRID = {"models": ["arm", "mdm"], "seeds": [0, 1], "evidence": ["audit", "faithfulness"]}


def stored() -> set[str]:
    return {record.key for record in store().records()}


def leases() -> list[Lease]:
    """Those that are held; a killed process can leave one of an artifact that it had just stored."""
    return store().leases()


def test_processes_compute_what_one_thread_does(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contained = []
    for count in (0, 1, 3):
        monkeypatch.setenv("CIRCUITS_CACHE", str(workspace / f"cache-{count}"))
        steps = planned(**GRID).steps
        workers = local("tiny_compute", count) if count else [Here("here", compute_here)]
        schedule = carried_out(steps, workers)
        assert not schedule.failures and not schedule.skipped and not leases()
        contained.append(contents(settings.cache_dir()))
    assert len(contained[0]) == len(steps) == 16 + 8
    assert contained[0] == contained[1] == contained[2]


def test_a_killed_process_is_replaced_and_nothing_is_lost_or_doubled(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker kills itself in the middle of its third artifact, once."""
    log = workspace / "log"
    monkeypatch.setenv("FAKE_LOG", str(log))
    steps = planned(models=["arm", "mdm"]).steps
    schedule = carried_out(steps, local("mortal_compute", 1))
    assert not schedule.failures
    assert stored() == {step.key for step in steps}
    begun = log.read_text().split()
    assert len(begun) == len(steps) + 1 and len(set(begun)) == len(steps)  # the one that was lost, twice


def test_a_process_that_dies_every_time_fails_its_step_alone() -> None:
    steps = planned(models=["mdm"], seeds=[0, 15]).steps
    schedule = carried_out(steps, local("moody_compute", 2))
    assert schedule.failures and {failed.step.spec.seed for failed in schedule.failures} == {15}
    for failed in schedule.failures:
        assert f"It was tried {ATTEMPTS} times" in failed.reason and "exit code 9" in failed.reason
    ended = {step.key for step in (*schedule.skipped, *(failed.step for failed in schedule.failures))}
    assert stored() == {step.key for step in steps} - ended and len(stored()) == 5


def test_a_refused_step_leaves_the_others() -> None:
    steps = planned(models=["mdm"], seeds=[0, 13]).steps
    schedule = carried_out(steps, local("moody_compute", 2))
    assert {failed.step.spec.seed for failed in schedule.failures} == {13}
    assert schedule.failures[0].reason == "There is no model in this folder. Choose another pair."
    assert len(stored()) == 5


def test_a_lost_worker_starts_anew_and_its_step_is_told_as_lost() -> None:
    lost: list[str] = []

    def losing(step: Step, on_progress: OnProgress) -> ArtifactTables:
        if not lost:
            lost.append(step.key)
            raise WorkerLost("The machine is gone.")
        return compute_here(step, on_progress)

    steps = planned(models=["mdm"]).steps
    ends: list[tuple[str, str]] = []
    schedule_ends = Watch(steps, lambda ended: ends.append((ended.what, ended.failed)))
    carry_out(Schedule(steps), [Here("here", losing)], schedule_ends)
    assert ends[0][1] == "The machine is gone. It is tried again." and [failed for _, failed in ends[1:]] == [""] * 5
    assert schedule_ends.stored_steps == 5 and schedule_ends.doing == ()


def test_what_a_worker_stored_itself_is_not_stored_again() -> None:
    def storing(step: Step, on_progress: OnProgress) -> None:
        keep(step, compute_here(step, on_progress), 1.5)

    steps = planned(models=["mdm"]).steps
    carried_out(steps, [Here("here", storing)])
    assert {record.seconds for record in store().records()} == {1.5} and len(stored()) == 5


def test_a_bug_ends_the_sweep_with_a_sentence_and_closes_all_workers() -> None:
    barrier = threading.Event()

    def broken(step: Step, on_progress: OnProgress) -> ArtifactTables:
        raise ZeroDivisionError("no")

    def waiting(step: Step, on_progress: OnProgress) -> ArtifactTables:
        until(lambda: barrier.wait(0.01) or on_progress_raises(on_progress), 20)
        raise AssertionError

    def on_progress_raises(on_progress: OnProgress) -> bool:
        on_progress(Progress("edge scores", 1, 2))
        return False

    workers = [Here("first", broken), Here("second", waiting)]
    with pytest.raises(UserError, match="first stopped with ZeroDivisionError: no"):
        carried_out(planned(models=["arm", "mdm"]).steps, workers)
    assert all(worker.closed for worker in workers) and not leases() and not stored()


def test_a_cache_that_cannot_be_written_is_told_before_anything_is_computed() -> None:
    steps, partial = planned(models=["mdm"]).steps, store().partial
    partial.rmdir()
    partial.write_text("no folder")
    with pytest.raises(UserError, match="cannot be written"):
        carried_out(steps, [Here("here", lambda step, on_progress: pytest.fail("computed"))])


def test_a_process_with_its_threads_and_no_more(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_LOG", str(workspace / "log"))
    (worker,) = local("environment_compute", 1)
    carried_out(planned(models=["mdm"], artifacts=["circuit"]).steps, [worker])
    assert (workspace / "log").read_text().split() == ["OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1"]


DRIVER = """
import sys
from tests.engine.sweeps.sweeping import carried_out, local, planned
carried_out(planned(models=["arm", "mdm"], seeds=[0, 1]).steps, local("slow_logging_compute", 2))
"""


def test_a_killed_driver_leaves_what_was_stored_and_the_next_goes_on(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = workspace / "log"
    log.touch()
    monkeypatch.setenv("FAKE_LOG", str(log))
    steps = planned(models=["arm", "mdm"], seeds=[0, 1]).steps
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], cwd=ROOT, env=dict(os.environ))
    until(lambda: len(stored()) >= 3)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    until(lambda: _gone(log))
    before = stored()
    left = planned(models=["arm", "mdm"], seeds=[0, 1]).steps
    assert len(left) == len(steps) - len(before)
    log.write_text("")
    carried_out(left, local("slow_logging_compute", 2))
    assert stored() == {step.key for step in steps} and not leases()
    computed = [line for line in log.read_text().split() if not line.startswith("pid")]
    assert len(computed) == len(left)  # nothing that was stored is computed again


def _gone(log: Path) -> bool:
    """Whether the workers of a killed driver have ended by themselves."""
    pids = {int(line.removeprefix("pid")) for line in log.read_text().split() if line.startswith("pid")}
    return bool(pids) and not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_closing_ends_the_process_in_the_middle_of_a_computation() -> None:
    (worker,) = local("deaf_compute", 1)
    steps = planned(models=["mdm"]).steps
    began = threading.Event()

    def compute_it() -> None:
        with pytest.raises(BaseException):  # noqa: B017, PT011
            worker.compute(steps[0], lambda progress: began.set())

    thread = threading.Thread(target=compute_it)
    thread.start()
    assert began.wait(20)
    process = worker._worker._process  # type: ignore[attr-defined]
    worker.close()
    thread.join(20)
    assert not thread.is_alive() and process.poll() is not None
    assert isinstance(worker._worker, Worker)  # type: ignore[attr-defined]
