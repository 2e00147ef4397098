"""The queue on a machine with several GPUs, which are invented: its processes report which of them they see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from engine.runs import device_plan, gpu_slots, lifecycle, stored
from engine.runs.device_plan import GIB
from engine.runs.jobs import JobQueue, JobView
from engine.runs.spec import RunSpec
from tests.waiting import until

BOTH = [RunSpec(n=4, model="arm"), RunSpec(n=4)]
MakeQueue = Callable[..., JobQueue]


@pytest.fixture
def queue_of(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeQueue]:
    """Queues of two GPUs, numbers 4 and 7 of the machine; a circuit waits for so many others."""
    monkeypatch.setattr(device_plan, "_gpus", lambda: ((80 * GIB, 80 * GIB), (80 * GIB, 80 * GIB)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 7")
    monkeypatch.setenv("FAKE_GATES", str(tmp_path / "gates"))
    (tmp_path / "gates").mkdir()
    made: list[JobQueue] = []

    def make(circuits: int, compute: str = "meeting_compute") -> JobQueue:
        monkeypatch.setenv("FAKE_CIRCUITS", str(circuits))
        made.append(JobQueue(f"tests.fakes:{compute}"))
        return made[-1]

    yield make
    for queue in made:
        queue.close()
        assert all(slot._worker._process is None for slot in queue._slots)


def finished(queue: JobQueue, id: str) -> JobView:
    until(lambda: not queue.job(id).is_open)
    return queue.job(id)


def seen(folder: Path) -> dict[str, str]:
    """Which GPUs what was computed saw."""
    return {file.name: file.read_text() for file in (folder / "gates").iterdir() if not file.name.startswith(".")}


def test_two_models_of_a_job_are_computed_at_once_each_on_its_gpu(queue_of: MakeQueue, tmp_path: Path) -> None:
    queue = queue_of(circuits=2)
    view = finished(queue, queue.submit(BOTH, "both"))
    assert (view.state, view.error, view.step_index, view.n_steps) == ("done", None, 10, 10)
    circuits = {seen(tmp_path)[name] for name in ("arm-0-circuit", "mdm-0-circuit")}
    assert circuits == {"4", "7"}
    assert set(seen(tmp_path).values()) == {"4", "7"} and view.steps_now == ()
    assert len(stored.list_runs()) == 2


def test_what_each_gpu_does_is_shown_and_cancelled_together(queue_of: MakeQueue) -> None:
    queue = queue_of(circuits=3)
    job = queue.submit(BOTH, "both")
    until(lambda: [now.progress.stage for now in queue.job(job).steps_now] == ["Waiting for others"] * 2)
    view = queue.job(job)
    assert {now.place for now in view.steps_now} == {"GPU 0", "GPU 1"}
    assert {now.step.title for now in view.steps_now} == {"circuit of the ARM", "circuit of the MDM"}
    assert (view.step, view.state) == (view.steps_now[0].step, "running")
    queue.cancel(job)
    assert finished(queue, job).state == "cancelled"
    assert queue.job(job).steps_now == () and stored.list_runs() == []


def test_two_jobs_run_side_by_side(queue_of: MakeQueue, tmp_path: Path) -> None:
    queue = queue_of(circuits=2)
    jobs = [queue.submit([RunSpec(n=4, seed=seed)], str(seed)) for seed in (1, 2)]
    assert [finished(queue, job).state for job in jobs] == ["done", "done"]
    assert {seen(tmp_path)[f"mdm-{seed}-circuit"] for seed in (1, 2)} == {"4", "7"}


def test_an_error_of_one_gpu_leaves_the_other(queue_of: MakeQueue) -> None:
    queue = queue_of(0, "moody_compute")
    view = finished(queue, queue.submit([RunSpec(n=4, seed=15, model="arm"), RunSpec(n=4)], "one dies"))
    assert view.state == "failed" and view.error is not None and "exit code 9" in view.error
    assert [failure.step.spec.model for failure in view.failures] == ["arm"]
    run = lifecycle.find(RunSpec(n=4))
    assert run and stored.missing(run) == ()


def test_a_large_model_waits_for_all_its_gpus_and_nothing_begins_meanwhile(
    queue_of: MakeQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_slots, "gpus_of", lambda steps: 2 if steps[0].spec.seed in (2, 3) else 1)
    queue = queue_of(circuits=2)
    small, large, another, last = (queue.submit([RunSpec(n=4, seed=seed)], str(seed)) for seed in (1, 2, 3, 4))
    until(lambda: queue.job(large).state == "running" and bool(queue.job(small).steps_now))
    assert queue.job(large).steps_now == () and queue.job(last).state == "queued"
    (tmp_path / "gates" / "another-circuit").write_text("4")  # lets the small one end
    views = [finished(queue, job) for job in (small, large, another, last)]
    assert [view.state for view in views] == ["done"] * 4
    by_seed = {seed: {gpus for name, gpus in seen(tmp_path).items() if f"mdm-{seed}-" in name} for seed in (2, 3)}
    assert by_seed == {2: {"4,7"}, 3: {"4,7"}}
    assert seen(tmp_path)["mdm-4-circuit"] in ("4", "7")
    assert all(first.finished <= second.finished for first, second in pairwise(views))  # type: ignore[operator]


def test_a_large_model_that_waits_can_be_cancelled(queue_of: MakeQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_slots, "gpus_of", lambda steps: 2 if steps[0].spec.seed == 2 else 1)
    queue = queue_of(circuits=2)
    small, large = (queue.submit([RunSpec(n=4, seed=seed)], str(seed)) for seed in (1, 2))
    until(lambda: queue.job(large).n_steps > 0 and bool(queue.job(small).steps_now))
    queue.cancel(large)
    assert finished(queue, large).state == "cancelled" and queue.job(small).state == "running"
