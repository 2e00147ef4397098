"""Find the run of a spec in the cache, else compute and keep it; list and delete runs.

1. A run with the spec's key is read from the cache (`find`). Where the weights are not here, so that there is no key,
   the newest run of the spec is; runs come from elsewhere in bundles (engine/exchange/bundle.py).
2. Otherwise it is computed (`run`, or engine/runs/jobs.py in another process) and stored whole (`keep`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cache.layout import RunRow
from engine import settings
from engine.errors import UserError
from engine.models.scorable import refuse_unscorable
from engine.runs import device_plan
from engine.runs.cache_connection import store
from engine.runs.provenance import Resolved, WeightsNotHere, resolve
from engine.runs.records import Progress, Run, RunMeta, RunTables, short_key
from engine.runs.spec import RunSpec

MOST_LISTED = 8  # runs that an error names

OnProgress = Callable[[Progress], None]
Compute = Callable[[RunSpec, OnProgress], RunTables]

_computing = threading.Lock()


def ignore(progress: Progress) -> None:
    """Take a report of progress and do nothing with it."""


def obstacle(spec: RunSpec) -> str | None:
    """Why a spec cannot be computed here, in a sentence: its weights are not here, can't be scored or are too large.

    None where it can.
    """
    try:
        pair = resolve(spec).pair
        for model in dict.fromkeys(("arm", spec.model)):  # an MDM is compared with its ARM
            refuse_unscorable(pair, model)
        shape = device_plan.shape_of(pair)
        if shape is not None:
            device_plan.refuse_too_large(device_plan.plan(shape, (spec.dtype,)), pair.folder(spec.model))
    except UserError as error:
        return str(error)
    return None


def find(spec: RunSpec) -> Run | None:
    """The stored run of a spec, or None.

    Where the weights are here, it is the run with the spec's key, else one that a bundle brought of the same weights,
    whatever the versions of the libraries. Where they are not, it is the newest run of the spec.

    Raises:
        UserError: no such pair or task.
    """
    try:
        return _stored(resolve(spec))
    except WeightsNotHere:
        rows = _rows_of(spec)
        return _run(rows[0]) if rows else None


def find_or_resolve(spec: RunSpec) -> Run | Resolved:
    """The stored run of a spec as `find` knows it, else what there is to compute.

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
    return _stored(resolved) or resolved


def _stored(resolved: Resolved) -> Run | None:
    """The stored run with this key, else one that a bundle brought of the same weights."""
    exact = store().run(resolved.key)
    if exact:
        return _run(exact)
    rows = [row for row in _rows_of(resolved.spec) if row.imported and _same_models(row, resolved.provenance)]
    return _run(rows[0]) if rows else None


def run(spec: RunSpec, on_progress: OnProgress = ignore, compute: Compute | None = None) -> Run:
    """The run of a spec: from the cache, else computed here and stored whole.

    `compute` is engine.runs.compute.compute unless given. One run is computed at a time, and never the same one twice.

    Raises:
        UserError: what the spec asks for is not there, or the cache cannot be opened.
        Whatever `compute` or `on_progress` raises; then nothing is stored.
    """
    with _computing:
        match = find_or_resolve(spec)
        if isinstance(match, Run):
            return match
        began = time.monotonic()
        tables = (compute or _compute())(spec, on_progress)
        return keep(match, tables, time.monotonic() - began)


def keep(resolved: Resolved, tables: RunTables, seconds: float) -> Run:
    """Store what was computed in `seconds` for a spec, whole or not at all."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    meta = replace(tables.meta, stored_bytes=sum(table.nbytes for table in tables.tables.values()))
    row = RunRow(
        key=resolved.key,
        spec=json.dumps(resolved.spec.as_dict()),
        meta=json.dumps(asdict(meta)),
        created=now,
        seconds=seconds,
        made_with=json.dumps(resolved.provenance),
    )
    store().add_run(row, tables.tables)
    return get(row.key)


def list_runs() -> list[Run]:
    """Every stored run, newest first; without those whose settings are refused by now, of which `notice` tells."""
    return [_run(row) for row in store().runs() if not _refused(row)]


def get(key: str) -> Run:
    """The stored run of a key; UserError when there is none."""
    row = store().run(key)
    if row is None:
        raise UserError(f"There is no run with the key {key!r} in the cache {settings.database_path()}.")
    return _run(row)


def key_beginning(text: str) -> str:
    """The key of the one stored run whose key begins so.

    Raises:
        UserError: no run's does, or several do; the text lists them.
    """
    runs = list_runs()
    matches = [run for run in runs if text and run.key.startswith(text.lower())]
    if len(matches) == 1:
        return matches[0].key
    shown = [f"{short_key(run.key)} ({run.spec.model} on {run.spec.task})" for run in (matches or runs)[:MOST_LISTED]]
    more = len(matches or runs) - len(shown)
    listed = ", ".join(shown) + (f" and {more} more" if more else "")
    if matches:
        raise UserError(f"{len(matches)} runs have a key that begins with {text!r}: {listed}. Give more of it.")
    there = f"There are {listed}." if runs else "There are no runs yet."
    raise UserError(f"No run in the cache {settings.database_path()} has a key that begins with {text!r}. {there}")


def delete(key: str) -> None:
    """Remove a run, its tables and its comparisons from the cache."""
    if store().run(key) is None:
        get(key)  # says so
    store().delete_run(key)


def notice() -> str | None:
    """A sentence about the cache that the user has to know, or None."""
    moved = store().set_aside
    if moved:
        return f"The cache could not be read. It was set aside as {moved} and a new one was begun."
    refused = [(row, why) for row in store().runs() if (why := _refused(row))]
    if refused:
        row, why = refused[0]
        return f"Runs of an earlier version that are left out: {len(refused)}. {row.key}: {why}"
    return None


def _compute() -> Compute:
    from engine.runs.compute import compute

    chosen: Compute = compute
    return chosen


@lru_cache(maxsize=1024)
def _run(row: RunRow) -> Run:
    """The record of a run, as all who ask share it."""
    return Run(
        key=row.key,
        spec=RunSpec(**json.loads(row.spec)),
        meta=RunMeta.of(json.loads(row.meta)),
        created=row.created,
        seconds=row.seconds,
        imported=row.imported,
        provenance=json.loads(row.made_with or "{}"),
    )


@lru_cache(maxsize=1024)
def _refused(row: RunRow) -> str | None:
    """Why a run with the settings of a stored one is refused by now, unreadable ones included; None where it is not."""
    try:
        RunSpec(**json.loads(row.spec))
    except UserError as error:
        return str(error)
    except (ValueError, TypeError):
        return "Its settings cannot be read."
    return None


def _rows_of(spec: RunSpec) -> list[RunRow]:
    """The stored runs of a spec, newest first: those that are equal to it once they are read."""
    rows = store().runs_with(spec.as_dict())
    return [row for row in rows if not _refused(row) and RunSpec(**json.loads(row.spec)) == spec]


def _same_models(row: RunRow, wanted: Mapping[str, Any]) -> bool:
    """Whether a run is of these weights, read in this way by this method; its libraries may be others."""
    stored: dict[str, Any] = json.loads(row.made_with or "{}")
    return {**stored, "libraries": None} == {**wanted, "libraries": None}
