"""Compute the steps of a sweep on the machines of a Ray cluster.

1. A worker is an actor of Ray's, which is started when its first step comes: with its GPUs and main memory, and a CPU
   for every thread. It keeps the loaded model (engine/sweeps/ray_actor.py).
2. The number of threads is fixed by the environment in which the actor's process starts, as the last digits of results
   depend on it.
3. While a step is computed, the actor is asked about once a second how far it is; if whoever is told raises, the actor
   is ended.
4. An actor whose process or machine is gone is given up: WorkerLost. The next step starts another.

Ray pickles what goes between its processes: steps, scores, Arrow tables. Nothing pickled is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar

from engine.errors import UserError
from engine.runs.device_plan import gib
from engine.runs.execution import OnProgress, WorkerLost
from engine.runs.jobs import COMPUTE
from engine.runs.records import ArtifactTables, Progress
from engine.runs.steps import Step
from engine.sweeps import ray_cluster
from engine.sweeps.carry_out import StepWorker
from engine.sweeps.local_workers import threads_of
from engine.sweeps.ray_actor import Actor, ActorProcess, Answer, mark_of_folder
from engine.sweeps.resources import Resources

T = TypeVar("T")
POLL_SECONDS = 1.0
REPORTS = "reports"  # the group of threads in which an actor answers while it computes


class RayWorker:
    """A StepWorker on some machine of the cluster that this process is connected to (ray_cluster.cluster)."""

    def __init__(
        self, number: int, resources: Resources, compute: str = COMPUTE, threads: int = 1, shared: bool = True
    ) -> None:
        """`compute`: "module:name" of a Compute, or of a class whose instances are.

        `shared`: let the worker store what it computes, where its folder of artifacts proves to be this machine's;
        False: everything comes here.
        """
        self.name = f"Ray worker {number}"
        self._resources, self._compute = resources, compute
        self._threads, self._shared = threads, shared
        self._actor: Any = None
        self._process: ActorProcess | None = None

    @property
    def process(self) -> ActorProcess | None:
        """In which it runs; None as long as it does not."""
        return self._process

    @property
    def where(self) -> str:
        """For a reader, as in "node-3, GPU 0"; empty as long as it does not run."""
        if self._process is None or not self._resources.gpus:
            return self._process.host if self._process else ""
        several = "s" if self._resources.gpus > 1 else ""
        return f"{self._process.host}, GPU{several} {self._process.gpus.replace(',', ', ')}"

    def start(self, on_progress: OnProgress) -> None:
        """As StepWorker.start: wait until Ray has room, so that no step waits with it."""
        self._with_actor(on_progress, lambda ray: None)

    def compute(self, step: Step, on_progress: OnProgress) -> ArtifactTables | None:
        """As StepWorker.compute."""
        inputs = step.inputs()

        def answer_of(ray: Any) -> Answer:
            return self._answer(ray, self._actor.compute.remote(step, step.key, inputs), on_progress)

        answer = self._with_actor(on_progress, answer_of)
        if answer.refused:
            raise UserError(answer.refused)
        return answer.made

    def _with_actor(self, on_progress: OnProgress, ask: Callable[[Any], T]) -> T:
        """What the actor answers, which is started where there is none, and ended where something goes wrong."""
        ray = ray_cluster.imported_ray()
        try:
            self._start(ray, on_progress)
            return ask(ray)
        except ray.exceptions.RayError as error:
            where = self.where
            self.close()
            at = f" ({where})" if where else ""
            raise WorkerLost(f"{self.name}{at} is gone: {ray_cluster.reason_of(error)}") from error
        except BaseException:
            self.close()  # it would compute on for nobody
            raise

    def close(self) -> None:
        """End the actor, if there is one."""
        actor, self._actor, self._process = self._actor, None, None
        if actor is not None:
            ray = ray_cluster.imported_ray()
            if ray.is_initialized():
                ray.kill(actor)

    def _start(self, ray: Any, on_progress: OnProgress) -> None:
        if self._actor is not None:
            return
        needs = self._resources
        variables = threads_of(self._threads)
        if not needs.gpus:
            variables["CUDA_VISIBLE_DEVICES"] = ""  # else it would take one that is somebody else's
        self._actor = (
            ray.remote(concurrency_groups={REPORTS: 1})(Actor)
            .options(
                num_gpus=needs.gpus, num_cpus=self._threads, memory=needs.memory or None,
                runtime_env=ray_cluster.environment(**variables),
            )
            .remote(self._compute)
        )  # fmt: skip
        with mark_of_folder() as mark:
            answer = self._actor.process.remote(mark if self._shared else None)
            while not ray.wait([answer], timeout=POLL_SECONDS)[0]:
                self._refuse_too_large()
                on_progress(Progress("waiting for a place on the cluster", 0, 0))
            process: ActorProcess = ray.get(answer)
        self._process = process

    def _answer(self, ray: Any, answer: Any, on_progress: OnProgress) -> Answer:
        """Wait for an answer, and say meanwhile how far the worker is."""
        progress, asked = Progress("starting", 0, 0), None
        while not ray.wait([answer], timeout=POLL_SECONDS)[0]:
            asked = asked or self._actor.progress.options(concurrency_group=REPORTS).remote()
            if ray.wait([asked], timeout=0.1)[0]:
                progress, asked = ray.get(asked) or progress, None
            # Also where it is the same: whoever is told may want to end it.
            on_progress(replace(progress, stage=f"{self.where}: {progress.stage}"))
        made: Answer = ray.get(answer)
        return made

    def _refuse_too_large(self) -> None:
        """Ray waits for ever for what no machine has.

        Raises:
            WorkerLost: none has, as the machine that had was lost, say.
        """
        if not ray_cluster.workers_for(self._resources, ray_cluster.nodes(), self._threads):
            raise WorkerLost(f"No machine of the cluster has {_needs(self._resources, self._threads)}.")


class RayCluster:
    """The machines of a cluster (engine/sweeps/resources.py: Machines)."""

    def __init__(self, address: str | None, count: int | None, threads: int, compute: str = COMPUTE) -> None:
        """`address`: as ray_cluster.cluster; `count`: how many workers; None: as many as there is room for."""
        self._address, self._count, self._threads, self._compute = address, count, threads, compute
        self._cluster = ray_cluster.Cluster(())
        self.gpu_memory = 0  # known once connected

    def __enter__(self) -> RayCluster:
        self._cluster = ray_cluster.cluster(self._address)
        self.gpu_memory = self._cluster.gpu_memory
        silent = next((node.name for node in self._cluster.nodes if node.gpus and not node.gpu_memory), None)
        if silent is not None:
            ray_cluster.shut(self._cluster)
            raise UserError(
                f"The machine {silent} of the cluster has GPUs, but cannot tell how much memory they have: NVIDIA's "
                "driver or a torch for CUDA is missing there. Install them, or start Ray there with --num-gpus 0."
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ray_cluster.shut(self._cluster)

    def workers(self, resources: Resources, most: int) -> list[StepWorker]:
        """Raises as Machines.workers."""
        fitting = ray_cluster.workers_for(resources, self._cluster.nodes, self._threads)
        if not fitting:
            raise UserError(f"No machine of the cluster has {_needs(resources, self._threads)}, as a worker needs.")
        if self._count is not None and self._count > fitting:
            raise UserError(
                f"{self._count} workers were asked for, but each needs {_needs(resources, self._threads)}. Ask for "
                f"{fitting} at most."
            )
        count = min(self._count or fitting, most)
        return [RayWorker(number, resources, self._compute, self._threads) for number in range(1, count + 1)]


def _needs(resources: Resources, threads: int) -> str:
    gpus = f"{resources.gpus} {'GPU' if resources.gpus == 1 else 'GPUs'}, " if resources.gpus else ""
    return f"{gpus}{threads} {'CPU' if threads == 1 else 'CPUs'} and {gib(resources.memory)} of memory"
