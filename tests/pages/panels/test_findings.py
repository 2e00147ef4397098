"""What the overview says of a pair's numbers, in sentences."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.circuits.comparison import SplitHalf
from engine.runs.records import Accuracy
from engine.tasks.registry import TASKS
from pages.panels.findings import against_control, told_apart

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


def beside_control(task: str, accuracy: Accuracy | None) -> Any:
    control = SimpleNamespace(accuracy=accuracy)
    overlap = SimpleNamespace(jaccard=0.5)
    cell = SimpleNamespace(task=TASKS[task], title=TASKS[task].title, control=control)
    return SimpleNamespace(cell=cell, at=overlap, control=overlap)


def test_of_the_control_it_is_said_whether_it_can_do_the_task() -> None:
    able, unable = Accuracy(0.9, 200), Accuracy(0.0, 200)
    titles = {task: TASKS[task].title for task in ("ioi", "countdown", "sudoku")}
    assert "can do the task" not in against_control([beside_control("ioi", able)])[0]
    (text,) = against_control(
        [beside_control("ioi", None), beside_control("countdown", unable), beside_control("sudoku", able)]
    )
    assert f"On {titles['countdown']} the control cannot do the task: there its circuit is not informative." in text
    assert f"On {titles['ioi']} whether the control can do the task is not measured." in text
    assert titles["sudoku"] not in text.partition("away from the ARM's.")[2]
    assert against_control([]) == []
