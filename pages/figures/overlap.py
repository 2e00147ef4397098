"""Overlap as curves: over K, and along checkpoints of post-training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from engine.circuits.comparison import SplitHalf, chance_at
from pages.figures.layout import layout_of
from pages.figures.palette import Palette
from pages.figures.unchecked import unchecked_figure

Numbers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Curve:
    """The overlap of two circuits of the same size, over their size."""

    name: str
    k: Numbers
    overlap: NDArray[np.float64]  # Jaccard
    style: str  # "pair", "control"; on half of the examples each "half-pair", "half-arm", "half-mdm"


def overlap_figure(curves: Sequence[Curve], n_edges: int, k: int, here: float, palette: Palette) -> go.Figure:
    """Jaccard overlap at every K: the pair and the control on all examples, the three on halves, and chance.

    A marker at K says the pair's overlap there, `here`.
    """
    ks = curves[0].k.astype(np.int64)
    styles = {
        "pair": {"color": palette.shared, "width": 3.5, "dash": "solid"},
        "control": {"color": palette.text, "width": 1.5, "dash": "solid"},
        "half-pair": {"color": palette.shared, "width": 1.5, "dash": "dashdot"},
        "half-arm": {"color": palette.arm, "width": 1.5, "dash": "dash"},
        "half-mdm": {"color": palette.mdm, "width": 1.5, "dash": "dot"},
        "chance": {"color": palette.neutral, "width": 1.5, "dash": "longdashdot"},
    }
    lines = [(c.name, c.style, c.k, c.overlap) for c in curves]
    traces: list[dict[str, object]] = [
        {
            "type": "scatter",
            "x": x,
            "y": values,
            "mode": "lines",
            "line": styles[style],
            "name": name,
            "hovertemplate": "K = %{x:,}: %{y:.3f}<extra>" + name + "</extra>",
        }
        for name, style, x, values in [*lines, ("chance", "chance", ks, chance_at(ks, n_edges))]
    ]
    mark = {
        "type": "scatter",
        "x": [k],
        "y": [here],
        "mode": "markers+text",
        "marker": {"size": 11, "color": palette.shared, "line": {"color": palette.background, "width": 2}},
        "text": [f"{here:.2f}"],
        "textposition": "top center" if here < 0.85 else "bottom center",
        "textfont": {"color": palette.text, "size": 13},
        "hoverinfo": "skip",
        "showlegend": False,
        "name": "K",
    }
    decades = _decades(n_edges)
    at_k = {"color": palette.neutral, "width": 1, "dash": "dot"}
    frame = {
        **layout_of(360),
        "hovermode": "closest",
        "shapes": [{"type": "line", "x0": k, "x1": k, "yref": "y domain", "y0": 0, "y1": 1, "line": at_k}],
        "xaxis": {
            "type": "log",
            "title": {"text": "K, the strongest edges of each model"},
            "range": [0, np.log10(n_edges) + 0.02],
            "tickvals": decades,
            "ticktext": [f"{tick:,}" for tick in decades],
        },
        "yaxis": {"title": {"text": "overlap (Jaccard)"}, "range": [-0.02, 1.08], "tickformat": ".1f"},
    }
    return unchecked_figure([*traces, mark], frame)


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


def _decades(n_edges: int) -> list[int]:
    return [10**power for power in range(len(str(n_edges)))]
