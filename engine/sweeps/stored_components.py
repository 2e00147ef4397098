"""What stored knockouts and audits say of two compared runs, a number each for the table of a sweep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.circuits.agreement import ALL, spearman
from engine.runs import evidence_summary
from engine.runs.evidence import Evidence
from engine.runs.evidence_summary import estimator_of
from engine.runs.records import Run
from engine.sweeps.stored_evidence import StoredEvidence
from engine.sweeps.table_columns import number_or_empty

SHARED = "shared"  # of group_knockouts: heads that are important in both models


@dataclass(frozen=True)
class Components:
    """None: not computed, or there is no such number."""

    knockouts_spearman: float | None = None  # of the changes without each component, between both models
    right_without_shared_arm: float | None = None  # share of right tokens without the heads important in both
    right_without_shared_other: float | None = None
    audit_spearman_arm: float | None = None  # of the estimates that the circuit is made of with exact scores
    audit_spearman_other: float | None = None


class StoredComponents:
    """Of compared runs; what was read is kept."""

    def __init__(self, stored: StoredEvidence) -> None:
        self._stored = stored
        self._changes: dict[str, dict[int, float]] = {}  # by the key of the evidence
        self._audits: dict[str, float | None] = {}

    def of(self, arm: Run, other: Run) -> Components:
        """What is known of two runs."""
        return Components(
            self._alike(arm, other),
            self._right_without_shared(arm, other),
            self._right_without_shared(other, arm),
            self._audit(arm),
            self._audit(other),
        )

    def _alike(self, arm: Run, other: Run) -> float | None:
        # The change without a component is the same beside whichever model: only groups depend on the other's circuit.
        there = [self._stored.beside_any("knockouts", run) for run in (arm, other)]
        changes = [self._changes_of(evidence) for evidence in there if evidence]
        if len(changes) < 2:
            return None
        nodes = sorted(changes[0].keys() & changes[1].keys())
        values = [np.array([each[node] for node in nodes]) for each in changes]
        return number_or_empty(spearman(values[0], values[1]))

    def _changes_of(self, evidence: Evidence) -> dict[int, float]:
        if evidence.key not in self._changes:
            listed = evidence_summary.knockouts(evidence)
            self._changes[evidence.key] = {knockout.node: knockout.change for knockout in listed}
        return self._changes[evidence.key]

    def _right_without_shared(self, run: Run, compared: Run) -> float | None:
        evidence = self._stored.of("knockouts", run, compared)
        groups = evidence_summary.group_knockouts(evidence) if evidence else []
        return next((group.right for group in groups if group.selection == SHARED), None)

    def _audit(self, run: Run) -> float | None:
        evidence, estimator = self._stored.beside_any("audit", run), estimator_of(run.spec)
        if evidence is None or estimator is None:
            return None
        if evidence.key not in self._audits:
            listed = evidence_summary.agreements(evidence)
            of_all = {each.estimator: each.spearman for each in listed if each.selection == ALL}
            self._audits[evidence.key] = number_or_empty(of_all[estimator])
        return self._audits[evidence.key]
