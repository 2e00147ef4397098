"""The worker computes in a process of its own what this process would, and ends when it is told to or left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.errors import Cancelled, UserError
from engine.runs.lifecycle import ignore
from engine.runs.records import Progress
from engine.runs.spec import RunSpec
from engine.runs.worker import Worker, compute_named
from engine.schema.artifacts import KINDS, tables_in
from tests.fakes import REMARK, Holding, tiny_compute

ROOT = Path(__file__).resolve().parents[3]
SPEC = RunSpec(n=4)


@pytest.fixture
def worker_of(workspace: Path) -> Iterator[Callable[..., Worker]]:
    """Make workers that compute with a function of tests/fakes.py."""
    made: list[Worker] = []

    def make(compute: str, grace: float = 10.0) -> Worker:
        made.append(Worker(f"tests.fakes:{compute}", grace))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


def cancelled(worker: Worker) -> None:
    """Compute, and cancel at the first report."""
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        worker.compute(SPEC, "circuit", lambda progress: cancel.set(), cancel)


def test_what_the_process_computes_equals_what_this_one_would(worker_of: Callable[..., Worker]) -> None:
    worker = worker_of("tiny_compute")
    for kind in KINDS:
        reports: list[Progress] = []
        computed = worker.compute(SPEC, kind, reports.append, threading.Event())
        expected = tiny_compute(SPEC, kind, ignore)
        assert json.dumps(computed.meta) == json.dumps(expected.meta)
        assert computed.tables.keys() == expected.tables.keys() == set(tables_in(kind))
        for name, table in computed.tables.items():
            assert table.equals(expected.tables[name]), name
        assert all(isinstance(report, Progress) for report in reports)


def test_the_model_is_given_up_when_nothing_more_is_wanted(
    worker_of: Callable[..., Worker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    worker = worker_of("Holding")
    worker.release()  # there is no process yet
    for _ in range(2):
        worker.compute(SPEC, "circuit", ignore, threading.Event())
    worker.release()
    worker.compute(SPEC, "ability", ignore, threading.Event())
    assert (tmp_path / "log").read_text().split() == ["load", "circuit", "circuit", "close", "load", "ability"]


def test_remarks_come_through_the_process(worker_of: Callable[..., Worker]) -> None:
    computed = worker_of("remarked_compute").compute(SPEC, "circuit", ignore, threading.Event())
    assert computed.meta["remarks"] == [REMARK, "And another."]


def test_the_process_stays_warm_after_a_cancel_and_after_refusals(worker_of: Callable[..., Worker]) -> None:
    worker = worker_of("slow_compute")
    cancelled(worker)
    process = worker._process
    cancelled(worker)
    assert process is not None and process is worker._process and process.poll() is None


def test_refusals_and_failures_are_sentences(worker_of: Callable[..., Worker]) -> None:
    worker = worker_of("moody_compute")
    for seed, message in (
        (13, "There is no model in this folder"),
        (14, "RuntimeError while computing embedded / mdm / ioi: shapes do not match"),
        (15, "ended unexpectedly .exit code 9."),
    ):
        with pytest.raises(UserError, match=message):
            worker.compute(RunSpec(n=4, seed=seed), "circuit", ignore, threading.Event())
    assert worker.compute(SPEC, "circuit", ignore, threading.Event()).meta["n_layers"] == 2


def test_a_process_that_does_not_answer_is_killed(worker_of: Callable[..., Worker]) -> None:
    worker = worker_of("deaf_compute", grace=0.3)
    cancelled(worker)
    assert worker._process is None
    assert worker.close() is None  # there is none to end


def test_a_compute_is_named_by_its_module() -> None:
    assert compute_named("tests.fakes:tiny_compute") is tiny_compute
    assert isinstance(compute_named("tests.fakes:Holding"), Holding)


PARENT = """
import sys, time
from engine.runs.jobs import JobQueue
from engine.runs.spec import RunSpec
queue = JobQueue("tests.fakes:deaf_compute")
queue.submit([RunSpec(n=4)], "deaf")
while not (queue._slots[0]._worker._process and queue.jobs()[0].progress.done):
    time.sleep(0.02)
print(queue._slots[0]._worker._process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.usefixtures("workspace")
def test_the_worker_ends_with_the_process_that_started_it() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout
    child = int(parent.stdout.readline())
    assert is_alive(child)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    limit = time.monotonic() + 60
    while is_alive(child):
        assert time.monotonic() < limit, "the process is still there"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended but was not reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
