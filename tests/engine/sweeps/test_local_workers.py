"""Local workers: how many, with which GPUs and threads (their computing: test_carry_out.py)."""

from __future__ import annotations

import os

import pytest

from engine.errors import UserError
from engine.runs import device_plan
from engine.runs.device_plan import GIB
from engine.runs.gpu_slots import VISIBLE
from engine.sweeps.local_workers import LocalWorker, ThisMachine, threads_of
from engine.sweeps.resources import Resources

COMPUTE = "tests.fakes:tiny_compute"


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int, memory: int = 80 * GIB) -> None:
    monkeypatch.setattr(device_plan, "gpu_memories", lambda: (memory,) * count)
    monkeypatch.delenv(VISIBLE, raising=False)


def environments(machine: ThisMachine, resources: Resources, most: int = 100) -> list[tuple[str, str | None]]:
    workers = machine.workers(resources, most)
    assert all(isinstance(worker, LocalWorker) for worker in workers)
    return [(worker.name, worker._worker._environment.get(VISIBLE)) for worker in workers]  # type: ignore[attr-defined]


def test_a_worker_a_core_without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert len(ThisMachine(None, 1, COMPUTE).workers(Resources(0, 1), 100)) == 8
    assert len(ThisMachine(None, 4, COMPUTE).workers(Resources(0, 1), 100)) == 2
    assert len(ThisMachine(None, 1, COMPUTE).workers(Resources(0, 1), 3)) == 3  # no more than there are steps
    assert [worker.name for worker in ThisMachine(2, 1, COMPUTE).workers(Resources(0, 0), 9)] == [
        "worker 1",
        "worker 2",
    ]


def test_no_more_workers_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.setattr(device_plan, "cpu_memory", lambda: (100 * GIB, 1 * GIB))
    assert len(ThisMachine(None, 1, COMPUTE).workers(Resources(0, 30 * GIB), 100)) == 3
    with pytest.raises(UserError, match=r"4 workers .* 30\.0 GiB of memory each, .* 100\.0 GiB.* Ask for 3 at most"):
        ThisMachine(4, 1, COMPUTE).workers(Resources(0, 30 * GIB), 100)
    with pytest.raises(UserError, match=r"A worker needs 200\.0 GiB of memory, but this machine has 100\.0 GiB"):
        ThisMachine(None, 1, COMPUTE).workers(Resources(0, 200 * GIB), 100)


def test_a_worker_a_gpu_and_several_gpus_where_a_model_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 4)
    machine = ThisMachine(None, 1, COMPUTE)
    assert machine.gpu_memory == 80 * GIB
    assert environments(machine, Resources(1, 0)) == [(f"GPU {n}", f"{n}") for n in "0123"]
    assert environments(machine, Resources(2, 0)) == [("GPU 0,1", "0,1"), ("GPU 2,3", "2,3")]
    assert environments(machine, Resources(3, 0)) == [("GPU 0,1,2", "0,1,2")]
    with pytest.raises(UserError, match="A worker needs 5 GPUs, but this machine has 4"):
        machine.workers(Resources(5, 0), 1)
    with pytest.raises(UserError, match="Ask for 2 at most"):
        ThisMachine(3, 1, COMPUTE).workers(Resources(2, 0), 9)


def test_only_gpus_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 2)
    monkeypatch.setenv(VISIBLE, "5, GPU-8a1b")
    assert environments(ThisMachine(None, 1, COMPUTE), Resources(1, 0)) == [
        ("GPU 5", "5"),
        ("GPU GPU-8a1b", "GPU-8a1b"),
    ]


def test_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 1)
    assert environments(ThisMachine(None, 1, COMPUTE), Resources(1, 0)) == [("GPU 0", None)]


def test_threads_are_those_of_both_libraries() -> None:
    assert threads_of(3) == {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3"}
