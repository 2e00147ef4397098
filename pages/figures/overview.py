"""The overlaps of all tasks of a pair at one K, two lines a task."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from engine.circuits.comparison import SplitHalf
from pages.figures.layout import layout_of
from pages.figures.overlap import halves_of
from pages.figures.palette import Palette

_BELOW = 0.28  # of a task's row in the overview: where the overlaps on halves stand
_TITLE = 36  # pixels above that row
_AROUND = 195  # pixels beside the rows: on a narrow screen the legend takes seven lines


@dataclass(frozen=True)
class TaskRow:
    """What the overview draws of a task: overlaps at one K; `published`: what others found in other models."""

    title: str
    overlap: float
    chance: float
    control: float | None = None  # the overlap of the ARM with its step-0 control
    halves: SplitHalf | None = None
    published: tuple[tuple[str, float], ...] = ()  # (pair, overlap)


def overview_figure(rows: Sequence[TaskRow], palette: Palette) -> go.Figure:
    """Two lines a task: overlaps on all examples, from chance on, and below the three on half of the examples each."""
    figure = go.Figure()
    for index, row in enumerate(rows):
        halves = [row.halves.pair, row.halves.arm, row.halves.mdm] if row.halves else []
        whole = [row.chance, row.overlap, *([] if row.control is None else [row.control])]
        for values, y, width in ((whole, index, 5), (halves, index + _BELOW, 2)):
            ends = [min(values), max(values)] if values else []
            line = {"color": palette.faint, "width": width}
            figure.add_trace(
                go.Scatter(x=ends, y=[y] * len(ends), mode="lines", line=line, hoverinfo="skip", showlegend=False)
            )
    for name, x, below, colour, symbol, size in _overview_marks(rows, palette):
        main = name == "ARM with MDM"
        figure.add_trace(
            go.Scatter(
                x=x,
                y=[index + below for index in range(len(rows))],
                mode="markers+text" if main else "markers",
                name=name,
                text=[f"{value:.2f}" for value in x] if main else None,
                textposition="top center",
                textfont={"color": palette.text, "size": 13},
                marker={"color": colour, "symbol": symbol, "size": size, "line": {"width": 2, "color": colour}},
                hovertemplate="%{x:.3f}<extra>" + name + "</extra>",
            )
        )
    published = [(value, index, pair) for index, row in enumerate(rows) for pair, value in row.published]
    figure.add_trace(
        go.Scatter(
            x=[value for value, _, _ in published],
            y=[index for _, index, _ in published],
            mode="markers",
            name="published, 7B",
            marker={"color": palette.neutral, "symbol": "star", "size": 10},
            customdata=[pair for _, _, pair in published],
            hovertemplate="%{x:.3f}, %{customdata}<extra>published</extra>",
        )
    )
    for index, row in enumerate(rows):  # above its lines, as beside them it leaves a narrow screen no room for them
        title = {
            "text": html.escape(row.title, quote=False),
            "font": {"color": palette.text, "size": 13},
            "showarrow": False,
        }
        figure.add_annotation(
            title, x=0, xref="paper", xanchor="left", y=index, yshift=_TITLE, yanchor="middle", name="task"
        )
    figure.update_yaxes(showticklabels=False, range=[len(rows) - 0.45, -0.55], showgrid=False, zeroline=False)
    figure.update_xaxes(title="overlap of the strongest edges (Jaccard)", range=[-0.02, 1.02], zeroline=False)
    return figure.update_layout(**layout_of(_AROUND + 94 * len(rows)))


def _overview_marks(
    rows: Sequence[TaskRow], palette: Palette
) -> list[tuple[str, list[float | None], float, str, str, int]]:
    """Name, values by task, how far below the task's line, colour, symbol and size of what the overview marks."""
    halves = [row.halves for row in rows]
    return [
        ("chance", [row.chance for row in rows], 0.0, palette.neutral, "line-ns-open", 16),
        ("ARM with control", [row.control for row in rows], 0.0, palette.text, "triangle-up-open", 14),
        ("ARM with MDM", [row.overlap for row in rows], 0.0, palette.shared, "diamond", 17),
        ("halves: ARM with MDM", halves_of(halves, "pair"), _BELOW, palette.shared, "diamond-open", 10),
        ("halves: ARM", halves_of(halves, "arm"), _BELOW, palette.arm, "circle-open", 10),
        ("halves: MDM", halves_of(halves, "mdm"), _BELOW, palette.mdm, "square-open", 10),
    ]
