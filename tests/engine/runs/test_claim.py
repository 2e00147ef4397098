"""A claim's row: judged where the runs are there and the models can do the task, with its place in the app."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from engine.circuits.intervals import Estimate
from engine.circuits.verdicts import HOLDS, UNKNOWN, Ruling
from engine.runs import lifecycle
from engine.runs.claim import Judged, Subject, negative, with_interval
from engine.runs.claim_numbers import TaskNumbers, runs_of_task
from engine.runs.records import Accuracy
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute

SPEC = RunSpec(n=8)
YES = Judged(Estimate(0.5, 0.4, 0.6), ("floor 0.1", "control 0.2"), Ruling(HOLDS, "It is so."))


def subject(numbers: TaskNumbers) -> Subject:
    return Subject("a claim", "It is so.", "how much", "circuits", (numbers,), {"Another pair": "0.1"})


@pytest.mark.usefixtures("workspace")
def test_what_is_missing_is_said_before_anything_is_judged() -> None:
    row = subject(TaskNumbers(runs_of_task(SPEC, "sudoku"), 9)).judged(lambda: pytest.fail("nothing to judge"))
    assert (row.verdict, row.reason) == (UNKNOWN, "Not computed yet: ARM on SUDOKU 4x4, MDM on SUDOKU 4x4.")
    assert math.isnan(row.number.value) and [spec.model for spec in row.missing] == ["arm", "mdm"]
    assert row.published == {"Another pair": "0.1"}


@pytest.mark.usefixtures("workspace")
def test_a_row_has_what_was_judged_and_its_place() -> None:
    for model in ("arm", "mdm"):
        lifecycle.run(replace(SPEC, model=model), compute=tiny_compute)
    runs = runs_of_task(SPEC, "ioi")
    row = subject(TaskNumbers(runs, 9)).judged(lambda: YES)
    assert (row.verdict, row.reason, row.number) == (HOLDS, "It is so.", YES.number)
    assert row.reference == "floor 0.1; control 0.2"
    assert (row.page, row.address) == ("circuits", {"pair": "embedded", "task": "ioi", "k": "9"})
    weak = replace(runs, stored={**runs.stored, "arm": replace(runs.stored["arm"], accuracy=Accuracy(0.3, 100))})
    unable = subject(TaskNumbers(weak, 9)).judged(lambda: YES)
    assert unable.verdict == UNKNOWN and unable.reason.startswith("The ARM cannot do Indirect object")
    assert unable.number == YES.number  # shown all the same


def test_numbers_are_written_with_their_interval_and_turned_around() -> None:
    number = Estimate(0.25, 0.1, 0.5)
    assert with_interval(number) == "0.250 (0.100 to 0.500)"
    assert with_interval(Estimate(math.nan, None, None)) == "none"
    assert negative(number) == Estimate(-0.25, -0.5, -0.1)
    assert negative(Estimate(0.25, None, None)) == Estimate(-0.25, None, None)
