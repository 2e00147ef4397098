"""The time left, from what was reported and from what artifacts took before."""

from __future__ import annotations

import pytest

from engine.runs.records import Progress
from engine.runs.time_left import WEIGHT, time_left
from engine.schema.artifacts import ALL_KINDS, PART, AnyKind


def test_every_kind_has_a_weight() -> None:
    assert WEIGHT.keys() == {*ALL_KINDS, PART}


@pytest.mark.parametrize(
    ("done", "stage", "kind", "before", "after", "expected"),
    [
        (0, 3.0, "circuit", (0.0, 0.0), 0.0, None),
        (25, 10.0, "circuit", (0.0, 0.0), 0.0, 30.0),
        (25, 10.0, "circuit", (0.0, 0.0), 2.0, 30.0 + 2 * 40.0),
        (25, 10.0, "circuit", (2.0, 100.0), 2.0, 40.0 + 100.0),
        (25, 40.0, "circuit", (1.0, 50.0), 1.0, 120.0 + 50.0),
        (0, 60.0, "circuit", (1.0, 50.0), 0.0, 0.0),
        (0, 0.0, "weights", (1.0, 50.0), 0.0, 25.0),
    ],
)
def test_time_left(
    done: int, stage: float, kind: AnyKind, before: tuple[float, float], after: float, expected: float | None
) -> None:
    assert time_left(Progress("Scoring edges", done, 100), stage, stage, kind, before, after) == expected


def test_time_left_counts_the_stages_before_the_current_one() -> None:
    assert time_left(Progress("lenses", 0, 0), 1.0, 45.0, "circuit", (1.0, 50.0), 0.0) == 5.0
