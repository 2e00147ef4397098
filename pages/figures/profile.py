"""Importance by layer as bars, ARM beside MDM."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from pages.figures.layout import layout_of
from pages.figures.palette import NAME, Palette
from pages.figures.unchecked import unchecked_figure


def profile_figure(
    arm: NDArray[np.float64], mdm: NDArray[np.float64], early: int, palette: Palette, mdm_name: str = NAME["mdm"]
) -> go.Figure:
    """Share of importance by layer, [n_layers] each; the first `early` layers are marked as early.

    `mdm_name`: what the legend calls what stands for the MDM.
    """
    layers = np.arange(len(arm))
    bars = [
        {
            "type": "bar",
            "x": layers,
            "y": shares,
            "name": name,
            "marker": {"color": palette.of(model), "pattern": bar_pattern(pattern, palette)},
            "hovertemplate": "layer %{x}: %{y:.1%}<extra>" + name + "</extra>",
        }
        for model, name, shares, pattern in (("arm", NAME["arm"], arm, ""), ("mdm", mdm_name, mdm, "/"))
    ]
    highest = 1.2 * float(max(arm.max(initial=0.0), mdm.max(initial=0.0), 0.05))  # room for the word above the bars
    whole = {"yref": "y domain", "y0": 0, "y1": 1, "layer": "below", "line": {"width": 0}, "type": "rect"}
    word = {"text": "early", "font": {"color": palette.neutral, "size": 13}, "showarrow": False}
    frame = {
        **layout_of(360),
        "barmode": "group",
        "bargap": 0.25,
        "shapes": [{**whole, "x0": -0.5, "x1": early - 0.5, "fillcolor": palette.neutral, "opacity": 0.14}],
        "annotations": [
            {**word, "x": early - 0.5, "y": 1, "yref": "y domain", "xanchor": "right", "yanchor": "top"},
        ],
        "xaxis": {"title": {"text": "layer"}, "tickvals": layers[:: max(1, len(arm) // 12)]},
        "yaxis": {"title": {"text": "share of importance"}, "tickformat": ".0%", "range": [0, highest]},
    }
    return unchecked_figure(bars, frame)


def bar_pattern(shape: str, palette: Palette) -> dict[str, object]:
    """Lines over a bar's colour, so that two groups of bars differ without it."""
    return {"shape": shape, "fgcolor": palette.background, "fillmode": "overlay", "size": 7, "solidity": 0.25}
