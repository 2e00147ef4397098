"""Faithfulness of the circuits of two compared runs, in both models, from the evidence that is stored.

Circuits were run at the sizes of MIB's grid (METHOD, "Faithfulness"), and at others that somebody asked for. All
numbers of one row are of one size: K itself where every circuit was run at it, else the size nearest by ratio.
"""

from __future__ import annotations

from collections import Counter
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
    """The faithfulness of compared runs; what was read is kept."""

    def __init__(self, stored: StoredEvidence) -> None:
        self._stored = stored
        self._read: dict[str, dict[str, Points]] = {}  # by the key of the evidence

    def at(self, arm: Run, other: Run, sizes: Sequence[int]) -> dict[int, Faithfulness]:
        """What is known of two runs, by K."""
        own = self._stored.beside_any("faithfulness", arm)  # its own circuit is the same beside whichever model
        beside = self._points_of(own)[OWN] if own else {}
        there = {}
        for k in sizes:
            in_arm, in_other = self._points(arm, other, k), self._points(other, arm, k)
            there[k] = _at({**in_arm, OWN: {**beside, **in_arm[OWN]}}, in_other, k)
        return there

    def _points(self, run: Run, compared: Run, k: int) -> dict[str, Points]:
        """At the sizes of the grid, and at K where it was measured alone: other sizes would lead further from K."""
        points: dict[str, Points] = {OWN: {}, OTHER: {}}
        for evidence in self._stored.faithfulness(run, compared):
            if evidence.size in (None, k):
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
    """At the size that most series have (all of them, as a rule), of these the nearest to K."""
    series = (in_arm[OWN], in_other[OWN], in_other[OTHER], in_arm[OTHER])
    counts = Counter(size for points in series for size in points)
    most = max(counts.values(), default=0)
    size = nearest_size((size for size, count in counts.items() if count == most), k)
    if size is None:
        return Faithfulness()
    return Faithfulness(size, *(points.get(size) for points in series))
