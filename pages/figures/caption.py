"""Small lines below a figure, within it: a picture of it says by itself what it shows and where that comes from."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence

import plotly.graph_objects as go

from pages.figures.palette import Palette

FONT = "Verdana, 'DejaVu Sans', sans-serif"
"""Of what is cut where it is wider than measured: a saved picture doesn't have the app's own font, which is narrow."""

HEIGHT = 450  # pixels of a figure that says nothing of its own
LINE, SIZE, WIDEST = 14, 10, 62  # pixels a line, of its letters; characters, as half of a page of 900 pixels holds

_PLAIN = '<span style="font-weight:normal">{}</span>'  # the app writes titles bold


def captioned(figure: go.Figure, lines: Sequence[str], palette: Palette) -> go.Figure:
    """Add `lines` (plain text) below a figure, which grows by as much; once only."""
    layout = figure.layout
    if layout.title.text is not None:
        return figure
    rows = [html.escape(row, quote=False) for line in lines for row in textwrap.wrap(line, WIDEST)]
    room, fixed = LINE * len(rows) + 6, layout.margin.autoexpand is False
    layout.height = (layout.height or HEIGHT) + room
    if fixed:
        layout.margin.b += room
    # Plotly puts the first line at y; where the margin makes room by itself, the last one.
    anchor, y = ("top", room) if fixed else ("bottom", 2 if len(rows) > 1 else 4)
    layout.title = {
        "text": _PLAIN.format("<br>".join(rows)),
        "font": {"size": SIZE, "color": palette.neutral, "family": FONT},
        "x": 0,
        "xanchor": "left",
        "xref": "container",
        "yanchor": anchor,
        "y": y / layout.height,
        "yref": "container",
        "pad": {"l": 2},
        "automargin": not fixed,
    }
    layout.legend.font.family = FONT
    for axis in (*figure.select_xaxes(), *figure.select_yaxes()):
        axis.tickfont.family = FONT
    return figure
