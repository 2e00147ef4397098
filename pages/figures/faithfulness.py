"""Draw how faithful circuits are over their size, and along checkpoints of post-training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import plotly.graph_objects as go

from pages.figures.layout import layout_of
from pages.figures.palette import NAME, Palette, transparent

Style = Literal["own", "signed", "random", "complement", "other"]
BAND = 0.18  # opacity
AXES = {"f": "faithfulness f", "right": "share of tokens that are right"}


@dataclass(frozen=True)
class Line:
    """A circuit at several sizes; `low`, `high`: the ends of what is drawn as a band, None where there are none."""

    name: str
    style: Style
    size: Sequence[int]
    value: Sequence[float]
    low: Sequence[float | None]
    high: Sequence[float | None]


@dataclass(frozen=True)
class Mark:
    """A size that is marked on the axis, with what is written there (plain text without markup)."""

    size: int
    label: str
    strong: bool  # drawn in the model's colour, else in a neutral one


def curves_figure(
    lines: Sequence[Line], marks: Sequence[Mark], model: str, measure: str, full: float, palette: Palette
) -> go.Figure:
    """Lines over the number of edges K, on a logarithmic axis; `model`: "arm" or "mdm"; `full`: of the whole model.

    `measure`: "f" or "right", what the lines show.
    """
    figure = go.Figure()
    colour = palette.of(model)
    for line in lines:
        drawing = _style(line.style, colour, palette)
        _add_band(figure, line, str(drawing["line"]["color"]))
        figure.add_trace(
            go.Scatter(
                x=line.size,
                y=line.value,
                mode="lines+markers",
                name=line.name,
                customdata=[_interval(low, high) for low, high in zip(line.low, line.high, strict=True)],
                hovertemplate="K = %{x:,}: %{y:.3f}%{customdata}<extra>" + line.name + "</extra>",
                **drawing,
            )
        )
    figure.add_hline(y=full, line={"color": palette.faint, "width": 1})
    figure.add_hline(y=0, line={"color": palette.faint, "width": 1})
    for at, mark in enumerate(marks):
        _add_mark(figure, mark, 0.02 + 0.07 * at, colour if mark.strong else palette.neutral, palette)
    figure.update_xaxes(type="log", title="edges K", tickformat=",~s", dtick=1)
    figure.update_yaxes(title=AXES[measure], tickformat=".1f" if measure == "f" else ".0%")
    return figure.update_layout(**layout_of(390))


def _add_mark(figure: go.Figure, mark: Mark, height: float, colour: str, palette: Palette) -> None:
    """A vertical line at a size; `height`: where its label stands, as a share of the axis."""
    line = {"color": colour, "width": 1.5, "dash": "solid" if mark.strong else "dot"}
    figure.add_shape(type="line", x0=mark.size, x1=mark.size, y0=0, y1=1, yref="paper", line=line)
    figure.add_annotation(
        text=mark.label, font={"color": colour, "size": 11}, showarrow=False, x=math.log10(mark.size), xanchor="left",
        y=height, yref="paper", yanchor="bottom", bgcolor=palette.background,
    )  # fmt: skip


def along_figure(
    names: Sequence[str], lines: Sequence[tuple[str, Style, Sequence[float | None]]], palette: Palette
) -> go.Figure:
    """Faithfulness at checkpoints `names`, evenly spaced; each line with its name, style and values by checkpoint."""
    figure = go.Figure()
    for name, style, values in lines:
        drawing = _style(style, palette.arm if style == "other" else palette.mdm, palette)
        figure.add_trace(
            go.Scatter(
                x=list(range(len(names))), y=values, mode="lines+markers", name=name, customdata=names,
                hovertemplate="%{customdata}: %{y:.3f}<extra>" + name + "</extra>", **drawing,
            )
        )  # fmt: skip
    figure.add_hline(y=1, line={"color": palette.faint, "width": 1})
    figure.add_hline(y=0, line={"color": palette.faint, "width": 1})
    figure.update_xaxes(title="steps of post-training", tickvals=list(range(len(names))), ticktext=list(names))
    figure.update_yaxes(title=AXES["f"], tickformat=".1f")
    return figure.update_layout(**layout_of(320))


@dataclass(frozen=True)
class Removal:
    """How many tokens a model still gets right when components are removed; `random`: (removed, mean, low, high)."""

    model: str
    strongest: Sequence[tuple[int, float]]
    random: Sequence[tuple[int, float, float, float]]


def removal_figure(removals: Sequence[Removal], palette: Palette) -> go.Figure:
    """Share of right tokens over the number of removed components: the strongest, and random ones with their range."""
    figure = go.Figure()
    for removal in removals:
        colour, name = palette.of(removal.model), NAME[removal.model]
        symbol = "circle" if removal.model == "arm" else "square"
        size, mean, low, high = ([row[i] for row in removal.random] for i in range(4))
        drawn = Line(f"{name}: random", "random", size, mean, low, high)  # type: ignore[arg-type]  # columns of rows
        _add_band(figure, drawn, colour)
        for label, x, y, dash, mark in (
            (drawn.name, size, mean, "dot", f"{symbol}-open"),
            (f"{name}: strongest", *_columns(removal.strongest), "solid", symbol),
        ):
            figure.add_trace(
                go.Scatter(
                    x=x, y=y, mode="lines+markers", name=label, line={"color": colour, "dash": dash, "width": 2.2},
                    marker={"symbol": mark, "size": 8},
                    hovertemplate="%{x} removed: %{y:.1%} right<extra>" + label + "</extra>",
                )
            )  # fmt: skip
    figure.update_xaxes(title="components removed together")
    figure.update_yaxes(title=AXES["right"], tickformat=".0%", range=[-0.03, 1.05])
    return figure.update_layout(**layout_of(340))


def _columns(rows: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [row[0] for row in rows], [row[1] for row in rows]


def _style(style: Style, colour: str, palette: Palette) -> dict[str, dict[str, object]]:
    """Of a line and its markers; lines of one colour differ by dash and symbol."""
    colour, dash, symbol, width = {
        "own": (colour, "solid", "circle", 2.6),
        "signed": (colour, "dash", "triangle-up-open", 1.8),
        "other": (colour, "dashdot", "diamond-open", 2.2),
        "random": (palette.neutral, "dot", "x-thin-open", 1.8),
        "complement": (palette.text, "longdash", "square-open", 1.6),
    }[style]
    return {"line": {"color": colour, "dash": dash, "width": width}, "marker": {"symbol": symbol, "size": 7}}


def _add_band(figure: go.Figure, line: Line, colour: str) -> None:
    """From `low` to `high`, where both are known."""
    known = [
        (size, low, high)
        for size, low, high in zip(line.size, line.low, line.high, strict=True)
        if low is not None and high is not None
    ]
    if len(known) < 2:
        return
    size, low, high = zip(*known, strict=True)
    figure.add_trace(
        go.Scatter(
            x=[*size, *reversed(size)], y=[*low, *reversed(high)], fill="toself", fillcolor=transparent(colour, BAND),
            line={"width": 0}, mode="lines", hoverinfo="skip", showlegend=False, name=f"{line.name}, range",
        )
    )  # fmt: skip


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
