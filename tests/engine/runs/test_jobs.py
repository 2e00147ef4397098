"""The queue with its real worker process: progress, cancel, failure, crash, order."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.runs import cache_connection, lifecycle, stored
from engine.runs.jobs import JobQueue, JobView
from engine.runs.provenance import resolve
from engine.runs.spec import RunSpec
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[3]
SPEC = RunSpec(n=4)


@pytest.fixture
def queue_of(workspace: Path) -> Iterator[Callable[..., JobQueue]]:
    """Make queues whose worker computes with a function of tests/fakes.py."""
    made: list[JobQueue] = []

    def make(compute: str, grace: float = 10.0) -> JobQueue:
        made.append(JobQueue(f"tests.fakes:{compute}", grace))
        return made[-1]

    yield make
    for queue in made:
        queue.close()


def finished(queue: JobQueue, id: str) -> JobView:
    until(lambda: not queue.job(id).is_open)
    return queue.job(id)


def test_a_job_computes_and_stores_every_run_once(
    queue_of: Callable[..., JobQueue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "computed"
    monkeypatch.setenv("FAKE_LOG", str(log))
    queue = queue_of("logging_compute")
    specs = [RunSpec(n=4, seed=seed) for seed in (5, 6)]
    view = finished(queue, queue.submit(specs, "two runs"))
    assert (view.state, view.error, view.title, view.failures) == ("done", None, "two runs", ())
    assert (view.step_index, view.n_steps) == (8, 8)  # accuracy and weights do not depend on the seed
    assert view.started is not None and view.finished is not None and view.submitted <= view.started <= view.finished
    assert {run.spec for run in stored.list_runs()} == set(specs)
    finished(queue, queue.submit([*specs, RunSpec(n=4, seed=7)], "one more"))
    computed = log.read_text().split()
    assert computed[:3] == ["5-circuit", "6-circuit", "6-ability"] and len(computed) == 8 + 3
    assert computed[8:] == ["7-circuit", "7-lens", "7-activity"]


def test_progress_is_seen_and_cancel_works_midway(queue_of: Callable[..., JobQueue]) -> None:
    queue = queue_of("slow_compute")
    first = queue.submit([SPEC], "long")
    second = queue.submit([RunSpec(n=4, seed=1)], "waiting")
    until(lambda: queue.job(first).progress.done > 5)
    view = queue.job(first)
    assert view.state == "running" and view.progress.stage == "Scoring edges" and view.progress.total == 600
    assert view.step and view.step.title == "circuit of the MDM" and (view.step_index, view.n_steps) == (0, 5)
    assert view.eta_seconds is not None and view.eta_seconds > 5
    assert queue.job(second).state == "queued" and queue.job(second).eta_seconds is None
    queue.cancel(second)
    assert queue.job(second).state == "cancelled"
    queue.cancel(first)
    assert finished(queue, first).state == "cancelled"
    assert queue.job(first).progress.done < 600
    assert stored.list_runs() == []


def test_cancel_answers_at_once(queue_of: Callable[..., JobQueue]) -> None:
    queue = queue_of("deaf_compute", grace=1.0)
    job = queue.submit([SPEC], "deaf")
    until(lambda: queue.job(job).progress.done > 0)
    began = time.monotonic()
    queue.cancel(job)
    view = queue.job(job)
    assert time.monotonic() - began < 0.1
    assert (view.state, view.is_open, view.is_wanted, view.eta_seconds) == ("cancelling", True, False, None)
    queue.cancel(job)  # again is no matter
    assert finished(queue, job).state == "cancelled"
    queue.cancel(job)
    assert queue.job(job).state == "cancelled"


def test_finished_jobs_say_what_they_made_and_can_be_dismissed(queue_of: Callable[..., JobQueue]) -> None:
    queue = queue_of("moody_compute")
    specs = [RunSpec(n=4, seed=seed) for seed in (1, 2, 13, 3)]
    done, failed = queue.submit(specs[:2], "two"), queue.submit(specs[1:], "three")
    assert queue.job(failed).made == ()
    queue.dismiss(failed)  # it is not finished: it stays
    assert finished(queue, done).made == tuple(specs[:2])
    assert (finished(queue, failed).state, queue.job(failed).made) == ("failed", (specs[1], specs[3]))
    for _ in range(2):  # another tab may have been quicker
        queue.dismiss(failed)
    assert [view.id for view in queue.jobs()] == [done]
    assert len(stored.list_runs()) == 3
    with pytest.raises(UserError, match="no job"):
        queue.cancel(failed)


def test_failures_are_sentences_and_the_queue_goes_on(queue_of: Callable[..., JobQueue]) -> None:
    queue = queue_of("moody_compute")
    ids = [queue.submit([RunSpec(n=4, seed=seed)], str(seed)) for seed in (13, 14, 15, 1)]
    refused, broken, crashed, fine = (finished(queue, job) for job in ids)
    assert refused.state == "failed" and refused.error == "There is no model in this folder. Choose another pair."
    assert broken.error == "RuntimeError while computing embedded / mdm / ioi: shapes do not match"
    assert crashed.state == "failed" and crashed.error is not None and "exit code 9" in crashed.error
    assert fine.state == "done"
    assert [run.spec.seed for run in stored.list_runs()] == [1]


def test_a_failing_job_keeps_what_it_finished(queue_of: Callable[..., JobQueue]) -> None:
    queue = queue_of("moody_compute")
    view = finished(queue, queue.submit([RunSpec(n=4, seed=seed) for seed in (1, 13, 2)], "three"))
    assert (view.state, view.made) == ("failed", (RunSpec(n=4, seed=1), RunSpec(n=4, seed=2)))
    (failure,) = view.failures
    assert (failure.step.spec.seed, failure.step.kind) == (13, "circuit") and failure.reason == view.error
    assert sorted(run.spec.seed for run in stored.list_runs()) == [1, 2]


def test_an_artifact_that_fails_leaves_the_rest_of_its_run(queue_of: Callable[..., JobQueue]) -> None:
    queue = queue_of("blind_compute")
    view = finished(queue, queue.submit([SPEC], "blind"))
    assert (view.state, view.made, view.error) == ("failed", (SPEC,), "The unembedding is not here.")
    assert [(failure.step.kind, failure.reason) for failure in view.failures] == [("lens", view.error)]
    run = lifecycle.find(SPEC)
    assert run and stored.missing(run) == ("lens",)


def test_a_cancelled_job_keeps_the_artifacts_that_it_finished(queue_of: Callable[..., JobQueue]) -> None:
    queue = queue_of("stuck_compute")
    job = queue.submit([SPEC], "stuck")
    until(lambda: queue.job(job).step_index == 2)
    queue.cancel(job)
    view = finished(queue, job)
    assert (view.state, view.made, view.n_steps) == ("cancelled", (SPEC,), 5)
    run = lifecycle.find(SPEC)
    assert run and stored.missing(run) == ("lens", "activity", "weights")


def test_a_job_that_waits_for_another_process_can_be_cancelled(queue_of: Callable[..., JobQueue]) -> None:
    lease = cache_connection.store().lease_of(resolve(SPEC).keys["ability"])
    lease.write_text(json.dumps({"pid": 1, "host": "elsewhere", "machine": "elsewhere", "since": time.time()}))
    queue = queue_of("tiny_compute")
    job = queue.submit([SPEC], "waiting")
    until(lambda: queue.job(job).progress.stage.startswith("waiting for process 1 on elsewhere"))
    assert (queue.job(job).state, queue.job(job).step_index) == ("running", 4)
    queue.cancel(job)
    assert finished(queue, job).state == "cancelled"
    assert lease.exists() and stored.missing(stored.list_runs()[0]) == ("ability",)


def test_jobs_are_done_in_the_order_of_submission(queue_of: Callable[..., JobQueue]) -> None:
    queue = queue_of("tiny_compute")
    ids = [queue.submit([RunSpec(n=4, seed=seed)], str(seed)) for seed in (3, 1, 2)]
    for job in ids:
        finished(queue, job)
    assert [view.id for view in queue.jobs()] == ids
    assert [run.spec.seed for run in stored.list_runs()] == [2, 1, 3]  # newest first


def test_what_cannot_be_asked_for_is_refused_at_once(queue_of: Callable[..., JobQueue]) -> None:
    queue = queue_of("tiny_compute")
    with pytest.raises(UserError, match="nothing to compute"):
        queue.submit([], "none")
    with pytest.raises(UserError, match="pair called 'x'"):
        queue.submit([SPEC, RunSpec(pair="x")], "wrong pair")
    with pytest.raises(UserError, match="no job 'job-9'"):
        queue.cancel("job-9")
    assert queue.jobs() == []
