"""The artifacts of a run: what each depends on, and so its key.

The provenance of a run (engine/runs/provenance.py) is that of its circuit, which depends on every field of the spec.
The other artifacts depend on fewer fields, and share a key wherever those are equal: another method finds all of them,
another task finds `weights`, another seed finds `weights` and `ability`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from cache.keys import hash_of
from cache.layout import Record
from engine.runs.records import Accuracy, ArtifactTables, RunMeta, RunTables
from engine.schema.artifacts import KINDS, Kind, columns_in, kinds_of, tables_in
from engine.schema.tables import TABLES

EXAMPLES = ("pair", "model", "task", "template", "n", "seed", "order", "denoising_steps", "dtype")
FIELDS: dict[str, tuple[str, ...]] = {  # of the spec, on which an artifact depends; a circuit depends on all
    "ability": ("pair", "model", "task", "template", "dtype"),
    "lens": EXAMPLES,
    "activity": EXAMPLES,
    "weights": ("pair", "model", "dtype"),
}


def made_with(kind: Kind, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that changes the numbers of an artifact, from the provenance of its run."""
    if kind == "circuit":
        return dict(provenance)
    spec = {name: value for name, value in provenance["spec"].items() if name in FIELDS[kind]}
    if spec["model"] == "arm":
        spec.pop("order", None)  # an ARM reveals nothing
    description = {**provenance, "artifact": kind, "spec": spec}
    if "n" not in spec:
        description.pop("examples_at_once", None)
    if kind != "weights":
        del description["compared_with"]  # only neurons are compared with the ARM's weights
    return description


def keys_of(provenance: Mapping[str, Any]) -> dict[Kind, str]:
    """The key of every artifact of a run."""
    return {kind: hash_of(made_with(kind, provenance)) for kind in KINDS}


def companions_of(keys: Mapping[Kind, str]) -> dict[str, str]:
    """The keys of the artifacts that belong to a circuit, by kind."""
    return {kind: key for kind, key in keys.items() if kind != "circuit"}


def record_of(
    kind: Kind, provenance: Mapping[str, Any], meta: Mapping[str, Any], created: str, seconds: float
) -> Record:
    """The record of an artifact of the run with this provenance; `created` in ISO 8601, `seconds` of computing."""
    keys = keys_of(provenance)
    return Record(
        key=keys[kind],
        kind=kind,
        made_with=made_with(kind, provenance),
        meta=meta,
        created=created,
        seconds=seconds,
        companions=companions_of(keys) if kind == "circuit" else {},
    )


def split(run: RunTables, kind: Kind) -> ArtifactTables:
    """What an artifact of a kind holds of a complete run."""
    meta: dict[str, Any] = {}
    if kind == "circuit":
        meta = asdict(run.meta)
    elif kind == "ability":
        meta = asdict(run.accuracy)
    tables = {
        name: run.tables[name].select([column.name for column in columns_in(kind, name)]) for name in tables_in(kind)
    }
    return ArtifactTables(meta, tables)


def whole(made: Mapping[Kind, ArtifactTables]) -> RunTables:
    """A complete run from all of its artifacts."""
    from engine.schema.arrow import table  # which imports pyarrow

    tables = {}
    for name in TABLES:
        columns: dict[str, Any] = {}
        for kind in kinds_of(name):
            own = made[kind].tables[name]
            columns |= {column: own[column] for column in own.column_names}
        tables[name] = table(name, columns)
    return RunTables(RunMeta.of(dict(made["circuit"].meta)), Accuracy(**made["ability"].meta), tables)
