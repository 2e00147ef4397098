"""What the overview says of a pair's numbers, in sentences."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.circuits.comparison import SplitHalf
from engine.tasks.registry import TASKS
from pages.panels.findings import told_apart

APART, ALIKE = SplitHalf(arm=0.8, mdm=0.7, pair=0.5), SplitHalf(arm=0.8, mdm=0.7, pair=0.68)


def finding(task: str) -> Any:
    return SimpleNamespace(cell=SimpleNamespace(title=TASKS[task].title))


@pytest.mark.parametrize(
    ("halves", "sentence"),
    [
        ({"ioi": APART, "countdown": APART}, "do on every task shown."),
        ({"ioi": APART}, "do on Indirect object identification."),
        ({"ioi": APART, "countdown": ALIKE}, "do on Indirect object identification."),
        ({"ioi": ALIKE}, "So on no task shown do ARM and MDM differ"),
    ],
)
def test_halves_tell_models_apart_on_the_tasks_that_are_shown(halves: dict[str, SplitHalf], sentence: str) -> None:
    assert sentence in told_apart([(finding(task), overlaps) for task, overlaps in halves.items()])
