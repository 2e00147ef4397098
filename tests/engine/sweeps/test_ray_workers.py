"""Workers on a local Ray of two CPUs and four GPUs that are only said to be there."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from engine.errors import Cancelled, UserError
from engine.runs import evidence, execution, lifecycle
from engine.runs.cache_connection import store
from engine.runs.device_plan import GIB, Device
from engine.runs.execution import WorkerLost
from engine.runs.provenance import resolve
from engine.runs.records import ArtifactTables, Progress
from engine.runs.spec import RunSpec
from engine.runs.steps import Step
from engine.schema.artifacts import AnyKind
from engine.sweeps import ray_cluster, ray_workers
from engine.sweeps.ray_cluster import Cluster
from engine.sweeps.ray_workers import RayCluster, RayWorker
from engine.sweeps.resources import Resources
from tests.fakes import fake_compute, fake_model, moody_compute, register_fake_pair, tiny_compute
from tests.waiting import until

SPEC = RunSpec(n=4)
ON_CPU = Resources(gpus=0, memory=GIB // 4)
MACHINE = [Device("cuda", 80 * GIB, 79 * GIB), Device("cuda", 320 * GIB, 300 * GIB, 4), Device("cpu", GIB, GIB)]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[Cluster]:
    """Started once; what it says of the GPUs' memory is made up."""
    local = {"num_cpus": 2, "num_gpus": 4, "object_store_memory": 100 * 2**20}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "7")  # which no worker is to inherit
        there = ray_cluster.cluster(ray_cluster.LOCAL, lambda: MACHINE, local)
    yield there
    ray_cluster.shut(there)
    assert not processes_of_ray()


def processes_of_ray() -> dict[psutil.Process, str]:
    """Those that run below this process, with their names; a browser of other files may be a child too."""
    processes = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile
            command = " ".join(process.cmdline())  # none of a process that ended and was not waited for
            if command.startswith("ray::") or "/ray/" in command:
                processes[process] = process.name()
    return processes


@pytest.fixture(autouse=True)
def _fake_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(tmp_path)))
    monkeypatch.setattr(ray_workers, "POLL_SECONDS", 0.2)


@pytest.fixture
def workers() -> Iterator[list[RayWorker]]:
    """Those of a test; they are ended with it, so that the next one has the CPUs."""
    mine: list[RayWorker] = []
    yield mine
    for worker in mine:
        worker.close()


def started(workers: list[RayWorker], compute: str, resources: Resources = ON_CPU, **how: object) -> RayWorker:
    workers.append(RayWorker(len(workers) + 1, resources, f"tests.fakes:{compute}", **how))
    return workers[-1]


def step(kind: AnyKind = "circuit", **fields: object) -> Step:
    return Step(resolve(replace(SPEC, **fields)), kind)


def told_environment(spec: RunSpec, kind: AnyKind, on_progress: object) -> ArtifactTables:
    """What decides over the last digits of a result and over its device, as a worker sees it."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
    return ArtifactTables({name: os.environ.get(name) for name in names}, {})


def same(made: ArtifactTables | None, wanted: ArtifactTables) -> bool:
    assert made is not None
    assert made.tables.keys() == wanted.tables.keys()
    return made.meta == wanted.meta and all(made.tables[name].equals(table) for name, table in wanted.tables.items())


def test_the_cluster_says_what_its_machines_have(cluster: Cluster) -> None:
    (node,) = cluster.nodes
    assert (node.cpus, node.gpus, node.gpu_memory, cluster.gpu_memory) == (2, 4, 80 * GIB, 80 * GIB)
    assert node.memory > 0 and node.name
    assert replace(node, gpu_memory=0) == ray_cluster.nodes()[0]
    again = ray_cluster.cluster(None, lambda: MACHINE)
    assert not again.is_ours  # this process is connected already, so that shutting it ends nothing
    ray_cluster.shut(again)
    assert ray_cluster.nodes()


def test_a_ray_of_this_machine_listens_to_this_machine_only() -> None:
    processes, hosts = processes_of_ray(), set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            hosts |= {each.laddr.ip for each in process.net_connections() if each.status == psutil.CONN_LISTEN}
    assert {"raylet", "gcs_server"} <= set(processes.values())
    assert {host.removeprefix("::ffff:") for host in hosts} == {"127.0.0.1"}


def test_a_machine_without_this_project_is_named(cluster: Cluster) -> None:
    def broken() -> list[Device]:
        raise ModuleNotFoundError("No module named 'engine'")

    with pytest.raises(UserError, match=rf"machine {cluster.nodes[0].name} .* No module named 'engine'\. It needs"):
        ray_cluster.cluster(None, broken)


def test_every_kind_of_result_equals_a_local_one(workers: list[RayWorker]) -> None:
    """Runs' artifacts come back, and evidence of them, whose scores travel to the worker."""
    worker = started(workers, "fake_compute", shared=False)
    assert same(worker.compute(step(), lifecycle.ignore), fake_compute(SPEC, "circuit", lifecycle.ignore))
    assert worker.process and worker.where == worker.process.host
    assert not worker.process.shares
    pid = worker.process.pid
    assert store().record(step().key) is None
    lifecycle.run_all([SPEC, replace(SPEC, model="arm")], compute=fake_compute)
    (about,) = evidence.plan([SPEC], ["faithfulness"])
    wanted = fake_compute(SPEC, "faithfulness", lifecycle.ignore, about.inputs())
    assert same(worker.compute(about, lifecycle.ignore), wanted)
    assert worker.process and worker.process.pid == pid  # one process, which keeps its model


def test_in_a_shared_folder_the_worker_stores(workers: list[RayWorker]) -> None:
    worker = started(workers, "tiny_compute")
    for kind in ("circuit", "lens"):
        assert worker.compute(step(kind), lifecycle.ignore) is None
        record = store().record(step(kind).key)
        assert record and record.seconds > 0
        assert dict(record.made_with) == dict(step(kind).record({}, "", 0.0).made_with)
    assert not list(store().partial.iterdir())  # nothing is left of how the folder was recognised
    execution.carry_out([step()], tiny_compute, lifecycle.ignore, on_step=pytest.fail)  # nothing is left to compute


def test_a_killed_process_is_lost_and_the_next_step_starts_another(
    workers: list[RayWorker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GATES", str(tmp_path))
    monkeypatch.setattr(ray_cluster, "environment", with_gates(tmp_path))
    worker, told = started(workers, "gated_compute"), list[Progress]()
    lost: list[Exception] = []

    def compute() -> None:
        try:
            worker.compute(step(), told.append)
        except WorkerLost as error:
            lost.append(error)

    thread = threading.Thread(target=compute)
    thread.start()
    until(lambda: any(progress.stage.endswith(": Waiting at the gate") for progress in told))
    assert worker.process
    pid = worker.process.pid
    os.kill(pid, signal.SIGKILL)
    thread.join(60)
    assert str(lost[0]).startswith("Ray worker 1 (") and "is gone: " in str(lost[0]) and "\n" not in str(lost[0])
    assert worker.process is None and store().record(step().key) is None
    (tmp_path / "mdm-circuit").touch()
    assert worker.compute(step(), lifecycle.ignore) is None
    assert worker.process is not None and worker.process.pid != pid
    assert store().record(step().key)


def with_gates(folder: Path) -> object:
    """`environment` that tells a worker where the gates are, too."""
    environment = ray_cluster.environment
    return lambda **more: environment(FAKE_GATES=str(folder), **more)


def test_what_is_refused_or_fails_is_a_sentence_and_the_worker_goes_on(workers: list[RayWorker]) -> None:
    worker = started(workers, "moody_compute")
    with pytest.raises(UserError, match=r"^There is no model in this folder. Choose another pair.$"):
        worker.compute(step(seed=13), lifecycle.ignore)
    pid = worker.process.pid if worker.process else 0
    with pytest.raises(UserError, match=r"^RuntimeError while computing embedded / mdm / ioi: shapes do not match$"):
        worker.compute(step(seed=14), lifecycle.ignore)
    assert worker.process and worker.process.pid == pid
    with pytest.raises(WorkerLost):
        worker.compute(step(seed=15), lifecycle.ignore)
    assert worker.compute(step(seed=16), lifecycle.ignore) is None
    assert same(moody_compute(step(seed=16).spec, "circuit", lifecycle.ignore),
                tiny_compute(step(seed=16).spec, "circuit", lifecycle.ignore))  # fmt: skip


def test_whoever_is_told_of_progress_can_end_the_worker(workers: list[RayWorker]) -> None:
    worker, told = started(workers, "slow_compute"), list[Progress]()

    def end(progress: Progress) -> None:
        told.append(progress)
        if progress.done > 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        worker.compute(step(), end)
    assert worker.process is None
    assert told[-1].stage.endswith(": Scoring edges") and told[-1].total == 600


def test_other_weights_at_the_worker_are_refused(
    workers: list[RayWorker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = step()
    other = register_fake_pair(tmp_path / "other")
    fake_model(tmp_path / "other" / "mdm", "another training")
    monkeypatch.setenv("CIRCUITS_PAIRS", str(other))  # what the worker will know
    worker = started(workers, "tiny_compute")
    with pytest.raises(UserError, match=r"^\S+ would compute something else .* differs the weights of the model\."):
        worker.compute(planned, lifecycle.ignore)
    assert store().record(planned.key) is None


def test_every_worker_has_its_own_gpus_and_the_threads_that_were_asked_for(
    workers: list[RayWorker], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = Resources(gpus=2, memory=GIB // 4)
    assert ray_cluster.workers_for(two, cluster.nodes) == 2
    named = [RayWorker(number, two, f"{__name__}:told_environment", shared=False) for number in (1, 2)]
    workers += named
    seen = [worker.compute(step(), lifecycle.ignore) for worker in named]
    assert [made.meta["CUDA_VISIBLE_DEVICES"] for made in seen if made] == ["0,1", "2,3"]
    assert [worker.where.partition(", ")[2] for worker in named] == ["GPUs 0, 1", "GPUs 2, 3"]
    for worker in named:
        worker.close()
    workers.append(RayWorker(3, ON_CPU, f"{__name__}:told_environment", threads=2, shared=False))
    made = workers[-1].compute(step(), lifecycle.ignore)
    assert made and made.meta == {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": ""}


def test_what_no_machine_has_is_not_waited_for(workers: list[RayWorker]) -> None:
    worker = started(workers, "tiny_compute", Resources(gpus=5, memory=0))
    with pytest.raises(WorkerLost, match=r"^No machine of the cluster has 5 GPUs, 1 CPU and"):
        worker.compute(step(), lifecycle.ignore)


def test_a_place_has_as_many_workers_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = ray_cluster.cluster
    monkeypatch.setattr(ray_cluster, "cluster", lambda address: connect(address, lambda: MACHINE))
    with RayCluster(None, None, 1) as machines:
        assert machines.gpu_memory == 80 * GIB
        assert [worker.name for worker in machines.workers(ON_CPU, 100)] == ["Ray worker 1", "Ray worker 2"]
        assert len(machines.workers(ON_CPU, 1)) == 1
        with pytest.raises(UserError, match=r"^No machine of the cluster has 2 GPUs, 1 CPU and 1024\.0 GiB of memory"):
            machines.workers(Resources(gpus=2, memory=1024 * GIB), 1)
    with (
        RayCluster(None, 3, 1) as machines,
        pytest.raises(UserError, match=r"^3 workers were asked for, .* 2 at most\."),
    ):
        machines.workers(ON_CPU, 100)
    assert ray_cluster.nodes()  # this process was connected before


def test_without_ray_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-cluster.txt"):
        RayWorker(1, ON_CPU).compute(step(), lifecycle.ignore)
