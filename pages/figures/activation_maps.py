"""Draw numbers by layer: statistics of activations, norms, the logit lens; both models share axes and colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from engine.circuits.intervals import BandContrast, Bands
from engine.runs.rows import LayerHistogram
from pages.figures.heat import click_cells, outlines
from pages.figures.layer_axes import every_tick, model_line
from pages.figures.layout import layout_of
from pages.figures.palette import NAME, Palette, transparent

STATISTICS = (
    ("active", "share active"),
    ("kurtosis", "excess kurtosis"),
    ("mean", "mean"),
    ("std", "standard deviation"),
)

_MAP_WIDTH, _LARGEST_TARGET = 300, 26  # pixels: about what one of two maps has; what answers a click on a cell


@dataclass(frozen=True)
class Norms:
    """One model's mean norms [row, column], nan where there is none."""

    model: str
    mean: NDArray[np.float64]


def statistics_figure(arm: Sequence[LayerHistogram], mdm: Sequence[LayerHistogram], palette: Palette) -> go.Figure:
    """Share of active neurons, kurtosis, mean and standard deviation by layer."""
    figure = make_subplots(
        rows=2, cols=2, subplot_titles=[title for _, title in STATISTICS], vertical_spacing=0.2, horizontal_spacing=0.16
    )
    for index, (name, title) in enumerate(STATISTICS):
        place = {"row": index // 2 + 1, "col": index % 2 + 1}
        for model, rows in (("arm", arm), ("mdm", mdm)):
            figure.add_trace(
                go.Scatter(
                    x=[row.layer for row in rows],
                    y=[getattr(row, name) for row in rows],
                    name=NAME[model],
                    legendgroup=model,
                    showlegend=index == 0,
                    hovertemplate=f"layer %{{x}}: {title} %{{y:.3g}}<extra>{NAME[model]}</extra>",
                    **model_line(model, palette),
                ),
                **place,
            )
    figure.update_xaxes(tickvals=_few_ticks(len(arm)), tickangle=0)
    figure.update_xaxes(title="layer", row=2)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", row=1, col=1)
    figure.update_annotations(font={"size": 13, "color": palette.text})
    return figure.update_layout(**layout_of(430)).update_layout(legend_y=1.08, margin_t=64)


def residual_figure(arm: Norms, mdm: Norms, offsets: NDArray[np.int_], palette: Palette) -> go.Figure:
    """Norms of the residual stream, [0 = embedding .. n_layers, offset]: one logarithmic colour scale for both."""
    figure = _pair_of_maps(
        (arm, mdm), offsets, "after layers", "token %{x}, after %{y} layers: norm %{customdata:.3g}", True
    )
    figure.add_vline(x=-0.5, line={"color": palette.background, "width": 2, "dash": "dot"})
    figure.update_xaxes(title="token")
    return figure


def heads_figure(arm: Norms, mdm: Norms, palette: Palette, chosen: tuple[int, int] | None = None) -> go.Figure:
    """Norms of every head's output, [layer, head]: one colour scale for both models.

    A click on a head brings its node's name; the head `chosen`, (layer, head), is framed.
    """
    n_layers, n_heads = arm.mean.shape
    figure = _pair_of_maps((arm, mdm), np.arange(n_heads), "layer", "a%{y}.h%{x}: norm %{customdata:.3g}", False)
    layers, heads = (axis.ravel().tolist() for axis in np.indices((n_layers, n_heads)))
    names = [f"a{layer}.h{head}" for layer, head in zip(layers, heads, strict=True)]
    size = max(6, min(_LARGEST_TARGET, _MAP_WIDTH // n_heads))
    for column, norms in enumerate((arm, mdm), start=1):
        pairs = zip(names, norms.mean.ravel().tolist(), strict=True)
        hover = [f"{NAME[norms.model]} {name}: norm {norm:.3g}" for name, norm in pairs]
        figure.add_trace(click_cells(layers, heads, names, hover, size), row=1, col=column)
        figure.add_trace(outlines([chosen] if chosen else [], palette.background, "frame", 5), row=1, col=column)
        figure.add_trace(outlines([chosen] if chosen else [], palette.text, "frame", 2), row=1, col=column)
    figure.update_xaxes(title="head", tickvals=_few_ticks(n_heads), tickangle=0, range=[-0.5, n_heads - 0.5])
    figure.update_yaxes(range=[-0.5, n_layers - 0.5])
    return figure.update_layout(clickmode="event+select", dragmode=False, hovermode="closest")


def lens_figure(contrast: BandContrast, title: str, percent: bool, palette: Palette) -> go.Figure:
    """A mean over examples by layer: both models, then ARM - MDM, each with its 95 % interval as a band."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=[title, "ARM - MDM"], horizontal_spacing=0.09)
    for model, bands in (("arm", contrast.arm), ("mdm", contrast.mdm)):
        _add_band(figure, 1, bands, NAME[model], {**model_line(model, palette), "name": NAME[model]}, percent)
    own = {"mode": "lines+markers", "line": {"color": palette.shared, "width": 2.5}, "marker": {"symbol": "diamond"}}
    _add_band(figure, 2, contrast.difference, "ARM - MDM", {**own, "name": "ARM - MDM"}, percent)
    figure.add_hline(y=0, line={"color": palette.neutral, "width": 1}, row=1, col=2)
    figure.update_xaxes(title="after layer", tickvals=_few_ticks(len(contrast.arm.value)), tickangle=0)
    if percent:
        figure.update_yaxes(tickformat=".0%")
    figure.update_annotations(font={"size": 13, "color": palette.text})
    return figure.update_layout(**layout_of(340)).update_layout(legend_y=1.1, margin_t=64)


def _few_ticks(n: int) -> list[int]:
    """Which of `n` numbers get a tick where two figures share the width of a telephone: six at most."""
    return list(range(0, n, max(1, -(-n // 6))))


def _pair_of_maps(
    both: tuple[Norms, Norms], columns: NDArray[np.int_], rows: str, hover: str, logarithmic: bool
) -> go.Figure:
    """Two heat maps side by side with the same axes and the same colours."""
    figure = make_subplots(
        rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=[NAME[n.model] for n in both]
    )
    for index, norms in enumerate(both):
        with np.errstate(divide="ignore"):
            colours = np.where(norms.mean > 0, np.log10(norms.mean), np.nan) if logarithmic else norms.mean
        figure.add_trace(
            go.Heatmap(
                x=columns,
                z=colours,
                customdata=norms.mean,
                coloraxis="coloraxis",
                hovertemplate=hover + f"<extra>{NAME[norms.model]}</extra>",
                hoverongaps=False,
                name=NAME[norms.model],
            ),
            row=1,
            col=index + 1,
        )
    n_rows = len(both[0].mean)
    figure.update_yaxes(tickvals=every_tick(n_rows), showgrid=False, zeroline=False)
    figure.update_yaxes(title=rows, col=1)
    figure.update_xaxes(showgrid=False, zeroline=False)
    scale: dict[str, object] = {"title": "norm", "thickness": 14}
    if logarithmic:
        ticks = _log_ticks(np.concatenate([n.mean.ravel() for n in both]))
        scale |= {"tickvals": np.log10(ticks).tolist(), "ticktext": [f"{tick:g}" for tick in ticks]}
    layout = {**layout_of(max(300, 14 * n_rows + 110)), "showlegend": False}
    return figure.update_layout(**layout, coloraxis={"colorscale": "Cividis", "colorbar": scale})


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
                fillcolor=transparent(str(colour), 0.22),
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
