"""What a bundle says of its evidence, checked field by field before any is kept; its tables: evidence_table_checks.py.

1. What it was made with must name exactly what engine/runs/evidence.py writes, and circuits of the bundle, by their
   keys and by their specs.
2. What sums it up must have the fields of its kind: finite numbers, intervals in order, short texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cache.keys import hash_of
from cache.layout import Record
from engine.errors import UserError, shortened
from engine.exchange import bundle_checks as checks
from engine.exchange.column_checks import refuse
from engine.files.reading import Json
from engine.runs import evidence as here
from engine.runs.records import RunMeta
from engine.runs.spec import RunSpec
from engine.schema.columns import LARGEST, SLACK
from engine.schema.evidence_tables import CIRCUITS

FIELDS = ("artifact", "evidence_version", "circuit", "spec", "other", "other_spec", "size", "libraries")
AREAS = ("cpr", "cmd")
Bounds = tuple[float, float]
ANY: Bounds = (-LARGEST, LARGEST)
POSITIVE: Bounds = (0.0, LARGEST)
SHARE: Bounds = (-SLACK, 1 + SLACK)
FAITHFULNESS: dict[str, Bounds] = {
    "full": ANY, "corrupted": ANY, "spread": POSITIVE, "right_full": SHARE, "right_corrupted": SHARE,
}  # fmt: skip
NUMBERS: dict[str, dict[str, Bounds]] = {  # of what sums up evidence, by kind
    "faithfulness": FAITHFULNESS,
    "faithfulness_at": FAITHFULNESS,
    "knockouts": {"full": ANY, "corrupted": ANY, "right_full": SHARE},
    "audit": {"full": ANY, "corrupted": ANY, "rounding": POSITIVE},
}
BESIDE: dict[str, tuple[str, ...]] = {"faithfulness": ("remark",), "faithfulness_at": ("remark",)}
MAY_LACK: dict[str, tuple[str, ...]] = {"faithfulness": ("areas",)}  # given only where faithfulness is


def circuit_of(record: Record, circuits: Mapping[str, Record]) -> Record:
    """The circuit, of those of the bundle (checked, by key), that a piece of evidence examines.

    Raises:
        UserError: it was made with something else than evidence of its kind is, or with a circuit that is not there.
    """
    made, named = record.made_with, f"the evidence {record.key}"
    unknown = set(made) ^ set(FIELDS)
    refuse(bool(unknown), f"{named} was made without {shortened(min(unknown, default=''))}, or with it and should not")
    other = f"{named} says that it is of the kind {shortened(made['artifact'])}, not {record.kind}"
    refuse(made["artifact"] != record.kind, other)
    version = made["evidence_version"]
    refuse(type(version) is not int or version < 1, f"{named} does not say its evidence_version")
    refuse(version > here.EVIDENCE_VERSION, "a later version of this program computed it. Update the program")
    _refuse_other_libraries(made["libraries"], named)
    circuit = _named_circuit(made, "circuit", "spec", circuits, named)
    graph = RunMeta.of(dict(circuit.meta)).graph
    if record.kind in here.OF_ONE_MODEL:
        alone = made["other"] is None and made["other_spec"] is None
        refuse(not alone, f"{named} names another circuit, which evidence of the kind {record.kind} does not use")
    else:
        compared = _named_circuit(made, "other", "other_spec", circuits, named)
        beside = RunSpec(**compared.made_with["spec"])
        fits = beside == here.other_of(RunSpec(**circuit.made_with["spec"]), beside.denoising_steps)
        refuse(not fits, f"the circuits of {named} are not those of an ARM and an MDM with the same settings")
        same = RunMeta.of(dict(compared.meta)).graph == graph
        refuse(not same, f"the circuits of {named} are of models with different numbers of layers or heads")
    _refuse_other_size(made["size"], record.kind == "faithfulness_at", graph.n_edges, named)
    return circuit


def checked_meta(record: Record) -> Json:
    """What sums up a piece of evidence, written anew.

    Raises:
        UserError: a field is missing, too many, or not what it should be.
    """
    kind, values, named = record.kind, record.meta, f"of the evidence {record.key}"
    needed = (*NUMBERS[kind], *BESIDE.get(kind, ()))
    known = (*needed, *MAY_LACK.get(kind, ()))
    unknown = [name for name in values if name not in known]
    refuse(bool(unknown), f"the meta {named} has an unknown field {shortened(min(unknown, default=''))}")
    missing = [name for name in needed if name not in values]
    refuse(bool(missing), f"the meta {named} lacks the field {min(missing, default='')!r}")
    result: dict[str, Any] = {name: _number(values[name], name, named, of) for name, of in NUMBERS[kind].items()}
    if "remark" in known:
        remark = values["remark"]
        result["remark"] = remark if remark is None else checks.text(remark, f"the remark {named}")
    if "areas" in values:
        result["areas"] = _areas(values["areas"], named)
    return result


def _named_circuit(made: Mapping[str, Any], key: str, spec: str, circuits: Mapping[str, Record], named: str) -> Record:
    there = isinstance(made[key], str) and made[key] in circuits
    refuse(not there, f"{named} uses the circuit {shortened(made[key])}, which is not in the bundle")
    circuit = circuits[made[key]]
    same = isinstance(made[spec], dict) and hash_of(made[spec]) == hash_of(circuit.made_with["spec"])  # true is no 1
    refuse(not same, f"{named} states another {spec} than its circuit {circuit.key}")
    return circuit


def _refuse_other_libraries(libraries: object, named: str) -> None:
    if not isinstance(libraries, dict) or len(libraries) > checks.MOST_VERSIONS:
        raise UserError(f"{named} does not say its libraries, or too many")
    for name, version in libraries.items():
        checks.text(name, f"a library of {named}")
        checks.text(version, f"the version of a library of {named}")


def _refuse_other_size(size: object, is_at_size: bool, n_edges: int, named: str) -> None:
    if not is_at_size:
        refuse(size is not None, f"{named} states the size {shortened(size)}, where it has none")
    elif type(size) is not int or not 0 <= size <= n_edges:
        raise UserError(f"{named} states the size {shortened(size)}. It must be a whole number from 0 to {n_edges:,}")


def _number(value: object, name: str, named: str, bounds: Bounds = ANY) -> float:
    low, high = bounds
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        limits = f"from {low:g} to {high:g}"
        raise UserError(f"{name} in the meta {named} is {shortened(value)}. It must be a number {limits}")
    return value


def _areas(values: object, named: str) -> dict[str, dict[str, list[float | None]]]:
    """CPR and CMD by circuit, each with the ends of its interval, which both may be missing."""
    wrong = UserError(f"areas in the meta {named} are not a CPR and a CMD for each of some circuits")
    if not isinstance(values, dict) or not set(values) <= set(CIRCUITS):
        raise wrong
    result: dict[str, dict[str, list[float | None]]] = {}
    for circuit, areas in values.items():
        if not isinstance(areas, dict) or set(areas) != set(AREAS):
            raise wrong
        result[circuit] = {area: _estimate(areas[area], f"{area} of {circuit}", named) for area in AREAS}
    return result


def _estimate(value: object, name: str, named: str) -> list[float | None]:
    """A number and the ends of its interval."""
    if not isinstance(value, list) or len(value) != 3:
        raise UserError(f"{name} in the meta {named} is {shortened(value)}. It must be a number and its interval")
    if value[1] is None and value[2] is None:
        return [_number(value[0], name, named), None, None]
    estimate, low, high = (_number(each, name, named) for each in value)
    refuse(low > high, f"{name} in the meta {named} has an interval that ends before it begins")
    return [estimate, low, high]
