"""What two readings of an MDM decide, and the sentence about it."""

from __future__ import annotations

import math

import pytest

from engine.models.shift_evidence import Readings, ShiftEvidence


@pytest.mark.parametrize(
    ("before", "there", "guess", "shifted"),
    [
        (-0.5, -3.0, -5.0, True),
        (-3.0, -0.5, -5.0, False),
        (-0.5, -0.5 - 0.19, -5.0, None),
        (-10.1, -10.2, -5.0, None),
        (-6.0, -9.0, -5.0, None),  # clearly different, but both worse than a guess
        (math.nan, -1.0, -5.0, None),
        (-1.0, math.nan, -5.0, None),
        (-math.inf, -math.inf, -5.0, None),
        (-0.5, -math.inf, -5.0, True),
    ],
)
def test_only_a_clear_difference_decides(before: float, there: float, guess: float, shifted: bool | None) -> None:
    assert Readings(before, there, guess).shifted is shifted


@pytest.mark.parametrize(
    ("evidence", "shifted", "misread", "text"),
    [
        (ShiftEvidence("config", "w"), True, False, "read as shifted: its config names a family"),
        (ShiftEvidence("answers", "w", -0.5, -3.0, -5.0), True, False, "shifted: its right answers have -0.50 nats"),
        (ShiftEvidence("told", "w"), False, False, "The MDM is read as not shifted, as was told."),
        (ShiftEvidence("told", "w", -0.5, -3.0, -5.0), False, True, "BUT its answers say the opposite"),
        (ShiftEvidence("told", "w", -3.0, -0.5, -5.0), True, True, "Use --not-shifted."),
        (ShiftEvidence("told", "w", -0.5, -3.0, -5.0), True, False, "which agrees"),
        (ShiftEvidence("told", "w", -9.0, -9.1, -5.0), False, False, "which does not decide it"),
    ],
)
def test_how_it_is_known_is_a_sentence(evidence: ShiftEvidence, shifted: bool, misread: bool, text: str) -> None:
    assert text in evidence.text(shifted)
    assert evidence.contradicts(shifted) is misread
