"""The command `sweep`: compute a grid of runs by several workers, here, on Ray or as one shard of a job array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.errors import Incomplete, UserError
from engine.runs.device_plan import gib
from engine.runs.durations import duration
from engine.runs.jobs import COMPUTE
from engine.runs.schedule import Schedule
from engine.runs.spec import RunSpec
from engine.sweeps import cost
from engine.sweeps.carry_out import carry_out
from engine.sweeps.display import displayed
from engine.sweeps.plan import Refused, SweepPlan, Wanted, plan, wanted
from engine.sweeps.resources import Machines, groups
from engine.sweeps.saved import save
from engine.sweeps.shards import Shard, share
from engine.sweeps.sweep_file import Sweep, read

MOST_LISTED = 20  # failures that a summary names


def sweep(
    file: str, ray: str | None, workers: int | None, shard: Shard | None, dry_run: bool, compute: str = COMPUTE
) -> Iterator[str]:
    """Compute what a sweep lacks; `compute`: "module:name", as in engine/runs/worker.py.

    Raises:
        UserError: the sweep cannot be read, or no worker can be started.
        Incomplete: something is not there in the end.
    """
    asked = read(file)
    everything = wanted(asked)
    own = everything if shard is None else share(everything, shard)
    planned = plan(own, everything)
    yield _headed(asked, own, planned, shard)
    if dry_run:
        yield from _listed(planned)
        return
    save(asked)
    schedules = []
    if planned.steps:
        with _machines(ray, workers, asked.threads, compute) as machines, displayed(planned.steps) as watch:
            for resources, steps in groups(planned.steps, machines.gpu_memory):
                schedule = Schedule(steps, keep_model=True, whole_runs=False)
                schedules.append(schedule)
                try:
                    chosen = machines.workers(resources, len(steps))
                except UserError as error:  # others may fit
                    schedule.refuse(str(error))
                else:
                    carry_out(schedule, chosen, watch)
    yield from _summary(planned, schedules)


def _headed(asked: Sweep, own: Sequence[Wanted], planned: SweepPlan, shard: Shard | None) -> str:
    part = f", shard {shard}" if shard else ""
    return f"{asked.name}{part}: {len(own)} runs, {len(planned.steps)} artifacts to compute"


def _listed(planned: SweepPlan) -> Iterator[str]:
    """Each artifact that is missing, with what it will take, and what cannot be computed here, by reason."""
    rate, measured = cost.rate()
    total = 0.0
    for step in planned.steps:
        seconds = cost.of_step(step) / rate
        total += seconds
        yield _estimate(seconds, step.spec, step.description)
    by_reason: dict[tuple[str, str], list[Refused]] = {}
    for refused in planned.refused:
        by_reason.setdefault((refused.spec.pair, refused.reason), []).append(refused)
    for (pair, reason), group in by_reason.items():
        seconds = sum(refused.multiplications for refused in group) / rate
        runs = len({refused.spec for refused in group})
        total += seconds
        yield _estimate(seconds, group[0].spec, f"CANNOT BE COMPUTED HERE: {runs} runs of {pair}. {reason}")
    if total:
        basis = f"judged by {measured} circuits in this cache" if measured else "a rough guess: no circuit is here yet"
        yield f"{duration(total):>12}  with one worker, {basis}"


def _estimate(seconds: float, spec: RunSpec, what: str) -> str:
    needed = cost.memory(spec)
    memory = "memory unknown" if needed is None else gib(needed)
    return f"{duration(seconds):>12}  {memory:>14}  {what}"


def _summary(planned: SweepPlan, schedules: Sequence[Schedule]) -> Iterator[str]:
    failures = [failure for schedule in schedules for failure in schedule.failures]
    skipped = [step for schedule in schedules for step in schedule.skipped]
    done = len(planned.steps) - len(failures) - len(skipped)
    lines = [
        *(f"FAILED: {failure.step.description}: {failure.reason}" for failure in failures),
        *(f"SKIPPED, as what it needs failed: {step.description}" for step in skipped),
        *(f"CANNOT BE COMPUTED: {refused}" for refused in planned.refused),
    ]
    yield from lines[:MOST_LISTED]
    if len(lines) > MOST_LISTED:
        yield f"and {len(lines) - MOST_LISTED} more like these"
    refused = f", {len(planned.refused)} runs cannot be computed here" if planned.refused else ""
    waiting = f", {len(planned.waiting)} left" if planned.waiting else ""
    yield f"{done} done, {len(failures)} failed, {len(skipped)} skipped{refused}{waiting}"
    if planned.waiting and not lines:
        raise Incomplete(
            f"{len(planned.waiting)} artifacts need parts of circuits that other shards compute. Call the same command "
            "again when these are done."
        )
    if lines:
        raise Incomplete(
            "Not all of the sweep is there. What failed is named above; the same command tries it again and computes "
            "nothing twice."
        )


def _machines(ray: str | None, workers: int | None, threads: int, compute: str) -> Machines:
    if ray is None:
        from engine.sweeps.local_workers import ThisMachine

        return ThisMachine(workers, threads, compute)
    from engine.sweeps.ray_workers import RayCluster

    return RayCluster(ray, workers, threads, compute)
