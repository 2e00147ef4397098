"""Find the run of a spec in the cache, else compute and keep it; list and delete runs.

1. A run with the spec's key is read from the cache (`find`). Where the weights are not here, so that there is no key,
   the newest run of the spec is; runs come from elsewhere in bundles (engine/exchange/bundle.py).
2. Otherwise it is computed (`run`, or engine/runs/jobs.py in another process) and stored whole (`keep`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from cache.keys import hash_of
from cache.store import RunRow
from engine import settings
from engine.errors import UserError
from engine.models.pairs import pair_named
from engine.models.scorable import refuse_unscorable
from engine.runs import device_plan
from engine.runs.cache_connection import store
from engine.runs.provenance import key_of, provenance_of
from engine.runs.records import Progress, Run, RunMeta, RunTables, short_key
from engine.runs.spec import RunSpec
from engine.tasks import task_named

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
        provenance_of(spec)
        pair = pair_named(spec.pair)
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
    task_named(spec.task)
    pair_named(spec.pair)
    try:
        wanted = provenance_of(spec)
    except UserError:
        rows = _rows_of(spec)
    else:
        exact = store().run(hash_of(wanted))
        rows = [exact] if exact else [row for row in _rows_of(spec) if row.imported and _same_models(row, wanted)]
    return _run(rows[0]) if rows else None


def run(spec: RunSpec, on_progress: OnProgress = ignore, compute: Compute | None = None) -> Run:
    """The run of a spec: from the cache, else computed here and stored whole.

    `compute` is engine.runs.compute.compute unless given. One run is computed at a time, and never the same one twice.

    Raises:
        UserError: what the spec asks for is not there, or the cache cannot be opened.
        Whatever `compute` or `on_progress` raises; then nothing is stored.
    """
    with _computing:
        found = find(spec)
        if found:
            return found
        began = time.monotonic()
        tables = (compute or _compute())(spec, on_progress)
        return keep(spec, tables, time.monotonic() - began)


def keep(spec: RunSpec, tables: RunTables, seconds: float) -> Run:
    """Store what was computed for a spec in `seconds`, whole or not at all."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    meta = replace(tables.meta, stored_bytes=sum(table.nbytes for table in tables.tables.values()))
    row = RunRow(
        key=key_of(spec),
        spec=json.dumps(spec.as_dict()),
        meta=json.dumps(asdict(meta)),
        created=now,
        seconds=seconds,
        made_with=json.dumps(provenance_of(spec)),
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
    found = [run for run in runs if text and run.key.startswith(text.lower())]
    if len(found) == 1:
        return found[0].key
    shown = [f"{short_key(run.key)} ({run.spec.model} on {run.spec.task})" for run in (found or runs)[:MOST_LISTED]]
    more = len(found or runs) - len(shown)
    listed = ", ".join(shown) + (f" and {more} more" if more else "")
    if found:
        raise UserError(f"{len(found)} runs have a key that begins with {text!r}: {listed}. Give more of it.")
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


def _run(row: RunRow) -> Run:
    return Run(
        key=row.key,
        spec=RunSpec(**json.loads(row.spec)),
        meta=RunMeta.of(json.loads(row.meta)),
        created=row.created,
        seconds=row.seconds,
        imported=row.imported,
        provenance=json.loads(row.made_with or "{}"),
    )


def _refused(row: RunRow) -> str | None:
    """Why a run with the settings of a stored one is refused by now; None where it is not."""
    try:
        RunSpec(**json.loads(row.spec))
    except UserError as error:
        return str(error)
    return None


def _rows_of(spec: RunSpec) -> list[RunRow]:
    return store().runs_of(json.dumps(spec.as_dict()))


def _same_models(row: RunRow, wanted: dict[str, Any]) -> bool:
    """Whether a run is of these weights, read in this way by this method; its libraries may be others."""
    found: dict[str, Any] = json.loads(row.made_with or "{}")
    return {**found, "libraries": None} == {**wanted, "libraries": None}
