"""What the activations page draws: layer profiles, histograms of activations, norms, lens by layer.

Both models always share axes, bins and colour scales. What can be clicked lies under invisible bars as wide and high
as the figure, so that small bars can be hit too; their `customdata` is the layer or the bin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from engine.circuits.intervals import BandContrast, Bands
from engine.inspection import bins
from engine.runs.rows import LayerHistogram
from pages.figures.palette import DASH, NAME, Palette

TARGETS = "targets"  # the trace that is clicked
STATISTICS = (("active", "share active"), ("kurtosis", "excess kurtosis"), ("mean", "mean"), ("std", "std"))
_MOST_TICKS = 12
_TICKS = (-100, -10, -1, -0.1, 0, 0.1, 1, 10, 100)
_NOTHING = "rgba(0,0,0,0)"


@dataclass(frozen=True)
class Norms:
    """One model's norms: mean [row, column], nan where there is none."""

    model: str
    mean: NDArray[np.float64]


def profile_figure(
    arm: NDArray[np.float64], mdm: NDArray[np.float64], early: int, layer: int, mirrored: bool, look: Palette
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
                marker=_marker(model, pattern, look),
                hoverinfo="skip",
                **_undimmed(1),
            )
        )
    said = [f"layer {i}: ARM {a:.1%}, MDM {b:.1%}" for i, (a, b) in enumerate(zip(arm, mdm, strict=True))]
    figure.add_trace(
        go.Bar(
            y=layers,
            x=[most - low] * len(layers),
            base=low,
            orientation="h",
            offset=-0.5,
            width=1,
            text=said,
            **_target(layers.tolist()),
        )
    )
    figure.add_hrect(y0=-0.5, y1=early - 0.5, fillcolor=look.neutral, opacity=0.14, line_width=0, layer="below")
    figure.add_annotation(
        x=most, y=early - 0.5, text="early", xanchor="right", yanchor="top", showarrow=False, font_color=look.neutral
    )
    figure.add_hrect(y0=layer - 0.5, y1=layer + 0.5, line={"color": look.text, "width": 2})
    if mirrored:
        figure.add_vline(x=0, line={"color": look.neutral, "width": 1})
    ticks = _nice(most, mirrored)
    figure.update_xaxes(
        title="share of importance", range=[low, most], tickvals=ticks, ticktext=[f"{abs(tick):.0%}" for tick in ticks]
    )
    figure.update_yaxes(title="layer", tickvals=_every(len(arm)), range=[-0.5, len(arm) - 0.5], showgrid=False)
    return figure.update_layout(**_frame(max(340, 16 * len(arm) + 90)), barmode="overlay", hovermode="closest")


def histogram_figure(
    arm: LayerHistogram, mdm: LayerHistogram, shown: tuple[int, int], chosen: int | None, shares: bool, look: Palette
) -> go.Figure:
    """How many activations of a layer's neurons fall in each of engine.bins' bins, on a logarithmic axis.

    `shown` is the first and the last bin drawn, `chosen` the bin that is framed; `shares`: of all activations of the
    model instead of their number.
    """
    figure = go.Figure()
    first, last = shown
    number = np.arange(first, last + 1)
    counts = {"arm": np.array(arm.counts)[number], "mdm": np.array(mdm.counts)[number]}
    totals = {"arm": max(arm.n, 1), "mdm": max(mdm.n, 1)}
    heights = {model: found / totals[model] if shares else found for model, found in counts.items()}
    for model, height in heights.items():
        figure.add_trace(
            go.Scatter(
                x=number,
                y=np.where(height > 0, height, np.nan),
                mode="lines+markers",
                line={"shape": "hvh", "color": look.of(model), "dash": DASH[model], "width": 2.5},
                marker={"symbol": "circle" if model == "arm" else "square-open", "size": 6},
                name=NAME[model],
                hoverinfo="skip",
                **_undimmed(1),
            )
        )
    top, bottom = _reach(np.concatenate(list(heights.values())))
    said = [
        f"{bins.label(i)}<br>"
        + "<br>".join(f"{NAME[m]}: {counts[m][i - first]:,} ({counts[m][i - first] / totals[m]:.2%})" for m in counts)
        for i in number.tolist()
    ]
    figure.add_trace(
        go.Bar(
            x=number,
            y=[top] * len(number),
            width=1,
            text=said,
            **_target(number.tolist()),
        )
    )
    if chosen is not None:
        figure.add_vrect(x0=chosen - 0.5, x1=chosen + 0.5, line={"color": look.text, "width": 2})
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
    return figure.update_layout(**_frame(340), hovermode="closest", bargap=0)


def statistics_figure(arm: Sequence[LayerHistogram], mdm: Sequence[LayerHistogram], look: Palette) -> go.Figure:
    """Share of active neurons, kurtosis, mean and standard deviation by layer."""
    figure = make_subplots(rows=2, cols=2, subplot_titles=[said for _, said in STATISTICS], vertical_spacing=0.2)
    for index, (name, said) in enumerate(STATISTICS):
        place = {"row": index // 2 + 1, "col": index % 2 + 1}
        for model, rows in (("arm", arm), ("mdm", mdm)):
            figure.add_trace(
                go.Scatter(
                    x=[row.layer for row in rows],
                    y=[getattr(row, name) for row in rows],
                    name=NAME[model],
                    legendgroup=model,
                    showlegend=index == 0,
                    hovertemplate=f"layer %{{x}}: {said} %{{y:.3g}}<extra>{NAME[model]}</extra>",
                    **_line(model, look),
                ),
                **place,
            )
    figure.update_xaxes(tickvals=_every(len(arm)))
    figure.update_xaxes(title="layer", row=2)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", row=1, col=1)
    figure.update_annotations(font={"size": 13, "color": look.text})
    return figure.update_layout(**_frame(430)).update_layout(legend_y=1.08, margin_t=64)


def residual_figure(arm: Norms, mdm: Norms, offsets: NDArray[np.int_], look: Palette) -> go.Figure:
    """Norms of the residual stream, [0 = embedding .. n_layers, offset]: one logarithmic colour scale for both."""
    said = "layers done"
    figure = _pair_of_maps((arm, mdm), offsets, said, "token %{x}, after %{y} layers: norm %{customdata:.3g}", True)
    figure.add_vline(x=-0.5, line={"color": look.background, "width": 2, "dash": "dot"})
    figure.update_xaxes(title="token")
    return figure


def heads_figure(arm: Norms, mdm: Norms) -> go.Figure:
    """Norms of what every head writes, [layer, head]: one colour scale for both models."""
    heads = np.arange(arm.mean.shape[1])
    figure = _pair_of_maps((arm, mdm), heads, "layer", "a%{y}.h%{x}: norm %{customdata:.3g}", False)
    return figure.update_xaxes(title="head", tickvals=_every(len(heads)))


def lens_figure(contrast: BandContrast, said: str, percent: bool, look: Palette) -> go.Figure:
    """A mean over examples by layer: both models, then ARM - MDM, each with its 95 % interval as a band."""
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=[said, "ARM - MDM (above 0: the ARM's is larger)"], horizontal_spacing=0.09
    )
    for model, bands in (("arm", contrast.arm), ("mdm", contrast.mdm)):
        _add_band(figure, 1, bands, NAME[model], {**_line(model, look), "name": NAME[model]}, percent)
    own = {"mode": "lines+markers", "line": {"color": look.shared, "width": 2.5}, "marker": {"symbol": "diamond"}}
    _add_band(figure, 2, contrast.difference, "ARM - MDM", {**own, "name": "ARM - MDM"}, percent)
    figure.add_hline(y=0, line={"color": look.neutral, "width": 1}, row=1, col=2)
    figure.update_xaxes(title="after layer", tickvals=_every(len(contrast.arm.value)))
    if percent:
        figure.update_yaxes(tickformat=".0%")
    figure.update_annotations(font={"size": 13, "color": look.text})
    return figure.update_layout(**_frame(340)).update_layout(legend_y=1.1, margin_t=64)


def shown_bins(histograms: Sequence[LayerHistogram]) -> tuple[int, int]:
    """The first and the last bin that any of these has something in, so that axes stay when the layer changes."""
    filled = np.flatnonzero(sum(np.array(row.counts) for row in histograms))
    return (int(filled[0]), int(filled[-1])) if len(filled) else (0, bins.BINS - 1)


def _pair_of_maps(
    both: tuple[Norms, Norms], columns: NDArray[np.int_], said: str, hover: str, logarithmic: bool
) -> go.Figure:
    """Two heat maps side by side with the same axes and the same colours."""
    figure = make_subplots(
        rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=[NAME[n.model] for n in both]
    )
    for index, norms in enumerate(both):
        with np.errstate(divide="ignore"):
            seen = np.where(norms.mean > 0, np.log10(norms.mean), np.nan) if logarithmic else norms.mean
        figure.add_trace(
            go.Heatmap(
                x=columns,
                z=seen,
                customdata=norms.mean,
                coloraxis="coloraxis",
                hovertemplate=hover + f"<extra>{NAME[norms.model]}</extra>",
                hoverongaps=False,
                name=NAME[norms.model],
            ),
            row=1,
            col=index + 1,
        )
    rows = len(both[0].mean)
    figure.update_yaxes(tickvals=_every(rows), showgrid=False, zeroline=False)
    figure.update_yaxes(title=said, col=1)
    figure.update_xaxes(showgrid=False, zeroline=False)
    scale: dict[str, object] = {"title": "norm", "thickness": 14}
    if logarithmic:
        ticks = _log_ticks(np.concatenate([n.mean.ravel() for n in both]))
        scale |= {"tickvals": np.log10(ticks).tolist(), "ticktext": [f"{tick:g}" for tick in ticks]}
    frame = {**_frame(max(300, 14 * rows + 110)), "showlegend": False}
    return figure.update_layout(**frame, coloraxis={"colorscale": "Cividis", "colorbar": scale})


def _add_band(figure: go.Figure, column: int, bands: Bands, name: str, style: dict[str, object], percent: bool) -> None:
    layers = np.arange(len(bands.value))
    form = ".1%" if percent else ".3f"
    hover = f"layer %{{x}}: %{{y:{form}}}"
    between: list[str] | None = None
    if bands.low is not None and bands.high is not None:
        line = style["line"]
        colour = line["color"] if isinstance(line, dict) else "#888888"
        figure.add_trace(
            go.Scatter(
                x=np.concatenate([layers, layers[::-1]]),
                y=np.concatenate([bands.high, bands.low[::-1]]),
                fill="toself",
                fillcolor=_faint(str(colour)),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                name=f"{name}, 95 % interval",
            ),
            row=1,
            col=column,
        )
        between = [f"{low:{form}} to {high:{form}}" for low, high in zip(bands.low, bands.high, strict=True)]
        hover += "<br>95 %: %{customdata}"
    figure.add_trace(
        go.Scatter(
            x=layers, y=bands.value, customdata=between, hovertemplate=f"{hover}<extra>{name}</extra>", **style
        ),
        row=1,
        col=column,
    )  # fmt: skip


def _target(values: list[int]) -> dict[str, object]:
    """What makes invisible bars into something to click that tells about what is under it."""
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
    """Plotly dims what was not clicked; the frame of what is chosen says it better."""
    return {"selected": {"marker": {"opacity": opacity}}, "unselected": {"marker": {"opacity": opacity}}}


def _marker(model: str, pattern: str, look: Palette) -> dict[str, object]:
    lines = {"shape": pattern, "fgcolor": look.background, "fillmode": "overlay", "size": 7, "solidity": 0.25}
    return {"color": look.of(model), "pattern": lines}


def _line(model: str, look: Palette) -> dict[str, object]:
    return {
        "mode": "lines+markers",
        "line": {"color": look.of(model), "dash": DASH[model], "width": 2.2},
        "marker": {"symbol": "circle" if model == "arm" else "square-open", "size": 7},
    }


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.22)"


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


def _every(n: int) -> list[int]:
    return list(range(0, n, max(1, -(-n // _MOST_TICKS))))


def _nice(most: float, mirrored: bool) -> list[float]:
    """Round shares up to `most`, on both sides of 0 when mirrored."""
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if most / s <= 5 or s == 1.0)
    ticks = [round(step * i, 2) for i in range(int(most / step) + 1)]
    return [-tick for tick in ticks[:0:-1]] * mirrored + ticks


def _log_ticks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """1, 2, 5, 10, ... between the smallest and the largest of the values above 0."""
    there = values[values > 0]
    if not len(there):
        return np.ones(1)
    low, high = float(there.min()), float(there.max())
    powers = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) < 4 else (1,)
    ticks = np.array([step * 10.0**power for power in powers for step in steps])
    return np.asarray(ticks[(ticks >= 0.99 * low) & (ticks <= 1.01 * high)])


def _frame(height: int) -> dict[str, object]:
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    return {"height": height, "margin": {"l": 8, "r": 8, "t": 40, "b": 8}, "legend": legend}
