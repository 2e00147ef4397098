"""Durations as text: the unit that fits, and never 60 of one."""

from __future__ import annotations

import pytest

from engine.runs.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"), (0.2, "0 s"), (48.4, "48 s"), (59.4, "59 s"),
        (59.6, "1 min"), (60.0, "1 min"), (100.0, "2 min"), (3569.0, "59 min"),
        (3571.0, "1 h"), (3600.0, "1 h"), (6000.0, "1 h 40 min"), (12_000.0, "3 h 20 min"),
        (86_400.0, "24 h"), (172_769.0, "47 h 59 min"),
        (172_771.0, "2 days"), (187_200.0, "2 days 4 h"), (257_400.0, "3 days"), (8_640_000.0, "100 days"),
    ],
)  # fmt: skip
def test_durations_are_said_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text
