"""Connect to a Ray cluster, or start a Ray on this machine, and ask what its machines have.

1. `cluster` connects, and starts a Ray first where the address is "local": its sockets are on the loopback interface
   only, it has no dashboard, and it reports nothing to anybody.
2. A small task on every machine, which takes none of its CPUs or GPUs, says how much memory the GPUs have. It is the
   first thing that needs this project there, so that a machine without it is named before anything is computed.
3. `shut` ends what `cluster` started, and leaves a cluster that was there.

Nothing else of the engine imports Ray but this and engine/sweeps/ray_workers.py, and both only when they are used.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from engine import settings
from engine.errors import UserError, one_line
from engine.runs import device_plan
from engine.runs.device_plan import GIB, Device
from engine.sweeps.resources import Resources

LOCAL = "local"  # the address that starts a Ray here
NAMESPACE = "circuit-explorer"
CONNECT_SECONDS = 5.0
PROBE_SECONDS = 120.0
OF_LOCAL = {  # environment in which a Ray is started here
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # under whatever system: listen on the loopback interface only
}
OPTIONS_OF_LOCAL = {  # of ray.init
    "_node_ip_address": "127.0.0.1",
    "include_dashboard": False,
    "object_store_memory": GIB // 2,  # for results on their way; what is larger goes over the disk
}
NOT_INSTALLED = (
    "Ray is not installed here. Install it with `pip install -r requirements-cluster.txt`, or leave --ray out: the "
    "sweep is then computed by processes of this machine."
)

Probe = Callable[[], Sequence[Device]]


@dataclass(frozen=True)
class Node:
    """A machine of a cluster, as Ray counts it; `memory` and `gpu_memory` (of each GPU) in bytes."""

    name: str
    cpus: int
    gpus: int
    memory: int
    gpu_memory: int = 0


@dataclass(frozen=True)
class Cluster:
    """The machines that were alive when asked. `is_ours`: this process connected, so that `shut` disconnects."""

    nodes: tuple[Node, ...]
    is_ours: bool = False

    @property
    def gpu_memory(self) -> int:
        """Bytes that every GPU of the cluster has at least; 0 where there is none."""
        return min((node.gpu_memory for node in self.nodes if node.gpus), default=0)


def imported_ray() -> Any:
    """The module; UserError where it is not installed."""
    try:
        import ray
    except ImportError as error:
        raise UserError(NOT_INSTALLED) from error
    return ray


def cluster(address: str | None, probe: Probe = device_plan.devices, local: Mapping[str, Any] | None = None) -> Cluster:
    """Connect, unless this process is connected already, and ask every machine what it has.

    `address`: "local", or HOST:PORT of a head node; None: what RAY_ADDRESS names, else the Ray of this machine.
    `probe` tells the devices of the machine that it runs on. `local`: of ray.init, for a Ray that is started here.

    Raises:
        UserError: Ray is not installed, there is no cluster at the address, or a machine lacks this project.
    """
    here = address == LOCAL
    with _set(OF_LOCAL if here else {}):  # of which Ray reads some when it is imported
        ray = imported_ray()
        is_ours = not ray.is_initialized()
        if is_ours:
            _connect(ray, address, {**OPTIONS_OF_LOCAL, **(local or {})} if here else {})
    try:
        devices = _probed(ray, probe)
        return Cluster(tuple(_with_gpu_memory(node, devices[name]) for name, node in _alive(ray)), is_ours)
    except BaseException:
        if is_ours:
            ray.shutdown()
        raise


def shut(connected: Cluster) -> None:
    """End the Ray that `cluster` started, or disconnect from the one that was there."""
    if connected.is_ours:
        imported_ray().shutdown()


def nodes() -> tuple[Node, ...]:
    """The machines that are alive now, of the cluster that this process is connected to; without their GPUs' memory."""
    return tuple(node for _, node in _alive(imported_ray()))


def workers_for(resources: Resources, nodes: Sequence[Node], threads: int = 1) -> int:
    """How many workers with these resources and threads fit on machines that do nothing else."""
    return sum(_fitting(resources, node, threads) for node in nodes)


def environment(**more: str) -> dict[str, Any]:
    """The runtime environment of what runs on other machines: this project, its cache and pairs at the same paths."""
    variables = {"PYTHONPATH": settings.environment_of_children()["PYTHONPATH"]}
    variables["CIRCUITS_CACHE"] = str(settings.cache_dir())
    own = settings.user_pairs_path()
    return {"env_vars": {**variables, **({"CIRCUITS_PAIRS": str(own)} if own else {}), **more}}


def _fitting(resources: Resources, node: Node, threads: int) -> int:
    needs = ((threads, node.cpus), (resources.gpus, node.gpus), (resources.memory, node.memory))
    return min(there // needed for needed, there in needs if needed)


def _connect(ray: Any, address: str | None, options: Mapping[str, Any]) -> None:
    named = address or os.environ.get("RAY_ADDRESS") or "auto"
    if named != LOCAL:
        _refuse_unreachable(named)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        ray.init(named, namespace=NAMESPACE, **quiet, **options)
    except (Exception, SystemExit) as error:  # Ray leaves the process where a head node does not answer
        if named == LOCAL:
            raise UserError(f"Ray cannot be started on this machine: {one_line(error)}") from error
        reason = "it does not answer" if isinstance(error, SystemExit) else one_line(error)
        raise UserError(_no_cluster(named, reason)) from error


def _refuse_unreachable(address: str) -> None:
    """Ask the head node's port whether it is open: Ray itself would try for two minutes."""
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    if "://" in address or not host or not port.isdecimal():
        raise UserError(f"{address!r} is no address of a Ray cluster. It looks like HOST:6379, or is `{LOCAL}`.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(_no_cluster(address, one_line(error))) from error


def _no_cluster(address: str, reason: str) -> str:
    where = "on this machine" if address == "auto" else f"at {address}, or this machine does not belong to it"
    advice = f"Start one with `ray start --head`, and join it with `ray start --address`; `--ray {LOCAL}` needs none."
    return f"There is no Ray cluster {where} ({reason.rstrip('.')}). {advice}"


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for as long as the processes of a Ray are started."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _alive(ray: Any) -> list[tuple[str, Node]]:
    """Every machine that is alive, with its number in the cluster, in a fixed order."""
    there = [(each["NodeID"], each["NodeManagerHostname"], each["Resources"]) for each in ray.nodes() if each["Alive"]]
    return [
        (key, Node(name, *(int(resources.get(kind, 0)) for kind in ("CPU", "GPU", "memory"))))
        for key, name, resources in sorted(there, key=lambda each: each[:2])
    ]


def _probed(ray: Any, probe: Probe) -> dict[str, Sequence[Device]]:
    """The devices of every machine, by its number in the cluster."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(probe)
    # The task takes no GPU, but is to see all of them.
    shown = environment(RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES="1")
    asked = {}
    for key, node in _alive(ray):
        there = NodeAffinitySchedulingStrategy(key, soft=False)
        asked[key] = (
            node,
            task.options(num_cpus=0, scheduling_strategy=there, runtime_env=shown, max_retries=1).remote(),
        )
    devices: dict[str, Sequence[Device]] = {}
    for key, (node, answer) in asked.items():
        try:
            devices[key] = ray.get(answer, timeout=PROBE_SECONDS)
        except ray.exceptions.RayError as error:
            raise UserError(
                f"The machine {node.name} of the cluster cannot run this project: {reason_of(error)} It needs the same "
                f"Python packages and the same files in {settings.ROOT}."
            ) from error
    return devices


def reason_of(error: Exception) -> str:
    """What an error of Ray's says at last, as a sentence: what comes before are numbers and tracebacks."""
    return one_line((str(error).strip() or type(error).__name__).rpartition("\n")[2]).rstrip(".") + "."


def _with_gpu_memory(node: Node, devices: Sequence[Device]) -> Node:
    """Of GPUs that differ, the average."""
    gpus = [device for device in devices if device.name == "cuda"]
    every = max(gpus, key=lambda device: device.count, default=None)
    return Node(node.name, node.cpus, node.gpus, node.memory, every.total // every.count if every else 0)
