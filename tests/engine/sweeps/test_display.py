"""What a sweep shows on standard error: a line a step in a log, a table on a terminal, with nothing read as markup."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from engine.runs.records import Progress
from engine.sweeps.display import MOST_WORKERS, displayed, lines, table
from engine.sweeps.watch import Ended, Watch
from tests.engine.sweeps.sweeping import planned

pytestmark = pytest.mark.usefixtures("workspace")


def rendered(watch: Watch, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(table(watch))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_log_gets_a_line_for_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    steps = planned(models=["mdm"]).steps
    with displayed(steps) as watch:
        watch.begins("worker 1", steps[0])
        watch.stored("worker 1", steps[0], 3.21)
        watch.failed("worker 1", steps[1], "No room.")
        watch.stored("worker 2", steps[2], 0.0)
    assert capsys.readouterr().err.splitlines() == [
        f"1 of 5: {steps[0].description} (3.2 s, worker 1)",
        f"NOT COMPUTED: {steps[1].description} (worker 1): No room.",
        f"2 of 5: {steps[2].description} (another process computed it, worker 2)",
    ]


def test_a_step_that_ends_after_the_last_number_is_still_told() -> None:
    written: list[str] = []
    tell = lines(written.append, 1)
    for _ in range(2):
        tell(Ended("a", "circuit", 1.0))
    assert written == ["1 of 1: circuit (1.0 s, a)\n"] * 2


def test_a_terminal_shows_every_worker_and_what_it_does() -> None:
    steps = planned(models=["mdm"]).steps
    watch = Watch(steps)
    watch.begins("GPU [0]", steps[0])
    watch.reports("GPU [0]", Progress("edge [bold]scores", 3, 8))
    shown = rendered(watch)
    assert "0 of 5 artifacts" in shown and "GPU [0]" in shown and "edge [bold]scores 3 of 8" in shown
    assert "circuit of the MDM" in shown


def test_a_table_of_many_workers_stays_short() -> None:
    step = planned(models=["mdm"]).steps[0]
    watch = Watch([step])
    for number in range(100):
        watch.begins(f"worker {number}", step)
    assert "and 76 more workers" in rendered(watch) and len(rendered(watch).splitlines()) < MOST_WORKERS + 10


def test_on_a_terminal_the_table_goes_and_the_lines_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    steps = planned(models=["mdm"]).steps
    with displayed(steps) as watch:
        watch.begins("worker 1", steps[0])
        watch.stored("worker 1", steps[0], 3.0)
    shown = " ".join(terminal.getvalue().split())
    assert f"1 of 5: {steps[0].description} (3.0 s, worker 1)" in shown
