"""Read how far each model's circuit explains the other model, from the faithfulness that is stored, for the claims.

Circuits were run at the sizes of MIB's grid (METHOD, "Faithfulness"), and at others that somebody asked for: K itself
is taken where it is measured in both models, else the nearest by ratio of the sizes that both have.
"""

from __future__ import annotations

import math
from typing import Any

from engine.circuits.intervals import Estimate
from engine.runs import evidence
from engine.runs.claim import Transfer
from engine.runs.claim_numbers import runs_of_task
from engine.runs.evidence import Evidence
from engine.runs.evidence_summary import common_sizes, joined, nearest_size
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
            transfer = transfer_at(*_rows(stored["arm"], stored["mdm"], k), k)
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


def _rows(arm: Run, mdm: Run, k: int) -> tuple[Rows, Rows]:
    """Those of both models' faithfulness, of the whole answer; none where they have no size in common.

    Of what was measured at single sizes, which can be many, the size that stands for K alone is read.
    """
    there = [evidence.faithfulness_of(arm, mdm), evidence.faithfulness_of(mdm, arm)]
    grids = [[row for each in stored if each.size is None for row in _table(each)] for stored in there]
    sizes = [
        {row["size"] for row in grid} | {each.size for each in stored if each.size}
        for grid, stored in zip(grids, there, strict=True)
    ]
    size = nearest_size(set.intersection(*sizes), k)
    if size is None:
        return [], []
    in_arm, in_mdm = (
        joined([grid, *(_table(each) for each in stored if each.size == size)])
        for grid, stored in zip(grids, there, strict=True)
    )
    return in_arm, in_mdm


def _table(there: Evidence) -> Rows:
    return evidence.table(there, "circuit_runs", part=TOTAL).to_pylist()


def _estimate(rows: Rows, circuit: str, size: int) -> Estimate:
    """f of a circuit at a size; nan where it means nothing (METHOD, "Faithfulness")."""
    row = next(row for row in rows if row["circuit"] == circuit and row["size"] == size)
    return Estimate(math.nan if row["f"] is None else row["f"], row["f_low"], row["f_high"])


def _highest_of_random(rows: Rows, size: int) -> float:
    drawn = [row["f"] for row in rows if row["circuit"] == "random" and row["size"] == size]
    return max((f for f in drawn if f is not None), default=math.nan)
