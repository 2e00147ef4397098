"""Overlap along checkpoints of post-training."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from engine.circuits.comparison import SplitHalf
from pages.figures.layout import layout_of
from pages.figures.palette import Palette


def drift_figure(
    steps: Sequence[int],
    overlap: Sequence[float],
    halves: Sequence[SplitHalf | None],
    solved: Sequence[float | None],
    palette: Palette,
) -> go.Figure:
    """Checkpoints of post-training, evenly spaced: overlap with the ARM, the same and the checkpoint's own on halves of
    the examples, and problems solved (None: not measured yet).
    """
    x = list(range(len(steps)))
    figure = go.Figure()
    lines = (
        ("overlap with the ARM", overlap, palette.shared, "solid", "diamond"),
        (
            "split-half: ARM with checkpoint",
            halves_of(halves, "pair"),
            palette.shared,
            "dashdot",
            "diamond-open",
        ),
        ("split-half: checkpoint", [h.mdm if h else None for h in halves], palette.mdm, "dot", "square-open"),
        ("problems solved", solved, palette.neutral, "dash", "circle-open"),
    )
    for name, values, colour, dash, symbol in lines:
        if all(value is None for value in values):
            continue
        figure.add_trace(
            go.Scatter(
                x=x,
                y=values,
                mode="lines+markers",
                name=name,
                line={"color": colour, "dash": dash, "width": 2.5},
                marker={"symbol": symbol, "size": 9},
                customdata=steps,
                hovertemplate="after %{customdata:,} steps: %{y:.3f}<extra>" + name + "</extra>",
            )
        )
    figure.update_xaxes(title="steps of post-training", tickvals=x, ticktext=[f"{step:,}" for step in steps])
    figure.update_yaxes(range=[-0.03, 1.08], tickformat=".1f")
    return figure.update_layout(**layout_of(300))


def halves_of(halves: Sequence[SplitHalf | None], which: str) -> list[float | None]:
    """One of the three overlaps on halves, entry by entry; None where there are no halves."""
    return [None if overlaps is None else float(getattr(overlaps, which)) for overlaps in halves]
