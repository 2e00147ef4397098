"""Read how far each model's circuit explains the other model, from the faithfulness that is stored, for the claims.

Circuits were run at the sizes of MIB's grid (METHOD, "Faithfulness"), and at others that somebody asked for: K itself
is taken where it is measured in both models, else the size of the grid that is nearest by ratio.
"""

from __future__ import annotations

import math
from typing import Any

from engine.circuits.intervals import Estimate
from engine.runs import evidence
from engine.runs.claim import Transfer
from engine.runs.claim_numbers import runs_of_task
from engine.runs.evidence_summary import common_sizes, nearest_size
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.schema.vocabulary import TOTAL
from engine.tasks.registry import TASKS

Rows = list[dict[str, Any]]  # of circuit_runs


def transfers_of(question: RunSpec, k: int) -> dict[str, Transfer]:
    """By task: faithfulness of circuits of about `k` edges in both models of a pair, where it is stored of both.

    UserError: no such pair, or the cache cannot be read.
    """
    there = {}
    for task in TASKS:
        stored = runs_of_task(question, task).stored
        if "arm" in stored and "mdm" in stored:
            rows = _rows(stored["arm"], stored["mdm"], k), _rows(stored["mdm"], stored["arm"], k)
            transfer = transfer_at(rows[0], rows[1], k) if rows[0] and rows[1] else None
            if transfer:
                there[task] = transfer
    return there


def transfer_at(arm: Rows, mdm: Rows, k: int) -> Transfer | None:
    """From circuit_runs of both models, rows of the whole answer; None where no size has all that is compared."""
    size = nearest_size(common_sizes((arm, mdm)), k)
    if size is None:
        return None
    return Transfer(
        k=size,
        own_in_arm=_estimate(arm, "own", size),
        own_in_mdm=_estimate(mdm, "own", size),
        arm_in_mdm=_estimate(mdm, "other", size),
        mdm_in_arm=_estimate(arm, "other", size),
        random_in_arm=_highest_of_random(arm, size),
        random_in_mdm=_highest_of_random(mdm, size),
    )


def _rows(run: Run, other: Run, k: int) -> Rows:
    """Those of a run's faithfulness, of the whole answer, K included where it was measured alone."""
    grid, alone = (
        evidence.table(stored, "circuit_runs", part=TOTAL).to_pylist() if stored else []
        for stored in (
            evidence.find(run, "faithfulness", other),
            evidence.find(run, "faithfulness_at", other, k),
        )
    )
    return grid if any(row["size"] == k for row in grid) else [*grid, *alone]


def _estimate(rows: Rows, circuit: str, size: int) -> Estimate:
    """f of a circuit at a size; nan where it means nothing (METHOD, "Faithfulness")."""
    row = next(row for row in rows if row["circuit"] == circuit and row["size"] == size)
    return Estimate(math.nan if row["f"] is None else row["f"], row["f_low"], row["f_high"])


def _highest_of_random(rows: Rows, size: int) -> float:
    drawn = [row["f"] for row in rows if row["circuit"] == "random" and row["size"] == size]
    return max((f for f in drawn if f is not None), default=math.nan)
