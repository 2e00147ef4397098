"""Faithfulness of the circuits of two compared runs, in both models, from the evidence that is stored.

Circuits were run at the sizes of MIB's grid (METHOD, "Faithfulness"), and at others that somebody asked for. All
numbers of one row are of one size: K itself where every circuit was run at it, else the size nearest by ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.circuits.intervals import Estimate
from engine.runs import evidence_summary
from engine.runs.evidence import Evidence
from engine.runs.evidence_summary import nearest_size
from engine.runs.records import Run
from engine.sweeps.stored_evidence import StoredEvidence

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
    """The faithfulness of a sweep's runs; every artifact is read once."""

    def __init__(self, stored: StoredEvidence) -> None:
        self._stored = stored
        self._read: dict[str, dict[str, Points]] = {}  # by the key of the evidence

    def at(self, arm: Run, other: Run, sizes: Sequence[int]) -> dict[int, Faithfulness]:
        """What is known of two runs, by K."""
        in_arm, in_other = self._points(arm, other), self._points(other, arm)
        own = self._stored.beside_any("faithfulness", arm)  # its own circuit is the same beside whichever model
        if not in_arm[OWN] and own:
            in_arm = {**in_arm, OWN: self._points_of(own)[OWN]}
        return {k: _at(in_arm, in_other, k) for k in sizes}

    def _points(self, run: Run, compared: Run) -> dict[str, Points]:
        points: dict[str, Points] = {OWN: {}, OTHER: {}}
        for evidence in self._stored.faithfulness(run, compared):
            for circuit, measured in self._points_of(evidence).items():
                points[circuit] = {**measured, **points[circuit]}
        return points

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


def _at(in_arm: dict[str, Points], in_other: dict[str, Points], k: int) -> Faithfulness:
    series = (in_arm[OWN], in_other[OWN], in_other[OTHER], in_arm[OTHER])
    there = [set(points) for points in series if points]
    size = nearest_size(set.intersection(*there), k) if there else None
    if size is None:
        return Faithfulness()
    return Faithfulness(size, *(points.get(size) for points in series))
