"""Read what the evidence page shows of two models: circuits that were run, and what their tables say at one size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.circuits.intervals import Estimate
from engine.runs.evidence import Evidence
from engine.runs.evidence_summary import joined
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
    """A model whose circuits were run over K: `side` says which, `there` is the stored evidence.

    `alone`: the evidence at single sizes.
    """

    side: Side
    there: Evidence
    alone: Sequence[Evidence] = ()

    @property
    def model(self) -> str:
        return self.side.model

    @property
    def remark(self) -> str | None:
        """Why f is not given; None where it is."""
        remark = self.there.meta.get("remark")
        return str(remark) if remark else None

    def rows(self, **where: str) -> Rows:
        """Of circuit_runs, at all sizes that were measured; `where`: values of columns, as that of `part`."""
        return joined(evidence.rows(each, "circuit_runs", **where) for each in (self.there, *self.alone))


def measured(asked: Asked) -> list[Measured]:
    """The models whose faithfulness over K is stored."""
    there = [(side, evidence.faithfulness_of(side.run, asked.steps)) for side in asked.sides]
    return [Measured(side, known[0], known[1:]) for side, known in there if known and known[0].size is None]


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


def all_rows(run: Run, steps: int, only: int | None = None) -> Rows:
    """All circuits of a run that were run, over K and at single sizes; `steps`: as in evidence.of.

    `only`: the single size that is wanted, where that is one.
    """
    there = [each for each in evidence.faithfulness_of(run, steps) if only is None or each.size in (None, only)]
    return joined(evidence.rows(each, "circuit_runs", part=TOTAL) for each in there)


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
