"""The heat map of a sweep as a figure: numbers in cells, what is missing, texts as they are, clicks on whole cells."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import plotly.graph_objects as go
import pytest

from pages.figures.palette import LIGHT
from pages.figures.sweep_map import NOT_THERE, MapCell, SweepMap, sweep_figure


def cell(value: float | None, unable: bool = False, *lines: str) -> MapCell:
    return MapCell(value, lines or ("hover",), unable)


def figure(cells: list[list[MapCell | None]], **more: Any) -> go.Figure:
    rows = [(f"task {i}",) for i in range(len(cells))]
    columns = [str(j) for j in range(len(cells[0]))]
    drawn = {"rows": rows, "columns": columns, "cells": cells, "across": "seed", "scale": "overlap", **more}
    return sweep_figure(SweepMap(**drawn), LIGHT)


def trace(drawn: go.Figure, name: str) -> go.Scatter:
    return next(entry for entry in drawn.data if entry.name == name)


def test_numbers_stand_in_their_cells() -> None:
    drawn = figure([[cell(0.587), cell(1.0)], [cell(-0.004), cell(0.25, True)]])
    heat = drawn.data[0]
    assert [list(row) for row in heat.text] == [["0.59", "1.00"], ["0.00", "0.25*"]]
    assert [list(row) for row in heat.z] == [[0.587, 1.0], [-0.004, 0.25]]
    assert (heat.zmin, heat.zmax) == (0, 1)
    assert drawn.layout.xaxis.title.text == "seed"


def test_a_bar_beside_the_cells_says_what_their_colours_mean() -> None:
    heat = figure([[cell(0.5)], [cell(0.2)]]).data[0]
    assert heat.showscale and heat.colorbar.title.text == "overlap"
    assert not figure([[cell(0.5)]]).data[0].showscale  # which is too low for a bar


def test_narrow_cells_have_short_numbers() -> None:
    drawn = figure([[cell(value) for value in (0.587, 0.999, 1.2, -0.25, 0.0, 0.05, 0.5)]])
    assert list(drawn.data[0].text[0]) == [".59", "1.0", "1.2", "-.25", ".00", ".05", ".50"]


def test_missing_cells_are_outlined_and_cells_outside_of_the_sweep_are_not_there() -> None:
    drawn = figure([[cell(0.5), cell(None)], [None, cell(None)]])
    boxes, marks = (entry for entry in drawn.data if entry.name == "not computed")
    assert marks.text == NOT_THERE and list(zip(marks.x, marks.y, strict=True)) == [(1, 0), (1, 1)]
    assert len(boxes.x) == 2 * 6
    assert list(drawn.data[0].text[0]) == ["0.50", ""]
    assert set(trace(drawn, "cells").customdata) == {"0,0", "0,1", "1,1"}


@pytest.mark.parametrize("columns", [1, 2, 5, 40])
def test_clicks_reach_across_cells(columns: int) -> None:
    squares = trace(figure([[cell(0.5) for _ in range(columns)]] * 2), "cells")
    for x, y, name in zip(squares.x, squares.y, squares.customdata, strict=True):
        assert name == f"{y},{round(x)}"
    across = sorted(x for x, y in zip(squares.x, squares.y, strict=True) if y == 0)
    assert len(across) >= 30 and across[0] + 0.5 == pytest.approx(columns - 0.5 - across[-1])
    assert [b - a for a, b in pairwise(across)] == pytest.approx([columns / len(across)] * (len(across) - 1))


def test_texts_are_shown_as_they_are() -> None:
    drawn = figure(
        [[cell(0.5, False, "<b>x</b>", "a & b")]], rows=[("<i>task</i>", "a pair of a rather long name, too")],
        columns=["<u>0</u>"],
    )  # fmt: skip
    assert trace(drawn, "cells").text[0] == "&lt;b&gt;x&lt;/b&gt;<br>a &amp; b"
    (label,) = drawn.layout.yaxis.ticktext
    assert label == "<b>&lt;i&gt;task&lt;/i&gt;</b><br>a pair of a rather long<br>name, too"
    assert drawn.layout.xaxis.ticktext == ("&lt;u&gt;0&lt;/u&gt;",)


def test_rows_are_as_high_as_their_labels() -> None:
    low, high = (
        figure([[cell(0.5)]] * 4, rows=[label] * 4).layout.height for label in (("task",), ("task", "pair", "eap"))
    )
    assert high - low == 4 * 2 * 16
