"""Draw whose circuit does what in which model: faithfulness as a small heat map."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from engine.circuits.intervals import Estimate
from pages.figures.heat import Grid, heat_figure
from pages.figures.palette import Palette

CELL = 44  # pixels a row: two lines of text


def matrix_figure(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[Estimate | None]],
    hover: Sequence[Sequence[str]],
    palette: Palette,
    *,
    highest: float = 1.0,
    cell: int = CELL,
    form: str = ".2f",
) -> go.Figure:
    """Estimates [row, column] with their intervals below them; a cell without one stays empty.

    Names are plain text, of columns with line ends where they may be broken; `cell`: pixels a row."""
    numbers = np.array([[np.nan if entry is None else entry.value for entry in row] for row in values], dtype=float)
    text = [[_text(entry, form) for entry in row] for row in values]
    names, across = ([html.escape(name, quote=False) for name in labels] for labels in (rows, columns))
    across = [name.replace("\n", "<br>") for name in across]
    return heat_figure(Grid(numbers, names, across, text, hover), palette.shared, palette, highest=highest, cell=cell)


def _text(cell: Estimate | None, form: str) -> str:
    if cell is None:
        return ""
    value = f"<b>{cell.value:z{form}}</b>"
    if cell.low is None or cell.high is None:
        return value
    return f"{value}<br>{cell.low:z{form}} to {cell.high:z{form}}"
