"""Clicks on a chart: what they choose, and how Plotly's toggling is read."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import streamlit as st

from pages.shared import clicks

Click = Callable[..., object]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    values: dict[str, object] = {}
    monkeypatch.setattr(st, "session_state", values)
    return values


@pytest.fixture
def click(session: dict[str, object]) -> Click:
    def at(points: list[dict[str, object]], kind: type = str, **how: object) -> object:
        session["chart"] = {"selection": {"points": points}}
        clicks.take("chart", "choice", kind, **how)  # type: ignore[arg-type]
        return session.get("choice")

    return at


def test_a_click_chooses_and_a_second_one_lets_go(click: Click, session: dict[str, object]) -> None:
    assert click([{"customdata": "m1"}]) == "m1"
    assert click([]) is None, "the point that Plotly holds, clicked again"
    assert click([{"x": 0.0}]) == "m1", "and again, with a line beside it"
    assert click([{"customdata": ["a0.h1", "hover"]}]) == "a0.h1"
    session["choice"] = "m2"  # chosen elsewhere
    assert click([]) == "a0.h1"


def test_numbers_are_numbers_whatever_plotly_makes_of_them(click: Click) -> None:
    assert click([{"customdata": 7}], int) == 7
    assert click([{"customdata": ["5"]}], int) == 5
    assert click([{"customdata": [3.0]}], int) == 3


def test_what_does_not_toggle_stays_chosen(click: Click) -> None:
    assert [click([{"customdata": 2}], int, toggles=False), click([], int, toggles=False)] == [2, 2]


def test_a_click_makes_other_choices_too(click: Click, session: dict[str, object]) -> None:
    click([{"customdata": 7}], int, also={"layer": 2, "bin": None})
    assert (session["layer"], session["bin"]) == (2, None)


@pytest.mark.parametrize("points", [[], [{"x": 1.0}], [{"customdata": []}], [{"customdata": 4}]])
def test_a_click_on_nothing_changes_nothing(
    click: Click, session: dict[str, object], points: list[dict[str, object]]
) -> None:
    assert click(points, also={"layer": 2}) is None
    assert "layer" not in session
