"""Progress where output is no terminal: a line now and then, so that a log says something."""

from __future__ import annotations

import io
import sys

import pytest

from engine import terminal
from engine.runs.records import Progress
from engine.terminal import shown_progress


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(terminal, "time", clock)
    return clock


def test_a_log_gets_a_line_every_ten_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress("pair / task") as show:
        for second in range(35):
            clock.now = second
            show(Progress("edge scores", second, 1000))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"pair / task: edge scores {second} of 1000 ({second} s)" for second in (10, 20, 30)]


def test_a_log_gets_a_line_for_every_tenth(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress("t") as show:
        for second in range(1, 21):
            clock.now = second
            show(Progress("lenses", second, 20))
    assert [line.split()[2] for line in capsys.readouterr().err.splitlines()] == [str(i) for i in range(10, 21, 2)]


def test_short_work_writes_nothing_and_unknown_totals_are_left_out(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with shown_progress("t") as show:
        for done in range(50):
            show(Progress("quick", done, 50))
        assert capsys.readouterr().err == ""
        clock.now = 11
        show(Progress("loading", 0, 0))
    assert capsys.readouterr().err == "t: loading (11 s)\n"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    written = Terminal()
    monkeypatch.setattr(sys, "stderr", written)
    with shown_progress("pair") as show:
        show(Progress("edge scores", 5, 10))
        show(Progress("edge scores", 10, 10))
    assert "pair: edge scores" in written.getvalue() and "\r" in written.getvalue()
