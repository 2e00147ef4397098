"""Find the run of a spec in the cache, else compute and keep it (listing and deleting: engine/runs/stored.py).

1. A run is there when the circuit with its key is (`find`). Where the weights are not here, so that there is no key,
   the newest run of the spec is; runs come from elsewhere in bundles (engine/exchange/bundle.py).
2. What is missing of it is computed (`run`, or engine/runs/jobs.py in another process), artifact by artifact.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from engine.errors import UserError
from engine.runs import execution
from engine.runs.cache_connection import store
from engine.runs.execution import Compute, OnProgress
from engine.runs.provenance import Resolved, WeightsNotHere, resolve
from engine.runs.records import Progress, Run
from engine.runs.spec import RunSpec
from engine.runs.steps import Step
from engine.runs.stored import get, missing, run_of, runs_by_spec, runs_of

RunsOf = Callable[[RunSpec], Sequence[Run]]  # the stored runs of a spec, newest first

_computing = threading.Lock()


def ignore(progress: Progress) -> None:
    """Take a report of progress and do nothing with it."""


def obstacle(spec: RunSpec) -> str | None:
    """Why a spec cannot be computed here, in a sentence: its weights are not here, can't be scored or are too large.

    None where it can.
    """
    from engine.models.scorable import refuse_unscorable
    from engine.runs import device_plan  # only here, as they take time to import

    try:
        pair = resolve(spec).pair
        if spec.is_imported and find(spec) is None:
            return execution.NOT_COMPUTED
        for model in dict.fromkeys(("arm", spec.model)):  # an MDM is compared with its ARM
            refuse_unscorable(pair, model)
        shape = device_plan.shape_of(pair)
        if shape is not None:
            device_plan.refuse_too_large(device_plan.plan(shape, (spec.dtype,)), pair.folder(spec.model))
    except UserError as error:
        return str(error)
    return None


def find(spec: RunSpec) -> Run | None:
    """The stored run of a spec, or None; it may lack some artifacts still (`missing`).

    Where the weights are here, it is the run with the spec's key, else one that a bundle brought of the same weights,
    whatever the versions of the libraries. Where they are not, it is the newest run of the spec.

    Raises:
        UserError: no such pair or task.
    """
    return _run_of_spec(spec, runs_of)


def find_all(specs: Iterable[RunSpec]) -> dict[RunSpec, Run]:
    """The stored runs of many specs, by going through the cache once; nothing of a spec that there is no run of."""
    run_of_each = finder()
    return {spec: run for spec in dict.fromkeys(specs) if (run := run_of_each(spec))}


def finder() -> Callable[[RunSpec], Run | None]:
    """`find` for specs that are asked one after the other: the cache is gone through once.

    What it returns gives None where there is no such pair, task or template any more.
    """
    by_spec = runs_by_spec()

    def run_of_each(spec: RunSpec) -> Run | None:
        with suppress(UserError):
            return _run_of_spec(spec, lambda spec: by_spec.get(spec, []))
        return None

    return run_of_each


def find_whole(spec: RunSpec) -> Run | Resolved:
    """The stored run of a spec as `find` knows it, where nothing of it is missing, else what there is to compute.

    Raises:
        UserError: no such pair or task, or there is no run and the weights are not here.
    """
    try:
        resolved = resolve(spec)
    except WeightsNotHere:
        run = find(spec)
        if run is None:
            raise
        return run
    run = _stored(resolved, runs_of)
    return resolved if run is None or missing(run) else run


def run(spec: RunSpec, on_progress: OnProgress = ignore, compute: Compute | None = None) -> Run:
    """The whole run of a spec: what the cache lacks of it is computed here. Raises like `run_all`."""
    return run_all([spec], on_progress, compute)[0]


def run_all(specs: Sequence[RunSpec], on_progress: OnProgress = ignore, compute: Compute | None = None) -> list[Run]:
    """The whole runs of some specs; `compute` is that of engine.runs.compute.Computing unless given.

    This process computes one artifact at a time. What another process is computing is waited for.

    Raises:
        UserError: what a spec asks for is not there, the cache cannot be opened, or an artifact could not be computed;
            those that could are stored.
        Whatever `compute` or `on_progress` raises; artifacts that were finished before are stored.
    """
    with _computing:
        runs = [find_whole(spec) for spec in specs]
        _carry_out(execution.plan([run for run in runs if isinstance(run, Resolved)]), on_progress, compute)
    return [run if isinstance(run, Run) else get(run.key) for run in runs]


def carry_out(
    planned: Callable[[], Sequence[Step]], on_progress: OnProgress = ignore, compute: Compute | None = None
) -> None:
    """Compute what `planned` lists, as `run_all` does; it is asked when no other thread is computing.

    Raises:
        Whatever `planned` raises, and what `run_all` does.
    """
    with _computing:
        _carry_out(planned(), on_progress, compute)


def _carry_out(steps: Sequence[Step], on_progress: OnProgress, compute: Compute | None) -> None:
    if not steps:
        return
    current = [steps[0]]

    def report(progress: Progress) -> None:
        step = current[-1]
        on_progress(replace(progress, stage=f"{step.title}, {steps.index(step) + 1} of {len(steps)}: {progress.stage}"))

    if compute is not None:
        execution.carry_out(steps, compute, report, current.append)
        return
    from engine.runs.compute import Computing

    with Computing() as computing:
        execution.carry_out(steps, computing, report, current.append)


def _run_of_spec(spec: RunSpec, runs_of: RunsOf) -> Run | None:
    try:
        return _stored(resolve(spec), runs_of)
    except WeightsNotHere:
        runs = runs_of(spec)
        return runs[0] if runs else None


def _stored(resolved: Resolved, runs_of: RunsOf) -> Run | None:
    """The stored run with this key, else one that a bundle brought of the same weights."""
    exact = store().record(resolved.key)
    if exact:
        return run_of(exact)
    runs = [run for run in runs_of(resolved.spec) if run.imported and _same_models(run, resolved.provenance)]
    return runs[0] if runs else None


def _same_models(run: Run, wanted: Mapping[str, Any]) -> bool:
    """Whether a run is of these weights, read in this way by this method; its libraries may be others."""
    return {**run.provenance, "libraries": None} == {**wanted, "libraries": None}
