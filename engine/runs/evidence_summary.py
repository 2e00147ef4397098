"""What stored evidence of a model says, as records: circuits that were run, knockouts, agreement of estimators.

`evidence_of` looks up what is there of a model; the other functions sum an artifact's tables up. Random circuits and
random groups were drawn several times: of them a record holds the mean, and the smallest and the largest value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from engine.circuits.agreement import Agreement, agreement
from engine.errors import UserError
from engine.runs import evidence as kept
from engine.runs import lifecycle
from engine.runs.evidence import Evidence
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.schema.artifacts import EVIDENCE_KINDS, EvidenceKind
from engine.schema.evidence_tables import ESTIMATORS
from engine.schema.vocabulary import TOTAL

SIZES = (50, 200, 1000)  # K at which faithfulness is told
TAU = 0.85
RANDOM = "random"
COMPARED = ("own", "other", RANDOM)  # circuits by which a size is compared between models


@dataclass(frozen=True)
class ModelEvidence:
    """A stored run, and the evidence of its circuit that is there, by kind."""

    run: Run
    by_kind: Mapping[str, Evidence]
    faithfulness: Sequence[Evidence] = ()  # over the grid of sizes, if that is there, then at single sizes, ascending

    def get(self, kind: EvidenceKind) -> Evidence | None:
        return self.by_kind.get(kind)


@dataclass(frozen=True)
class CircuitPoint:
    """A circuit that was run: its faithfulness with the ends of its interval, or of the range over draws."""

    circuit: str
    size: int  # K
    edges: int  # that were run
    f: float | None
    low: float | None
    high: float | None
    right: float  # share of scored tokens


@dataclass(frozen=True)
class Knockout:
    """A head or MLP that was removed alone: what that changes of the metric, with its interval."""

    node: int
    change: float
    low: float | None
    high: float | None
    right: float  # share of scored tokens


@dataclass(frozen=True)
class GroupKnockout:
    """Heads and MLPs that were removed together; the ends of the range over draws, where there are several."""

    selection: str
    removed: int
    metric: float
    right: float  # share of scored tokens
    low: float  # of `right`
    high: float


def evidence_of(spec: RunSpec, size: int | None = None, denoising_steps: int = 0) -> ModelEvidence | None:
    """What is stored of a spec; None without its circuit. `size`: K, of the evidence at one size.

    `denoising_steps`: of the MDM with which an ARM is compared.

    Raises:
        UserError: no such pair or task.
    """
    run, other = lifecycle.find(spec), lifecycle.find(kept.other_of(spec, denoising_steps))
    return None if run is None else evidence_of_run(run, other, size)


def evidence_of_run(run: Run, other: Run | None, size: int | None = None) -> ModelEvidence:
    """What is stored of a run and, where it uses one, of the other model's."""
    there = {
        kind: kept.find(run, kind, other, size if kind == "faithfulness_at" else None)
        for kind in EVIDENCE_KINDS
        if size is not None or kind != "faithfulness_at"
    }
    faithfulness = kept.faithfulness_of(run, other) if other else []
    return ModelEvidence(run, {kind: evidence for kind, evidence in there.items() if evidence}, faithfulness)


def circuit_points(evidence: Evidence, part: str = TOTAL) -> list[CircuitPoint]:
    """Of the artifact `faithfulness` or `faithfulness_at`: circuits by name, each by size."""
    return _points(kept.table(evidence, "circuit_runs", part=part).to_pylist())


def all_points(of_model: ModelEvidence) -> list[CircuitPoint]:
    """As `circuit_points`, of all sizes at which a model's circuits were run, on the grid or alone."""
    tables = [kept.table(each, "circuit_runs", part=TOTAL).to_pylist() for each in of_model.faithfulness]
    return _points(joined(tables))


def joined(tables: Iterable[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of several tables circuit_runs: of a size that several have, those of the first."""
    rows: list[dict[str, Any]] = []
    for table in tables:
        known = {row["size"] for row in rows}
        rows += [row for row in table if row["size"] not in known]
    return rows


def nearest_size(sizes: Iterable[int], k: int) -> int | None:
    """The measured size that stands for K wherever f is told: K itself where it is measured, else the nearest by ratio.

    Of two that are equally near it is the smaller one; None: no size above 0 is measured. The circuit component has
    the same rule (pages/components/circuit/js/faithful.js).
    """
    return min(sorted(set(sizes) - {0}), key=lambda size: max(size, k) / min(size, k), default=None)


def nearest_sizes(points: Sequence[CircuitPoint], wanted: Iterable[int] = SIZES) -> list[int]:
    """Of the sizes that were run, the one nearest to each that is wanted; each once, ascending."""
    return nearest_of({point.size for point in points}, wanted)


def nearest_of(sizes: Collection[int], wanted: Iterable[int] = SIZES) -> list[int]:
    """Of some sizes, the one nearest to each that is wanted; each once, ascending."""
    near = (nearest_size(sizes, k) for k in wanted)
    return sorted({size for size in near if size is not None})


def common_sizes(models: Iterable[Sequence[Mapping[str, Any]]]) -> set[int]:
    """Sizes at which all of COMPARED were run in every model; of each the rows of circuit_runs, of the whole answer."""
    run = [
        {row["size"] for row in rows if row["circuit"] == circuit and row["size"]}
        for rows in models
        for circuit in COMPARED
    ]
    return set.intersection(*run) if run else set()


def smallest_faithful(evidence: Evidence, tau: float = TAU) -> int | None:
    """Of the artifact `faithfulness`: the smallest own circuit with f >= tau; None: no size reaches it."""
    rows = kept.table(evidence, "smallest_circuits", circuit="own").to_pylist()
    taus = [row["tau"] for row in rows]
    if not taus:
        return None
    row = rows[min(range(len(taus)), key=lambda i: abs(taus[i] - tau))]
    if abs(row["tau"] - tau) > 1e-6:
        raise UserError(f"tau is {tau}. Choose one of: {', '.join(f'{known:.2f}' for known in taus)}.")
    size: int | None = row["size"]
    return size


def knockouts(evidence: Evidence, replaced_by: str = "corrupted") -> list[Knockout]:
    """Of the artifact `knockouts`: every head and MLP, the one that changes the metric most first."""
    rows = kept.table(evidence, "knockouts", replaced_by=replaced_by, part=TOTAL).to_pylist()
    listed = [Knockout(row["node"], row["change"], row["change_low"], row["change_high"], row["right"]) for row in rows]
    return sorted(listed, key=lambda knockout: (-abs(knockout.change), knockout.node))


def group_knockouts(evidence: Evidence) -> list[GroupKnockout]:
    """Of the artifact `knockouts`: groups by selection, each by how many were removed."""
    rows = kept.table(evidence, "group_knockouts").to_pylist()
    return [_group(list(draws)) for _, draws in _grouped(rows, "selection", "removed")]


def agreements(evidence: Evidence) -> list[Agreement]:
    """Of the artifact `audit`: how well every estimator agrees with the exact scores, by selection of edges."""
    columns = kept.table(evidence, "audited_edges").to_pydict()
    return agreement(columns, float(evidence.meta.get("rounding", 0.0)), ESTIMATORS)


def estimator_of(spec: RunSpec) -> str | None:
    """The estimator of an audit that is the method of a spec's circuit; None: it is none of them."""
    method = spec.method.replace("-", "_")
    name = f"{method}_{spec.points}" if spec.method == "eap-ig" else method
    return name if name in ESTIMATORS else None


def areas(evidence: Evidence, circuit: str) -> Mapping[str, Sequence[float | None]]:
    """CPR and CMD of a circuit's sizes, each as value, low and high; empty where f is not given."""
    return (evidence.meta.get("areas") or {}).get(circuit, {})


def _grouped(rows: list[dict[str, Any]], *names: str) -> Any:
    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in names)

    return groupby(sorted(rows, key=key), key)


def _points(rows: list[dict[str, Any]]) -> list[CircuitPoint]:
    return [_point(list(draws)) for _, draws in _grouped(rows, "circuit", "size")]


def _point(draws: list[dict[str, Any]]) -> CircuitPoint:
    first = draws[0]
    f, low, high = first["f"], first["f_low"], first["f_high"]
    if first["circuit"] == RANDOM and f is not None:
        values = [row["f"] for row in draws]
        f, low, high = _mean(values), min(values), max(values)
    right = _mean([row["right"] for row in draws])
    return CircuitPoint(first["circuit"], first["size"], first["edges"], f, low, high, right)


def _group(draws: list[dict[str, Any]]) -> GroupKnockout:
    right, metric = ([row[name] for row in draws] for name in ("right", "metric"))
    first = draws[0]
    return GroupKnockout(
        first["selection"], first["removed"], _mean(metric), _mean(right), min(right), max(right)
    )  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
