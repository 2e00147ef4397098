"""How it is known whether an MDM predicts a masked token at its own position or from the one before ("shifted").

The user says it, or the MDM's config, or its answers under both readings (engine/runs/detect_shift.py measures them).
Kept with a pair of two folders, and shown wherever its runs are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from engine.files.checked import Must

SOURCES = ("told", "config", "answers")
CLEAR = 0.2  # nats a token: an MDM that was never trained is below it


@dataclass(frozen=True)
class Readings:
    """Mean log-probability of the right tokens, in nats a token, under both readings; `guess`: that of a guess among
    all tokens.
    """

    before: float  # read from the position before: shifted
    there: float
    guess: float = -math.inf

    @property
    def shifted(self) -> bool | None:
        """None where neither reading is clearly better, or the better one is no better than a guess."""
        if not abs(self.before - self.there) >= CLEAR or not max(self.before, self.there) > self.guess:
            return None
        return self.before > self.there

    def __str__(self) -> str:
        return (
            f"its right answers have {self.before:.2f} nats a token read from the position before and {self.there:.2f} "
            "read at their own positions"
        )


Finite = Annotated[float | None, Must(math.isfinite, "a finite number")]


@dataclass(frozen=True)
class ShiftEvidence:
    """`source`: one of SOURCES; `weights`: the id of the MDM's weights that it is about; `before`, `there`, `guess`:
    as in Readings, where they were measured.
    """

    source: Annotated[str, Must.be_one_of(SOURCES)]
    weights: str
    before: Finite = None
    there: Finite = None
    guess: Finite = None

    @property
    def readings(self) -> Readings | None:
        if self.before is None or self.there is None or self.guess is None:
            return None
        return Readings(self.before, self.there, self.guess)

    def contradicts(self, shifted: bool) -> bool:
        """Whether the MDM's answers clearly say that it is read the wrong way."""
        return self.readings is not None and self.readings.shifted is (not shifted)

    def text(self, shifted: bool) -> str:
        """How an MDM is read, and how that is known, in one or two sentences."""
        taken = "shifted" if shifted else "not shifted"
        if self.source == "config":
            return f"The MDM is read as {taken}: its config names a family that predicts so."
        if self.source == "answers":
            return f"The MDM is read as {taken}: {self.readings}."
        if self.readings is None:
            return f"The MDM is read as {taken}, as was told."
        if self.contradicts(shifted):
            agreement, flag = (
                f"BUT its answers say the opposite: {self.readings}",
                "--not-shifted" if shifted else "--shifted",
            )
            return f"The MDM is read as {taken}, as was told, {agreement}. Use {flag}."
        agreement = "which agrees" if self.readings.shifted is shifted else "which does not decide it"
        return f"The MDM is read as {taken}, as was told: {self.readings}, {agreement}."
