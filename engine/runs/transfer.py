"""Read how far each model's circuit explains the other model, from the faithfulness that is stored, for the claims.

Circuits were run at some sizes only (METHOD, "Faithfulness"); the one nearest to K by ratio is taken, and is named.
"""

from __future__ import annotations

import math
from typing import Any

from engine.circuits.intervals import Estimate
from engine.runs import evidence
from engine.runs.claim import Transfer
from engine.runs.claim_numbers import runs_of_task
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
            rows = _rows(stored["arm"], stored["mdm"]), _rows(stored["mdm"], stored["arm"])
            transfer = transfer_at(rows[0], rows[1], k) if rows[0] and rows[1] else None
            if transfer:
                there[task] = transfer
    return there


def transfer_at(arm: Rows, mdm: Rows, k: int) -> Transfer | None:
    """From circuit_runs of both models, rows of the whole answer; None where no size has all that is compared."""
    sizes = [
        {row["size"] for row in rows if row["circuit"] == circuit}
        for rows in (arm, mdm)
        for circuit in ("own", "other", "random")
    ]
    known = set.intersection(*sizes) - {0}
    if not known:
        return None
    size = min(sorted(known), key=lambda each: abs(math.log(each / k)))
    return Transfer(
        k=size,
        own_in_arm=_estimate(arm, "own", size),
        own_in_mdm=_estimate(mdm, "own", size),
        arm_in_mdm=_estimate(mdm, "other", size),
        mdm_in_arm=_estimate(arm, "other", size),
        random_in_arm=_highest_of_random(arm, size),
        random_in_mdm=_highest_of_random(mdm, size),
    )


def _rows(run: Run, other: Run) -> Rows:
    """Those of a run's faithfulness, of the whole answer; none where it is not stored."""
    stored = evidence.find(run, "faithfulness", other)
    if stored is None:
        return []
    rows: Rows = evidence.table(stored, "circuit_runs", part=TOTAL).to_pylist()
    return rows


def _estimate(rows: Rows, circuit: str, size: int) -> Estimate:
    """f of a circuit at a size; nan where it means nothing (METHOD, "Faithfulness")."""
    row = next(row for row in rows if row["circuit"] == circuit and row["size"] == size)
    return Estimate(math.nan if row["f"] is None else row["f"], row["f_low"], row["f_high"])


def _highest_of_random(rows: Rows, size: int) -> float:
    drawn = [row["f"] for row in rows if row["circuit"] == "random" and row["size"] == size]
    return max((f for f in drawn if f is not None), default=math.nan)
