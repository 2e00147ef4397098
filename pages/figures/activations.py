"""Draw what can be clicked on the activations page: importance by layer, and a layer's histogram of activations.

Both models always share axes and bins. What can be clicked lies under invisible bars as wide and high as the figure, so
that small bars can be hit too; their `customdata` is the layer or the bin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from engine.inspection import bins
from engine.runs.rows import LayerHistogram
from pages.figures.layer_axes import every_tick
from pages.figures.layout import layout_of
from pages.figures.palette import DASH, NAME, Palette

TARGETS = "targets"  # the trace that is clicked
_TICKS = (-100, -10, -1, -0.1, 0, 0.1, 1, 10, 100)
_NOTHING = "rgba(0,0,0,0)"


def profile_figure(
    arm: NDArray[np.float64], mdm: NDArray[np.float64], early: int, layer: int, mirrored: bool, palette: Palette
) -> go.Figure:
    """Share of importance by layer, [n_layers] each; mirrored: the ARM's bars to the left, the MDM's to the right.

    The first `early` layers are marked, and the chosen `layer` is framed.
    """
    figure, layers = go.Figure(), np.arange(len(arm))
    most = 1.2 * float(max(arm.max(initial=0.0), mdm.max(initial=0.0), 0.02))
    low = -most if mirrored else 0.0
    for model, shares, pattern in (("arm", arm, ""), ("mdm", mdm, "/")):
        place = (-0.4, 0.8) if mirrored else (0.0 if model == "arm" else -0.4, 0.4)  # offset, width
        figure.add_trace(
            go.Bar(
                y=layers,
                x=-shares if mirrored and model == "arm" else shares,
                orientation="h",
                offset=place[0],
                width=place[1],
                name=NAME[model],
                marker=_marker(model, pattern, palette),
                hoverinfo="skip",
                **_undimmed(1),
            )
        )
    hover = [f"layer {i}: ARM {a:.1%}, MDM {b:.1%}" for i, (a, b) in enumerate(zip(arm, mdm, strict=True))]
    figure.add_trace(
        go.Bar(
            y=layers,
            x=[most - low] * len(layers),
            base=low,
            orientation="h",
            offset=-0.5,
            width=1,
            text=hover,
            **_target(layers.tolist()),
        )
    )
    figure.add_hrect(y0=-0.5, y1=early - 0.5, fillcolor=palette.neutral, opacity=0.14, line_width=0, layer="below")
    figure.add_annotation(
        x=most, y=early - 0.5, text="early", xanchor="right", yanchor="top", showarrow=False, font_color=palette.neutral
    )
    figure.add_hrect(y0=layer - 0.5, y1=layer + 0.5, line={"color": palette.text, "width": 2})
    if mirrored:
        figure.add_vline(x=0, line={"color": palette.neutral, "width": 1})
    ticks = _nice(most, mirrored)
    figure.update_xaxes(
        title="share of importance", range=[low, most], tickvals=ticks, ticktext=[f"{abs(tick):.0%}" for tick in ticks]
    )
    figure.update_yaxes(title="layer", tickvals=every_tick(len(arm)), range=[-0.5, len(arm) - 0.5], showgrid=False)
    return figure.update_layout(**layout_of(max(340, 16 * len(arm) + 90)), barmode="overlay", hovermode="closest")


def histogram_figure(
    arm: LayerHistogram, mdm: LayerHistogram, shown: tuple[int, int], chosen: int | None, shares: bool, palette: Palette
) -> go.Figure:
    """How many activations of a layer fall in each bin of engine/inspection/bins.py, on a logarithmic axis.

    `shown` is the first and the last bin drawn, `chosen` the bin that is framed; `shares`: of all activations of the
    model instead of their number.
    """
    figure = go.Figure()
    first, last = shown
    number = np.arange(first, last + 1)
    counts = {"arm": np.array(arm.counts)[number], "mdm": np.array(mdm.counts)[number]}
    totals = {"arm": max(arm.n, 1), "mdm": max(mdm.n, 1)}
    heights = {model: count / totals[model] if shares else count for model, count in counts.items()}
    for model, height in heights.items():
        figure.add_trace(
            go.Scatter(
                x=number,
                y=np.where(height > 0, height, np.nan),
                mode="lines+markers",
                line={"shape": "hvh", "color": palette.of(model), "dash": DASH[model], "width": 2.5},
                marker={"symbol": "circle" if model == "arm" else "square-open", "size": 6},
                name=NAME[model],
                hoverinfo="skip",
                **_undimmed(1),
            )
        )
    top, bottom = _reach(np.concatenate(list(heights.values())))
    hover = [
        f"{bins.label(i)}<br>"
        + "<br>".join(f"{NAME[m]}: {counts[m][i - first]:,} ({counts[m][i - first] / totals[m]:.2%})" for m in counts)
        for i in number.tolist()
    ]
    figure.add_trace(go.Bar(x=number, y=[top] * len(number), width=1, text=hover, **_target(number.tolist())))
    if chosen is not None:
        figure.add_vrect(x0=chosen - 0.5, x1=chosen + 0.5, line={"color": palette.text, "width": 2})
    places = {tick: _place(tick) for tick in _TICKS}
    kept = {tick: place for tick, place in places.items() if first - 0.5 <= place <= last + 0.5}
    figure.update_xaxes(
        title="activation (bins grow with distance from 0)",
        tickvals=list(kept.values()),
        ticktext=[f"{tick:g}" for tick in kept],
        range=[first - 0.5, last + 0.5],
        zeroline=False,
    )
    figure.update_yaxes(
        title="share of activations" if shares else "activations",
        type="log",
        range=[np.log10(bottom), np.log10(top)],
        dtick=1 if np.log10(top / bottom) < 7 else 2,
        exponentformat="power",
    )
    return figure.update_layout(**layout_of(340), hovermode="closest", bargap=0)


def shown_bins(histograms: Sequence[LayerHistogram]) -> tuple[int, int]:
    """The first and the last bin that any of these has something in, so that axes stay when the layer changes."""
    filled = np.flatnonzero(sum(np.array(row.counts) for row in histograms))
    return (int(filled[0]), int(filled[-1])) if len(filled) else (0, bins.BINS - 1)


def _target(values: list[int]) -> dict[str, object]:
    """What makes invisible bars into something to click whose hover tells about what is under it."""
    return {
        "customdata": values,
        "name": TARGETS,
        "marker": {"color": _NOTHING, "line": {"width": 0}},
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
        **_undimmed(0),
    }


def _undimmed(opacity: int) -> dict[str, object]:
    """Plotly dims what was not clicked; here a frame marks what is chosen instead."""
    return {"selected": {"marker": {"opacity": opacity}}, "unselected": {"marker": {"opacity": opacity}}}


def _marker(model: str, pattern: str, palette: Palette) -> dict[str, object]:
    lines = {"shape": pattern, "fgcolor": palette.background, "fillmode": "overlay", "size": 7, "solidity": 0.25}
    return {"color": palette.of(model), "pattern": lines}


def _place(value: float) -> float:
    """Where a value stands on an axis of bins: 0 in the middle of the middle bin, others at their bin's edge."""
    if value == 0:
        return bins.BINS // 2
    return float(np.argmin(np.abs(bins.EDGES - value))) - 0.5


def _reach(heights: NDArray[np.float64]) -> tuple[float, float]:
    """Top and bottom of a logarithmic axis."""
    there = heights[heights > 0]
    if not len(there):
        return 10.0, 0.5
    return 2 * float(there.max()), 0.5 * float(there.min())


def _nice(most: float, mirrored: bool) -> list[float]:
    """Round shares up to `most`, on both sides of 0 when mirrored."""
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if most / s <= 5 or s == 1.0)
    ticks = [round(step * i, 2) for i in range(int(most / step) + 1)]
    return [-tick for tick in ticks[:0:-1]] * mirrored + ticks
