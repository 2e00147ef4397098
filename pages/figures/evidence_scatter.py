"""Scatters of evidence: what components do to both models, and what estimators say of edges that were patched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from pages.figures.layout import layout_of
from pages.figures.palette import Palette

ROOM = 0.06  # of an axis, left free on either side


@dataclass(frozen=True)
class Knocked:
    """A component without which both models were run: how the metric changes."""

    name: str
    is_head: bool
    arm: float
    mdm: float


def knockouts_figure(points: Sequence[Knocked], chosen: str | None, palette: Palette) -> go.Figure:
    """Change of the metric in the ARM (x) against that in the MDM (y), a point a component; a click brings its name."""
    figure = go.Figure()
    low, high = _reach([value for point in points for value in (point.arm, point.mdm)])
    _add_diagonal(figure, low, high, "same in both", palette)
    for heads, name, colour, symbol in (
        (True, "head", palette.shared, "circle"),
        (False, "MLP", palette.text, "square"),
    ):
        own = [point for point in points if point.is_head == heads]
        figure.add_trace(
            go.Scatter(
                x=[point.arm for point in own],
                y=[point.mdm for point in own],
                mode="markers",
                name=name,
                marker={"color": colour, "symbol": symbol, "size": 9, "opacity": 0.8},
                customdata=[point.name for point in own],
                hovertemplate="%{customdata}: ARM %{x:+.3f}, MDM %{y:+.3f}<extra></extra>",
                selected={"marker": {"opacity": 0.8}},
                unselected={"marker": {"opacity": 0.8}},
            )
        )
    for point in points:
        if point.name == chosen:
            _add_ring(figure, point, palette)
    axis = {"range": [low, high], "zerolinecolor": palette.faint, "tickformat": "~g"}
    figure.update_xaxes(title="change of the ARM's metric", **axis)
    figure.update_yaxes(title="change of the MDM's metric", **axis)
    return figure.update_layout(
        **layout_of(470), hovermode="closest", dragmode="pan", clickmode="event+select", uirevision="knockouts"
    )


def audit_figure(
    exact: Sequence[float],
    estimate: Sequence[float],
    names: Sequence[str],
    strongest: Sequence[bool],
    colour: str,
    palette: Palette,
) -> go.Figure:
    """What an estimator says of edges (x) against what patching them one at a time does (y).

    `strongest`: whether an edge is among the strongest of the circuit, else it was drawn evenly over ranks.
    """
    figure = go.Figure()
    low, high = _reach([*exact, *estimate])
    _add_diagonal(figure, low, high, "estimate = exact", palette)
    for top, name, shade, symbol in (
        (False, "drawn evenly over ranks", palette.neutral, "diamond-open"),
        (True, "strongest edges", colour, "circle"),
    ):
        own = [i for i, is_top in enumerate(strongest) if is_top == top]
        figure.add_trace(
            go.Scatter(
                x=[estimate[i] for i in own],
                y=[exact[i] for i in own],
                mode="markers",
                name=name,
                marker={"color": shade, "symbol": symbol, "size": 7, "opacity": 0.8},
                customdata=[names[i] for i in own],
                hovertemplate="%{customdata}: estimate %{x:+.4g}, exact %{y:+.4g}<extra></extra>",
            )
        )
    axis = {"range": [low, high], "zerolinecolor": palette.faint, "tickformat": "~g"}
    figure.update_xaxes(title="estimate", **axis)
    figure.update_yaxes(title="exact, by patching", **axis)
    return figure.update_layout(**layout_of(400), hovermode="closest")


def _reach(values: Sequence[float]) -> tuple[float, float]:
    """The ends of both axes, which are the same, with 0 between them."""
    low, high = min([0.0, *values]), max([0.0, *values])
    room = ROOM * (high - low) or 1.0
    return low - room, high + room


def _add_diagonal(figure: go.Figure, low: float, high: float, name: str, palette: Palette) -> None:
    line = {"color": palette.faint, "width": 1.5, "dash": "dash"}
    figure.add_trace(
        go.Scatter(x=[low, high], y=[low, high], mode="lines", line=line, hoverinfo="skip", name=name)
    )  # fmt: skip


def _add_ring(figure: go.Figure, point: Knocked, palette: Palette) -> None:
    figure.add_trace(
        go.Scatter(
            x=[point.arm], y=[point.mdm], mode="markers+text", text=[point.name], textposition="top center",
            textfont={"color": palette.text, "size": 13}, name="chosen", hoverinfo="skip", showlegend=False,
            marker={"symbol": "circle-open", "size": 20, "color": palette.text, "line": {"width": 2.5}},
        )
    )  # fmt: skip
