"""The comparisons of a sweep as a heat map: a row for every pair and task, a column for every seed or model."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import plotly.graph_objects as go

from pages.figures.heat import Grid, click_cells, heat_figure, outlines
from pages.figures.palette import Palette

NOT_THERE = "–"  # noqa: RUF001 (an en dash, as for a number that is missing)
UNABLE = "*"
FEW = 6  # columns; with more, cells are narrow
LINE, PADDING = 16, 14  # pixels of a line of a row's label, and around these
SQUARES = 30  # that answer clicks, beside each other, reach across the widest page
WIDEST = 24  # characters of such a line


@dataclass(frozen=True)
class MapCell:
    """A comparison, or the mean of several seeds'; texts are plain. `value` None: not computed."""

    value: float | None
    hover: tuple[str, ...]  # lines
    unable: bool = False  # a model cannot do the task


@dataclass(frozen=True)
class SweepMap:
    """Rows from the top; each label is a few short texts. A cell that is None is no part of the sweep."""

    rows: Sequence[Sequence[str]]
    columns: Sequence[str]
    cells: Sequence[Sequence[MapCell | None]]
    across: str  # what the columns are
    scale: str  # what the numbers are


def sweep_figure(drawn: SweepMap, palette: Palette) -> go.Figure:
    """Values from 0 to 1, printed in their cells; a click brings "row,column" as the point's customdata."""
    labels = [_label(parts) for parts in drawn.rows]
    lines = max((label.count("<br>") + 1 for label in labels), default=1)
    values = np.array(
        [[np.nan if cell is None or cell.value is None else cell.value for cell in row] for row in drawn.cells], float
    )
    values = values.reshape(len(drawn.rows), len(drawn.columns))
    narrow = len(drawn.columns) > FEW
    text = [[_text(cell, narrow) for cell in row] for row in drawn.cells]
    columns = [html.escape(column, quote=False) for column in drawn.columns]
    height = LINE * lines + PADDING
    figure = heat_figure(
        Grid(values, labels, columns, text), palette.shared, palette, titles=(drawn.across, ""), cell=height,
        scale=drawn.scale, upright=narrow,
    )  # fmt: skip
    there = [(row, column, cell) for row, cells in enumerate(drawn.cells) for column, cell in enumerate(cells) if cell]
    missing = [(row, column) for row, column, cell in there if cell.value is None]
    if narrow:
        figure.update_traces(textfont_size=11, selector={"type": "heatmap"})
    figure.add_trace(outlines(missing, palette.faint, "not computed", 1))
    # A heat map writes no text in a cell without a value.
    figure.add_trace(
        go.Scatter(
            x=[column for _, column in missing], y=[row for row, _ in missing], mode="text", text=NOT_THERE,
            textfont={"color": palette.neutral, "size": 12}, hoverinfo="skip", name="not computed", showlegend=False,
        )
    )  # fmt: skip
    figure.add_trace(_clickable(there, len(columns), height - 4))
    return figure


def _clickable(there: Sequence[tuple[int, int, MapCell]], columns: int, size: int) -> go.Scatter:
    """Invisible squares over cells (row, column), side by side where cells are wide."""
    squares = max(1, ceil(SQUARES / columns))
    places = [(cell, (at + 0.5) / squares - 0.5) for cell in there for at in range(squares)]
    trace = click_cells(
        [row for (row, _, _), _ in places], [], [f"{row},{column}" for (row, column, _), _ in places],
        [_hover(cell) for (_, _, cell), _ in places], size,
    )  # fmt: skip
    trace.x = [column + aside for (_, column, _), aside in places]
    return trace


def _label(parts: Sequence[str]) -> str:
    """The first part bold, every part in lines of its own."""
    lines = [[html.escape(line, quote=False) for line in textwrap.wrap(part, WIDEST)] for part in parts if part]
    first, *rest = lines or [[""]]
    return "<br>".join([f"<b>{line}</b>" for line in first] + [line for own in rest for line in own])


def _text(cell: MapCell | None, narrow: bool) -> str:
    """The number in a cell, as in 0.25, -0.25 and 1.00; in a narrow cell .25, -.25 and 1.0."""
    if cell is None or cell.value is None:
        return ""
    digits = f"{cell.value:z.2f}"
    if narrow:
        digits = f"{cell.value:z.1f}" if abs(cell.value) >= 0.995 else digits.replace("0.", ".", 1)
    return f"{digits}{UNABLE * cell.unable}"


def _hover(cell: MapCell) -> str:
    return "<br>".join(html.escape(line, quote=False) for line in cell.hover)
