"""What is decided about a cluster without one: addresses, how many workers fit, what machines are given to know."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine import settings
from engine.errors import UserError
from engine.runs.device_plan import GIB, Device
from engine.sweeps.ray_cluster import (
    NOT_INSTALLED,
    Cluster,
    Node,
    _set,
    _with_gpu_memory,
    cluster,
    environment,
    reason_of,
    workers_for,
)
from engine.sweeps.resources import Resources
from tests.sources import ROOT

NODES = (Node("a", 16, 4, 64 * GIB, 80 * GIB), Node("b", 2, 1, 8 * GIB, 24 * GIB), Node("c", 8, 0, 32 * GIB))


@pytest.mark.parametrize(
    ("resources", "threads", "count"),
    [
        (Resources(0, GIB), 1, 16 + 2 + 8),  # as many as there are CPUs
        (Resources(0, GIB), 4, 4 + 0 + 2),
        (Resources(0, 16 * GIB), 1, 4 + 0 + 2),  # as the memory allows
        (Resources(1, GIB), 1, 4 + 1 + 0),
        (Resources(2, GIB), 1, 2),  # a model lies on the GPUs of one machine
        (Resources(5, GIB), 1, 0),
        (Resources(1, 0), 1, 5),
    ],
)
def test_workers_fit_machine_by_machine(resources: Resources, threads: int, count: int) -> None:
    assert workers_for(resources, NODES, threads) == count


def test_every_gpu_of_a_cluster_has_at_least_the_memory_of_the_smallest() -> None:
    assert Cluster(NODES).gpu_memory == 24 * GIB
    assert Cluster(NODES[2:]).gpu_memory == Cluster(()).gpu_memory == 0


def test_the_memory_of_a_gpu_is_the_average_of_a_machine() -> None:
    single, both, cpu = Device("cuda", 80 * GIB, 1), Device("cuda", 120 * GIB, 1, 2), Device("cpu", GIB, 1)
    bare = Node("a", 1, 2, GIB)
    assert _with_gpu_memory(bare, [single, both, cpu]).gpu_memory == 60 * GIB
    assert _with_gpu_memory(bare, [single, cpu]).gpu_memory == 80 * GIB
    assert _with_gpu_memory(bare, [cpu]) == bare


@pytest.mark.parametrize("address", ["nonsense", "ray://127.0.0.1:10001", ":6379", "head:six"])
def test_what_is_no_address_is_refused(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=r"is no address of a Ray cluster\. It looks like HOST:6379"):
        cluster(address)


def test_where_nobody_listens_a_sentence_says_so_at_once() -> None:
    """Ray itself tries for two minutes, and leaves the process then."""
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(UserError, match=rf"There is no Ray cluster at 127\.0\.0\.1:{port}, .*refused\)\. Start one"):
        cluster(f"127.0.0.1:{port}")
    assert time.monotonic() - began < 5


def test_where_there_is_no_ray_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError) as refused:
        cluster("local")
    assert str(refused.value) == NOT_INSTALLED
    assert "requirements-cluster.txt" in NOT_INSTALLED and "RAY_USAGE_STATS_ENABLED" not in os.environ


def test_nothing_imports_ray_before_it_is_used() -> None:
    modules = "engine, engine.__main__, engine.commands, engine.sweeps.ray_workers, engine.sweeps.ray_actor"
    code = f"import sys, {modules}; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_other_machines_are_told_where_things_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "CIRCUITS_PAIRS" not in environment()["env_vars"]
    monkeypatch.setenv("CIRCUITS_PAIRS", str(tmp_path / "pairs.toml"))
    variables = environment(OMP_NUM_THREADS="3")["env_vars"]
    assert variables["PYTHONPATH"].split(os.pathsep)[0] == str(settings.ROOT)
    assert variables["CIRCUITS_CACHE"] == str(settings.cache_dir())
    assert variables["CIRCUITS_PAIRS"] == str(tmp_path / "pairs.toml")
    assert variables["OMP_NUM_THREADS"] == "3"


def test_the_environment_is_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THERE", "before")
    with _set({"THERE": "now", "NEW": "too"}):
        assert (os.environ["THERE"], os.environ["NEW"]) == ("now", "too")
    assert os.environ["THERE"] == "before" and "NEW" not in os.environ


def test_the_reason_is_the_last_line_of_an_error() -> None:
    assert reason_of(ValueError("first\n\tpid: 3\nThe node is gone.\n")) == "The node is gone."
    assert reason_of(TimeoutError()) == "TimeoutError."
