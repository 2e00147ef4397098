"""Heat maps as several pages draw them: labelled rows and columns, numbers or tokens in the cells, one colour."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from pages.figures.palette import Palette

DEEPEST = 0.5  # of the colour in the darkest cell, so that text on it stays readable
ROWS_MOST, COLUMNS_MOST = 34, 24  # labels; of more rows or columns only some have one
SELECT_TRACE = "cells"  # invisible markers that answer clicks, as a heat map answers none


@dataclass(frozen=True)
class Grid:
    """Values [row, column] with what stands beside and in them; NaN leaves a cell empty. Text is escaped already."""

    values: NDArray[np.floating[Any]]
    rows: Sequence[str]  # from the top
    columns: Sequence[str]
    text: Sequence[Sequence[str]] | None = None  # in the cells
    hover: Sequence[Sequence[str]] | None = None


def heat_figure(
    grid: Grid,
    colour: str,
    palette: Palette,
    *,
    titles: tuple[str, str] = ("", ""),
    highest: float = 1.0,
    cell: int = 26,
    scale: str = "",
    upright: bool = False,
) -> go.Figure:
    """Values from 0 to `highest` as shades of `colour`; `titles` are the axes', x and y.

    `cell`: pixels a row. `scale`: the colour bar's title; no bar without one. `upright`: long column labels stand.
    """
    cells = {
        "type": "heatmap",
        "z": grid.values,
        "x": np.arange(len(grid.columns)),
        "y": np.arange(len(grid.rows)),
        "text": None if grid.text is None else np.array(grid.text),
        "texttemplate": "%{text}" if grid.text is not None else None,
        "textfont": {"color": palette.text, "size": 12},
        "customdata": None if grid.hover is None else np.array(grid.hover),
        "hovertemplate": "%{customdata}<extra></extra>" if grid.hover is not None else None,
        "hoverinfo": None if grid.hover is not None else "skip",
        "hoverongaps": False,
        "colorscale": shades(colour, palette),
        "zmin": 0,
        "zmax": highest or 1.0,
        "xgap": 1,
        "ygap": 1,
        "showscale": bool(scale) and len(grid.rows) > 1,  # beside a single row its labels would overlap
        "colorbar": {
            "title": {"text": scale, "side": "right"},
            "thickness": 10,
            "xpad": 4,
            "outlinewidth": 0,
            "nticks": 3,
        },  # as narrow as can be, as it takes its width from the cells
    }
    longest = max((len(html.unescape(label)) for label in grid.columns), default=0) if upright else 0
    height = 80 + max(1, len(grid.rows)) * cell + 7 * longest
    axes = frame(grid.rows, grid.columns, palette, titles=titles, upright=upright)
    return go.Figure(data=[cells], layout={**axes, "height": height})


def frame(
    rows: Sequence[str],
    columns: Sequence[str],
    palette: Palette,
    *,
    titles: tuple[str, str] = ("", ""),
    upright: bool = False,
) -> dict[str, Any]:
    """The layout of axes whose cells are numbered from 0, rows from the top, with (some of) their labels."""
    font = {"color": palette.text, "size": 12 if max(len(rows), len(columns)) <= 20 else 10}
    common = {"showgrid": False, "zeroline": False, "tickfont": font, "fixedrange": True}
    x, y = thinned(len(columns), COLUMNS_MOST), thinned(len(rows), ROWS_MOST)
    across = {"title": titles[0], "tickvals": x, "ticktext": [columns[i] for i in x]}
    up = {"title": titles[1], "tickvals": y, "ticktext": [rows[i] for i in y]}
    return {
        "xaxis": {**common, **across, "range": [-0.5, len(columns) - 0.5], "tickangle": -90 if upright else 0},
        "yaxis": {**common, **up, "range": [len(rows) - 0.5, -0.5]},
        "margin": {"l": 8, "r": 8, "t": 12, "b": 8},
        "showlegend": False,
    }


def thinned(count: int, most: int) -> list[int]:
    """Which of `count` labels are shown: all, or every so many that at most `most` are left."""
    return list(range(0, count, max(1, ceil(count / most))))


def shades(colour: str, palette: Palette, deepest: float = DEEPEST) -> list[list[Any]]:
    """A colour scale from the background to `deepest` of a colour."""
    return [[0.0, palette.background], [1.0, blend(palette.background, colour, deepest)]]


def blend(first: str, second: str, share: float) -> str:
    """Two colours as #RRGGBB, mixed: `share` of the second."""
    parts = [(int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in parts)


def click_cells(
    rows: Sequence[int], columns: Sequence[int], names: Sequence[str], hover: Sequence[str], size: int
) -> go.Scatter:
    """Invisible squares over cells (row, column); a click on one brings its name as the point's customdata."""
    return go.Scatter(
        x=columns,
        y=rows,
        mode="markers",
        marker={"symbol": "square", "size": size, "opacity": 0},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        customdata=names,
        text=hover,
        hovertemplate="%{text}<extra></extra>",
        name=SELECT_TRACE,
        showlegend=False,
    )


def outlines(cells: Sequence[tuple[int, int]], colour: str, name: str, width: float = 2.5) -> go.Scatter:
    """A box around each cell (row, column), all in one line."""
    x: list[float | None] = []
    y: list[float | None] = []
    for row, column in cells:
        left, right, top, bottom = column - 0.47, column + 0.47, row - 0.44, row + 0.44
        x += [left, right, right, left, left, None]
        y += [top, top, bottom, bottom, top, None]
    line = {"color": colour, "width": width}
    return go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", name=name, showlegend=False)
