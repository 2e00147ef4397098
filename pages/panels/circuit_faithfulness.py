"""What the circuit component says of faithfulness: the smallest faithful circuits, and f at the sizes measured."""

from __future__ import annotations

from collections.abc import Sequence

from engine.runs.evidence import Evidence
from engine.runs.evidence_summary import joined
from engine.schema.evidence_tables import TAUS
from engine.schema.vocabulary import TOTAL
from pages.shared import evidence
from pages.shared.glossary import meaning
from pages.shared.sides import Sides
from pages.shared.words import listed

WHOLE_ANSWER = "Faithfulness is measured of circuits of the whole answer."
NOT_MEASURED = "How faithful these circuits are: not measured yet."
NOT_YET = "not measured yet."


def faithful(sides: Sides) -> dict[str, object]:
    """For the header of the component's data; of a model that is not in `models`, nothing is measured.

    `note` says what is not measured, or why there are no numbers; `link`: whether the Evidence page can tell more.
    """
    told = {"taus": list(map(str, TAUS)), "help": meaning("faithfulness"), "models": {}, "note": "", "link": False}
    if any(side.part != TOTAL for side in sides):
        return told | {"note": WHOLE_ANSWER}
    models: dict[str, object] = {}
    notes: dict[str, list[str]] = {}  # what is said, of which models
    for side in sides:
        there = evidence.faithfulness_of(side.run, sides.steps)
        remark = next(filter(None, (stored.meta.get("remark") for stored in there)), None)
        if there and not remark:
            models[side.model] = of_model(there)
        if note := remark or note_of(there):
            notes.setdefault(note, []).append(side.label)
    if list(notes) == [NOT_YET] and not models:
        return told | {"note": NOT_MEASURED, "link": True}
    note = " ".join(f"{listed(labels)}: {note}" for note, labels in notes.items())
    return told | {"models": models, "note": note, "link": bool(notes)}


def note_of(there: Sequence[Evidence]) -> str:
    """What is not measured of a model; `there`: as evidence.faithfulness_of returns it."""
    if not there:
        return NOT_YET
    sizes = evidence.single_sizes(there)
    return f"measured at {sizes} only; the line over K is not measured yet." if sizes else ""


def of_model(there: Sequence[Evidence]) -> dict[str, object]:
    """`smallest` by tau: [the smallest K, the size measured before it], None where no circuit reaches tau.

    `smallest` itself is None where faithfulness is measured at single sizes only. `sizes`: K of the circuits that were
    run, ascending, with `f`, its interval (None: of too few examples) and the share of right tokens of each.
    """
    smallest = {
        f"{row['tau']:g}": None if row["size"] is None else [int(row["size"]), int(row["below"])]
        for stored in there
        if stored.size is None
        for row in evidence.rows(stored, "smallest_circuits", circuit="own")
    }
    runs = joined(evidence.rows(stored, "circuit_runs", circuit="own", part=TOTAL) for stored in there)
    measured = sorted((run for run in runs if run["f"] is not None and run["size"]), key=lambda run: run["size"])
    columns = {name: [run[name] for run in measured] for name in ("f", "f_low", "f_high", "right")}
    return {"smallest": smallest or None, "sizes": [run["size"] for run in measured], **columns}
