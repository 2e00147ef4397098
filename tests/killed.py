"""A process to be killed at any moment: `python -m tests.killed WORK SEED` does its work on the cache until then.

It prints a line before and after everything that it does, so that whoever killed it knows what was finished:
"ready", "worker PID", "stored KEY", "deleting KEY", "deleted KEY", "written BUNDLE".
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

from engine.exchange import bundle
from engine.runs import cache_connection, execution, lifecycle, stored
from engine.runs.jobs import JobQueue
from engine.runs.provenance import resolve
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute

SPEC = RunSpec(n=4)


def tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def spec_of(rng: random.Random) -> RunSpec:
    return replace(SPEC, model=rng.choice(("arm", "mdm")), seed=rng.randrange(10**6))


def compute(rng: random.Random) -> None:
    """Compute and store in this process."""
    steps = execution.plan([resolve(spec_of(rng))])
    execution.carry_out(steps, tiny_compute, lifecycle.ignore, on_stored=lambda step, seconds: tell("stored", step.key))


def queue(rng: random.Random) -> None:
    """Compute in a worker process, and store."""
    jobs = JobQueue("tests.fakes:tiny_compute")
    started = jobs._slots[0]._worker._started
    jobs._slots[0]._worker._started = lambda: (process := started(), tell("worker", process.pid))[0]
    for number in count():
        job = jobs.submit([replace(SPEC, seed=rng.randrange(10**6))], "to be killed")
        while jobs.job(job).is_open:
            time.sleep(0.005)
        assert jobs.job(job).state == "done", jobs.job(job).error
        tell("stored", resolve(jobs.job(job).specs[0]).key)
        if not number:
            tell("ready")


def delete(rng: random.Random) -> None:
    """Delete a run, or compute one where there are few."""
    runs = stored.list_runs()
    if len(runs) < 3:
        compute(rng)
        return
    run = rng.choice(runs)
    for key in (run.key, *run.companions.values()):
        tell("deleting", key)
    with slow_deletion():
        stored.delete(run.key)
    tell("deleted", run.key)


@contextmanager
def slow_deletion() -> Iterator[None]:
    """A pause before each file is removed, so that a kill can come between two."""
    unlink = Path.unlink

    def slow(path: Path, missing_ok: bool = False) -> None:
        time.sleep(0.02)
        unlink(path, missing_ok)

    Path.unlink = slow
    try:
        yield
    finally:
        Path.unlink = unlink


def bundles(rng: random.Random) -> None:
    """Write a bundle of all runs, forget some of them, and take them from the bundle."""
    lifecycle.run(SPEC, compute=tiny_compute)
    file = cache_connection.store().path / "bundles" / f"{rng.random()}"
    file.parent.mkdir(exist_ok=True)
    bundle.write(file, SPEC.pair)
    tell("written", file.name)
    for run in stored.list_runs():
        if rng.random() < 0.5:
            for key in (run.key, *run.companions.values()):
                tell("deleting", key)
            stored.delete(run.key)
    bundle.take(file)
    file.unlink()
    for record in cache_connection.records():
        tell("stored", record.key)


WORK: dict[str, Callable[[random.Random], None]] = {
    "compute": compute,
    "queue": queue,
    "delete": delete,
    "bundles": bundles,
}


def main(work: str, seed: str) -> None:
    """Do the work again and again; end with the process that asked for it."""
    parent = os.getppid()

    def end_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    rng = random.Random(int(seed))
    while True:
        WORK[work](rng)
        tell("ready")  # whatever is imported late is, and the work begins again


if __name__ == "__main__":
    main(*sys.argv[1:])
