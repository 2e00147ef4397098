"""How long the overview says that missing runs take."""

from __future__ import annotations

import pytest

from engine.runs.spec import RunSpec
from pages.panels.missing_runs import seconds_of


def test_a_real_pair_takes_longer_and_longest_where_answers_are_long() -> None:
    toy, local, world = (
        seconds_of([RunSpec(pair=pair, model="mdm", task=task)], [])
        for pair, task in (("embedded", "sudoku"), ("smollm2", "ioi"), ("smollm2", "sudoku"))
    )
    assert toy < local < world / 10


def test_what_lacks_a_part_takes_half() -> None:
    spec = RunSpec(pair="smollm2", model="mdm", task="countdown")
    assert seconds_of([], [spec]) == pytest.approx(seconds_of([spec], []) / 2)
    assert seconds_of([spec, spec], [spec]) == pytest.approx(2.5 * seconds_of([spec], []))
