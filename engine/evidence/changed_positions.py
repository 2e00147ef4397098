"""From which position on a corrupted prompt can change anything, and rows that are computed from there on only.

In a causal model nothing before the first token in which the clean and the corrupted input differ depends on which of
the two is run, nor on what is patched between them. Of those positions later ones need keys and values alone
(engine/evidence/kept_run.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.attribution.sites import AttributionInput
from engine.models.model import Model


def first_change(model: Model, rows: Sequence[AttributionInput]) -> int:
    """The first position of all rows that is read, or differs in the clean and the corrupted input.

    0 for a model that reads in both directions, of which every position depends on every other.
    """
    return min(map(_first_of_row, rows)) if model.causal else 0


def reads_from(rows: Sequence[AttributionInput], start: int) -> list[AttributionInput]:
    """The rows with their sites' `read` counted from `start`; their inputs stay whole."""
    return [replace(row, sites=tuple(replace(site, read=site.read - start) for site in row.sites)) for row in rows]


def _first_of_row(row: AttributionInput) -> int:
    differ = (i for i, (clean, corrupt) in enumerate(zip(row.clean, row.corrupt, strict=True)) if clean != corrupt)
    return min([*differ, *(site.read for site in row.sites)])
