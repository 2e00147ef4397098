"""What the circuit component says of faithfulness: the smallest faithful circuits, and f at the sizes measured."""

from __future__ import annotations

import numpy as np

from engine.runs.evidence import Evidence
from engine.schema.evidence_tables import TAUS
from engine.schema.vocabulary import TOTAL
from pages.shared import evidence
from pages.shared.glossary import meaning
from pages.shared.sides import Sides

WHOLE_ANSWER = "Faithfulness is measured of circuits of the whole answer."
NOT_MEASURED = "How faithful these circuits are: not measured yet."


def faithful(sides: Sides) -> dict[str, object]:
    """For the header of the component's data; of a model that is not in `models`, nothing is measured.

    `note` stands in the place of numbers that there are not; `link`: whether the Evidence page can tell more.
    """
    told = {"taus": list(map(str, TAUS)), "help": meaning("faithfulness"), "models": {}, "note": "", "link": False}
    if any(side.part != TOTAL for side in sides):
        return told | {"note": WHOLE_ANSWER}
    there = [(side, evidence.of(side.run, sides.steps, "faithfulness")) for side in sides]
    if not any(stored for _, stored in there):
        return told | {"note": NOT_MEASURED, "link": True}
    models, notes = {}, []
    for side, stored in there:
        remark = stored.meta.get("remark") if stored else "not measured yet."
        if remark:
            notes.append(f"{side.label}: {remark}")
        elif stored:
            models[side.model] = of_model(stored)
    return told | {"models": models, "note": " ".join(notes), "link": len(models) < len(there)}


def of_model(stored: Evidence) -> dict[str, object]:
    """`smallest` by tau: [the smallest K, the size measured before it], None where no circuit reaches tau.

    `sizes`: K of the circuits that were run, ascending, with `f`, its interval (None: of too few examples) and the
    share of right tokens of each.
    """
    smallest = {
        f"{row['tau']:g}": None if row["size"] is None else [int(row["size"]), int(row["below"])]
        for row in evidence.rows(stored, "smallest_circuits", circuit="own")
    }
    runs = evidence.columns(stored, "circuit_runs", circuit="own", part=TOTAL)
    measured = ~np.isnan(runs["f"].astype(float)) & (runs["size"] > 0)
    columns = {
        name: [None if np.isnan(value) else value for value in runs[name][measured].astype(float).tolist()]
        for name in ("f", "f_low", "f_high", "right")
    }  # NaN is no JSON
    return {"smallest": smallest, "sizes": runs["size"][measured].tolist(), **columns}
