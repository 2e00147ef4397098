"""How long the overview says that missing runs take."""

from __future__ import annotations

import pytest

from engine.runs.spec import RunSpec
from pages.panels.missing_runs import minutes_of, spelled


def test_a_real_pair_takes_longer_and_longest_where_answers_are_long() -> None:
    toy, local, world = (
        minutes_of([RunSpec(pair=pair, model="mdm", task=task)], [])
        for pair, task in (("embedded", "sudoku"), ("smollm2", "ioi"), ("smollm2", "sudoku"))
    )
    assert toy < local < world / 10


def test_what_lacks_a_part_takes_less_and_nothing_takes_a_minute() -> None:
    spec = RunSpec(pair="smollm2", model="mdm", task="countdown")
    assert minutes_of([], [spec]) == pytest.approx(minutes_of([spec], []) / 2, abs=1)
    assert minutes_of([spec, spec], []) == pytest.approx(2 * minutes_of([spec], []), abs=2)
    assert minutes_of([], []) == 1


@pytest.mark.parametrize(("minutes", "text"), [(1, "1 min"), (119, "119 min"), (130, "2 hours"), (195, "3 hours")])
def test_hours_from_two_on(minutes: int, text: str) -> None:
    assert spelled(minutes) == text
