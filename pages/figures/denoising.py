"""Draw how the circuits of denoising steps compare: overlaps, importance by layer, and accuracy by number of steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from engine.circuits.intervals import wilson
from engine.runs.rows import StepAccuracy
from pages.figures.heat import Grid, heat_figure
from pages.figures.palette import Palette


def overlap_figure(
    values: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], colour: str, palette: Palette
) -> go.Figure:
    """Overlaps of parts' circuits, in percent on shades; `rows` and `columns` are the parts' names.

    The deepest shade is the largest overlap of two different parts, as those of a part with itself are 1.
    """
    different = np.array(rows)[:, None] != np.array(columns)[None, :]
    highest = float(values[different].max(initial=0.0))
    text = [[f"{100 * value:.0f}" for value in row] for row in values]
    hover = [
        [f"{row} and {column}: {value:.1%}" for column, value in zip(columns, line, strict=True)]
        for row, line in zip(rows, values.tolist(), strict=True)
    ]
    short = [name.partition("-")[2].lstrip("0") or "0" for name in columns]
    below = [name.partition("-")[2].lstrip("0") or "0" for name in rows]
    titles = (f"{columns[0].partition('-')[0]}", rows[0].partition("-")[0])
    grid = Grid(values, below, short, text, hover)
    return heat_figure(grid, colour, palette, titles=titles, highest=highest, cell=27).update_traces(textfont_size=11)


def layers_figure(
    profiles: NDArray[np.float64], parts: Sequence[str], model: str, highest: float, palette: Palette
) -> go.Figure:
    """Share of importance [part, layer] as layers (the last on top) by steps or sites."""
    by_layer = profiles.T[::-1]
    layers = [f"layer {layer}" for layer in reversed(range(profiles.shape[1]))]
    hover = [
        [f"{part}, {layer}: {value:.1%} of importance" for part, value in zip(parts, row, strict=True)]
        for layer, row in zip(layers, by_layer.tolist(), strict=True)
    ]
    text = [[f"{100 * value:.0f}" for value in row] for row in by_layer.tolist()]
    short = [part.partition("-")[2].lstrip("0") or "0" for part in parts]
    grid = Grid(by_layer, layers, short, text, hover)
    titles = (parts[0].partition("-")[0], "")
    return heat_figure(grid, palette.of(model), palette, titles=titles, highest=highest).update_traces(textfont_size=11)


def accuracy_figure(rows: Sequence[StepAccuracy], arm: tuple[int, int], palette: Palette) -> go.Figure:
    """Problems solved against denoising steps, with 95 % intervals; the ARM's (correct, total) as a line and a band."""
    figure = go.Figure()
    share, (low, high) = arm[0] / arm[1], wilson(arm[0] / arm[1], arm[1])
    x = [row.steps for row in rows]
    reach = [min(x) - 0.5, max(x) + 0.5]
    figure.add_hrect(y0=low, y1=high, fillcolor=palette.arm, opacity=0.13, line_width=0, layer="below")
    figure.add_trace(
        go.Scatter(
            x=reach, y=[share, share], mode="lines", name="ARM, one token at a time",
            line={"color": palette.arm, "dash": "dash", "width": 2.5},
            hovertemplate=f"{share:.1%}, between {low:.1%} and {high:.1%}<extra>ARM</extra>",
        )
    )  # fmt: skip
    y = [row.correct / row.total for row in rows]
    ends = [wilson(row.correct / row.total, row.total) for row in rows]
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="lines+markers",
            name="MDM",
            line={"color": palette.mdm, "width": 2.5},
            marker={"symbol": "square", "size": 9},
            error_y={
                "type": "data",
                "array": [end[1] - value for end, value in zip(ends, y, strict=True)],
                "arrayminus": [value - end[0] for end, value in zip(ends, y, strict=True)],
                "thickness": 1.5,
            },
            customdata=[[row.correct, row.total, *end] for row, end in zip(rows, ends, strict=True)],
            hovertemplate="%{x} steps: %{customdata[0]} of %{customdata[1]} solved, %{y:.1%}<br>"
            "between %{customdata[2]:.1%} and %{customdata[3]:.1%}<extra>MDM</extra>",
        )
    )
    figure.update_xaxes(title="denoising steps", tickvals=x, range=reach)
    figure.update_yaxes(title="problems solved", tickformat=".0%", range=[-0.03, 1.05])
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    return figure.update_layout(height=340, margin={"l": 8, "r": 8, "t": 40, "b": 8}, legend=legend)
