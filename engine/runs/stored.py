"""Stored runs: list them, say what is there of each and what it takes, delete them.

A run is there when its circuit is; `missing` says which of its other artifacts are not. Nothing here imports numpy or
looks at a model, so that a listing is quick.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cache.layout import Record
from engine import settings
from engine.errors import UserError
from engine.runs.cache_connection import errors_of_cache, records, store
from engine.runs.records import Accuracy, Run, RunMeta, short_key
from engine.runs.spec import RunSpec
from engine.schema.artifacts import ALL_KINDS, EVIDENCE_KINDS, KINDS, PART, AnyKind, Kind

MOST_LISTED = 8  # runs that an error names
MOST_NOTICES = 3
MOST_KEPT = 2**16  # runs that are kept in memory once they were read: fewer than a listing has would be of no use


def list_runs() -> list[Run]:
    """Every stored run, newest first; without those whose settings are refused by now, of which `notice` tells."""
    there = {record.key: record for record in records()}
    circuits = [record for record in there.values() if record.kind == "circuit" and not _refused(record)]
    return [_run_with(record, there.get(record.companions.get("ability", ""))) for record in circuits]


def get(key: str) -> Run:
    """The stored run of a key; UserError when there is none."""
    record = store().record(key)
    if record is None or record.kind != "circuit":
        raise UserError(f"There is no run with the key {key!r} in the cache {settings.cache_dir()}.")
    refused = _refused(record)
    if refused:
        raise UserError(f"The run {short_key(key)} cannot be shown: {refused}")
    return run_of(record)


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
    raise UserError(f"No run in the cache {settings.cache_dir()} has a key that begins with {text!r}. {there}")


def delete(key: str) -> int:
    """Remove a run, its artifacts that no other run has and what is left of its parts; how many bytes that freed.

    Raises:
        UserError: there is no such run, or the cache cannot be written.
    """
    run = get(key)
    shared = {other for record in _circuits() if record.key != key for other in record.companions.values()}
    about = [record.key for record in records() if key in circuits_of(record) or key == part_of(record)]
    with errors_of_cache():
        return sum(store().delete(own) for own in (key, *run.companions.values(), *about) if own not in shared)


def prune(older_than: timedelta, keep_bundles: bool) -> tuple[int, int]:
    """Delete the runs that were made before some time, artifacts of that age that belong to no run, and parts of
    circuits that are stored.

    `keep_bundles`: those that a bundle brought stay. How many runs that were, and how many bytes that freed.

    Raises:
        UserError: the cache cannot be written.
    """
    runs, old = _prunable(older_than, keep_bundles)
    with errors_of_cache():
        return runs, sum(store().delete(record.key) for record in old)


def prunable(older_than: timedelta, keep_bundles: bool) -> tuple[int, int]:
    """What `prune` would delete and free, about; nothing is deleted."""
    runs, old = _prunable(older_than, keep_bundles)
    return runs, sum(record.size for record in old)


def _prunable(older_than: timedelta, keep_bundles: bool) -> tuple[int, list[Record]]:
    """How many runs are old, and the artifacts that go with them."""
    before = datetime.now(UTC) - older_than
    old = [record for record in _circuits() if _is_older(record, before) and not (keep_bundles and record.imported)]
    gone = {record.key for record in old}
    needed = {key for record in _circuits() if record.key not in gone for key in record.companions.values()}
    own = {key for record in old for key in record.companions.values()}

    there = {record.key for record in _circuits()} - gone

    def goes(record: Record) -> bool:
        if circuits_of(record):
            without = circuits_of(record) - there
            return bool(without & gone) or (bool(without) and _is_older(record, before))
        if part_of(record):
            return part_of(record) in (gone | there) or _is_older(record, before)
        alone = record.kind != "circuit" and record.key not in needed
        return record.key in gone or (alone and (record.key in own or _is_older(record, before)))

    return len(old), [record for record in records() if goes(record)]


def sizes_of(run: Run) -> dict[AnyKind, int]:
    """Bytes on disk of a run's artifacts that are there, by kind; those that it shares with others included.

    Evidence is that of its own circuit.
    """
    return sizes_of_runs([run])[0]


def sizes_of_runs(runs: Iterable[Run]) -> list[dict[AnyKind, int]]:
    """`sizes_of` of many runs, by going through the cache once."""
    there = {record.key: record for record in records()}
    about: dict[str, list[Record]] = {}
    for record in filter(is_evidence, there.values()):
        about.setdefault(str(record.made_with.get("circuit")), []).append(record)
    sizes = []
    for run in runs:
        own = [(kind, there.get(run.key_of(kind))) for kind in KINDS]
        of_run: dict[AnyKind, int] = {kind: record.size for kind, record in own if record}
        for record in about.get(run.key, ()):
            kind: AnyKind = record.kind  # type: ignore[assignment]  # one of EVIDENCE_KINDS
            of_run[kind] = of_run.get(kind, 0) + record.size
        sizes.append(of_run)
    return sizes


def sizes() -> dict[AnyKind, int]:
    """Bytes on disk of all artifacts, by kind; those of parts of circuits that are not finished too."""
    there, kinds = records(), (*ALL_KINDS, PART)
    return {kind: size for kind in kinds if (size := sum(record.size for record in there if record.kind == kind))}


def notice() -> str | None:
    """Sentences about the cache that the user has to know, or None."""
    sentences = list(store().notices)
    refused = [(record, why) for record in _circuits() if (why := _refused(record))]
    if refused:
        record, why = refused[0]
        sentences.append(f"Runs of an earlier version that are left out: {len(refused)}. {record.key}: {why}")
    if settings.earlier_database().is_file():
        sentences.append(
            f"{settings.earlier_database()} is the cache of an earlier version. Take it over with `python -m engine "
            "import` and its path, then move it away."
        )
    more = [f"And {len(sentences) - MOST_NOTICES} more."] if len(sentences) > MOST_NOTICES else []
    return " ".join([*sentences[:MOST_NOTICES], *more]) or None


def _is_older(record: Record, moment: datetime) -> bool:
    try:
        return datetime.fromisoformat(record.created) < moment
    except (ValueError, TypeError):
        return True  # nobody can show it


def is_evidence(record: Record) -> bool:
    return record.kind in EVIDENCE_KINDS


def circuits_of(record: Record) -> set[str]:
    """The keys of the circuits that a piece of evidence was computed from; none of another artifact."""
    if not is_evidence(record):
        return set()
    return {str(key) for name in ("circuit", "other") if (key := record.made_with.get(name))}


def part_of(record: Record) -> str:
    """The key of the circuit that a part is of (engine/runs/parts.py); empty of another artifact."""
    return str(record.made_with.get("part_of", "")) if record.kind == PART else ""


def _circuits() -> list[Record]:
    return [record for record in records() if record.kind == "circuit"]


def missing(run: Run) -> tuple[Kind, ...]:
    """The kinds of artifacts that are not there of a stored run."""
    return tuple(kind for kind in KINDS if not has(run, kind))


def has(run: Run, kind: Kind) -> bool:
    """Whether an artifact of a stored run is there; its circuit is, as a run is its circuit."""
    return kind == "circuit" or store().record(run.key_of(kind)) is not None


def runs_of(spec: RunSpec) -> list[Run]:
    """The stored runs of a spec, newest first: those that are equal to it once they are read."""
    return [run_of(record) for record in _circuits() if _spec_of(record) == spec]


def runs_by_spec() -> dict[RunSpec, list[Run]]:
    """All stored runs, newest first, by spec: for who looks for many."""
    by_spec: dict[RunSpec, list[Run]] = {}
    for run in list_runs():
        by_spec.setdefault(run.spec, []).append(run)
    return by_spec


def run_of(record: Record) -> Run:
    """The run of a circuit."""
    ability = store().record(record.companions.get("ability", ""))
    return _run_with(record, ability)


@lru_cache(maxsize=MOST_KEPT)
def _run_with(record: Record, ability: Record | None) -> Run:
    """A run from the records of its circuit and, where it is there, of its ability; all who ask share it."""
    return Run(
        key=record.key,
        spec=RunSpec(**record.made_with["spec"]),
        meta=RunMeta.of(dict(record.meta)),
        created=datetime.fromisoformat(record.created).isoformat(timespec="seconds"),
        seconds=record.seconds,
        imported=record.imported,
        provenance=dict(record.made_with),
        companions=record.companions,
        accuracy=Accuracy(**ability.meta) if ability else None,
    )


@lru_cache(maxsize=MOST_KEPT)
def _spec_of(record: Record) -> RunSpec | None:
    """The settings of a circuit; None where they are refused."""
    return None if _refused(record) else RunSpec(**record.made_with["spec"])


@lru_cache(maxsize=MOST_KEPT)
def _refused(record: Record) -> str | None:
    """Why a run with the settings of a stored one is refused by now, unreadable ones included; None where it is not."""
    try:
        RunSpec(**record.made_with["spec"])
        RunMeta.of(dict(record.meta))
        datetime.fromisoformat(record.created)
    except UserError as error:
        return str(error)
    except (KeyError, ValueError, TypeError):
        return "Its settings cannot be read."
    return None
