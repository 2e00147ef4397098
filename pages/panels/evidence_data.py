"""Read what the evidence page shows of two models: circuits that were run, and what their tables say at one size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.circuits.intervals import Estimate
from engine.runs.evidence import Evidence
from engine.runs.records import Run
from engine.schema.vocabulary import TOTAL
from pages.shared import choices, evidence, state
from pages.shared.run_selector import Asked
from pages.shared.sides import Side

Rows = Sequence[Mapping[str, Any]]

CIRCUIT_WORDS = {  # as in "the model's own circuit"
    "own": "own circuit",
    "signed": "own, by signed score",
    "random": "random edges",
    "complement": "everything but it",
    "other": "the other's circuit",
    "shared": "shared edges only",
    "only": "own edges only",
}


@dataclass(frozen=True)
class Measured:
    """A model whose circuits were run: `side` says which, `there` is the stored evidence."""

    side: Side
    there: Evidence

    @property
    def model(self) -> str:
        return self.side.model

    @property
    def remark(self) -> str | None:
        """Why f is not given; None where it is."""
        remark = self.there.meta.get("remark")
        return str(remark) if remark else None

    def rows(self, part: str = TOTAL) -> Rows:
        """Of circuit_runs, of a part."""
        return evidence.rows(self.there, "circuit_runs", part=part)


def measured(asked: Asked) -> list[Measured]:
    """The models whose faithfulness is stored."""
    return [Measured(*known) for known in evidence.of_sides(asked.sides, asked.steps, "faithfulness")]


def chosen_part(asked: Asked) -> str:
    """The denoising step of the MDM that is chosen, or all of them."""
    return str(choices.held(state.MDM_PART, TOTAL, (TOTAL, *asked.mdm.meta.parts)))


def sizes_in(rows: Rows) -> list[int]:
    """The sizes above 0 at which the own circuit was run, ascending."""
    return sorted({int(row["size"]) for row in rows if row["circuit"] == "own"} - {0})


def at_size(rows: Rows, circuit: str, size: int, measure: str = "f") -> Estimate | None:
    """What a circuit of that size was measured to be; of random edges the mean and range of the draws.

    None: it was not run at that size, or f is not given.
    """
    own = [row for row in rows if row["circuit"] == circuit and row["size"] == size and row[measure] is not None]
    if not own:
        return None
    values = [float(row[measure]) for row in own]
    if circuit == "random":
        return Estimate(float(np.mean(values)), min(values), max(values))
    if measure != "f":
        return Estimate(values[0], None, None)
    return Estimate(values[0], own[0]["f_low"], own[0]["f_high"])


def rows_with(run: Run, steps: int, k: int) -> Rows:
    """All circuits of a run that were run, K included where it was measured alone; `steps`: as in evidence.of."""
    grid = evidence.of(run, steps, "faithfulness")
    rows = evidence.rows(grid, "circuit_runs", part=TOTAL) if grid else []
    if any(row["size"] == k for row in rows):
        return rows
    alone = evidence.of(run, steps, "faithfulness_at", k)
    return [*rows, *(evidence.rows(alone, "circuit_runs", part=TOTAL) if alone else [])]


def of_size(rows: Rows, size: int) -> Rows:
    return [row for row in rows if row["size"] == size]


def in_words(estimate: Estimate | None, form: str = ".2f") -> str:
    """As in "0.83 (0.78 to 0.88)"."""
    if estimate is None:
        return "not given"
    value = f"{estimate.value:z{form}}"  # z: nothing is -0.00
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({estimate.low:z{form}} to {estimate.high:z{form}})"
