"""Faithfulness of the circuits of two compared runs, in both models, from the evidence that is stored.

Circuits were run at the sizes of MIB's grid (METHOD, "Faithfulness"), and at others that somebody asked for. All
numbers of one row are of one size: K itself where every circuit was run at it, else the size nearest by ratio.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.circuits.intervals import Estimate
from engine.runs import evidence_summary
from engine.runs.cache_connection import records
from engine.runs.evidence import Evidence
from engine.runs.evidence_summary import nearest_size
from engine.runs.records import Run

OWN, OTHER = "own", "other"  # circuits, as the table circuit_runs names them
Points = dict[int, Estimate]  # f by size


@dataclass(frozen=True)
class Faithfulness:
    """f of circuits of `size` edges, in the model that is named last; None: not computed, or it means nothing."""

    size: int | None = None
    arm: Estimate | None = None  # the ARM's own circuit
    other: Estimate | None = None  # the other model's own
    arm_in_other: Estimate | None = None  # the ARM's circuit run in the other model
    other_in_arm: Estimate | None = None


class StoredFaithfulness:
    """All faithfulness evidence in the cache, looked up once."""

    def __init__(self) -> None:
        """Raises UserError where the cache cannot be read."""
        self._by_circuits: dict[tuple[str, str | None, int | None], Evidence] = {}
        self._by_circuit: dict[str, Evidence] = {}
        self._read: dict[str, dict[str, Points]] = {}  # by the key of the evidence
        for record in records():  # the newest first
            if record.kind not in ("faithfulness", "faithfulness_at"):
                continue
            circuit, other, size = (record.made_with.get(name) for name in ("circuit", "other", "size"))
            self._by_circuits.setdefault((str(circuit), other, size), Evidence(record))
            if record.kind == "faithfulness":
                self._by_circuit.setdefault(str(circuit), Evidence(record))

    def has(self, run: Run, compared: Run) -> bool:
        """Whether circuits of two runs were run in the model of the first, over the whole grid of sizes."""
        return (run.key, compared.key, None) in self._by_circuits

    def keys(self, arm: Run, other: Run, sizes: tuple[int, ...]) -> tuple[str, ...]:
        """Those of the evidence that `at` reads, which tell whether what was read before still holds."""
        own = self._by_circuit.get(arm.key)
        pairs = [(a.key, b.key, size) for a, b in ((arm, other), (other, arm)) for size in (None, *sizes)]
        there = [self._by_circuits.get(pair) for pair in pairs]
        return tuple(evidence.key if evidence else "" for evidence in (own, *there))

    def at(self, arm: Run, other: Run, sizes: tuple[int, ...]) -> dict[int, Faithfulness]:
        """What is known of two runs, by K."""
        own = self._by_circuit.get(arm.key)  # its own circuit is the same, whichever model it was compared with
        whole = self._points(arm, other), self._points(other, arm)
        there = {}
        for k in sizes:
            in_arm, in_other = (
                _joined(points, self._points(*runs, k))
                for points, runs in zip(whole, ((arm, other), (other, arm)), strict=True)
            )
            if not in_arm[OWN] and own:
                in_arm = {**in_arm, OWN: self._points_of(own)[OWN]}
            there[k] = _at(in_arm, in_other, k)
        return there

    def _points(self, run: Run, compared: Run, size: int | None = None) -> dict[str, Points]:
        evidence = self._by_circuits.get((run.key, compared.key, size))
        return self._points_of(evidence) if evidence else {OWN: {}, OTHER: {}}

    def _points_of(self, evidence: Evidence) -> dict[str, Points]:
        if evidence.key not in self._read:
            self._read[evidence.key] = _points(evidence)
        return self._read[evidence.key]


def _points(evidence: Evidence) -> dict[str, Points]:
    """f of both models' circuits, by size above 0; without the sizes at which it means nothing."""
    points: dict[str, Points] = {OWN: {}, OTHER: {}}
    for point in evidence_summary.circuit_points(evidence):
        if point.circuit in points and point.size and point.f is not None:
            points[point.circuit][point.size] = Estimate(point.f, point.low, point.high)
    return points


def _joined(first: dict[str, Points], second: dict[str, Points]) -> dict[str, Points]:
    return {circuit: {**second[circuit], **points} for circuit, points in first.items()}


def _at(in_arm: dict[str, Points], in_other: dict[str, Points], k: int) -> Faithfulness:
    series = (in_arm[OWN], in_other[OWN], in_other[OTHER], in_arm[OTHER])
    there = [set(points) for points in series if points]
    size = nearest_size(set.intersection(*there), k) if there else None
    if size is None:
        return Faithfulness()
    return Faithfulness(size, *(points.get(size) for points in series))
