"""Draw single neurons: the two models' attributions against each other, activations as bins and as coloured text.

What is text becomes HTML here, with every token escaped; charts are Plotly figures.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from engine.inspection import bins
from engine.models.token_text import visible
from pages.figures.palette import NAME, Palette
from pages.figures.token_label import as_text

POINTS_TRACE = "neurons"  # what every trace that answers clicks has in its meta
MOST_SVG = 5000  # points; more are drawn by the graphics card
HOVER_TOKENS = 3
POSITIVE, NEGATIVE = (0, 158, 115), (204, 121, 167)  # of coloured text, behind it in light and in dark
STRONGEST_SHADE = 0.65
BAR_COLOURS = {
    "promoted": "rgba(0,158,115,0.75)",
    "suppressed": "rgba(107,114,128,0.75)",
    "nearest": "rgba(86,180,233,0.75)",
}

_FLOOR = 0.7  # of the histogram's axis: below one, so that a single count is seen
_ROOM = 0.12  # of the values' span, around them: the chosen neuron's name stands above it


@dataclass(frozen=True)
class Points:
    """The neurons of an MLP: attribution by model, most promoted tokens, and who is among the strongest."""

    layer: int
    attribution: dict[str, NDArray[np.float32]]  # [neuron]
    hover: NDArray[np.str_]  # [neuron]: the tokens it promotes, as `hover_of_promoted` writes them
    strongest: dict[str, NDArray[np.bool_]]

    @property
    def groups(self) -> dict[str, NDArray[np.bool_]]:
        """[neuron] each: among the strongest of both models, of one, of none."""
        arm, mdm = self.strongest["arm"], self.strongest["mdm"]
        return {"neither": ~arm & ~mdm, "arm": arm & ~mdm, "mdm": mdm & ~arm, "shared": arm & mdm}


def scatter_figure(
    points: Points, palette: Palette, chosen: int | None = None, pinned: Sequence[int] = ()
) -> go.Figure:
    """ARM attribution (x) against MDM attribution (y) of every neuron; on the diagonal both are the same."""
    low, high = _reach(points)
    figure = go.Figure()
    diagonal = {"color": palette.neutral, "width": 1, "dash": "dash"}
    figure.add_trace(
        go.Scatter(x=[low, high], y=[low, high], mode="lines", line=diagonal, hoverinfo="skip", name="same in both")
    )
    kind = go.Scattergl if len(points.attribution["arm"]) > MOST_SVG else go.Scatter
    styles = {
        "neither": ("other", palette.neutral, "circle", 6, 0.45),
        "arm": ("strongest in the ARM only", palette.arm, "square", 9, 0.9),
        "mdm": ("strongest in the MDM only", palette.mdm, "diamond", 10, 0.9),
        "shared": ("strongest in both", palette.shared, "circle", 10, 0.95),
    }
    for group, members in points.groups.items():
        figure.add_trace(_group(kind, points, np.flatnonzero(members), styles[group]))
    figure.add_trace(_rings(kind, points, [j for j in pinned if j != chosen], "star-open", 14, "pinned", palette))
    figure.add_trace(_rings(kind, points, [] if chosen is None else [chosen], "circle-open", 22, "chosen", palette))
    if chosen is not None:
        _name_chosen(figure, points, chosen, palette)
    axis = {"range": [low, high], "zerolinecolor": palette.faint, "tickformat": "~g"}
    figure.update_xaxes(title="attribution in the ARM", **axis)
    figure.update_yaxes(title="attribution in the MDM", **axis)
    return figure.update_layout(
        height=520,
        margin={"l": 8, "r": 8, "t": 64, "b": 8},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False},
        hovermode="closest",
        dragmode="pan",
        clickmode="event+select",
        uirevision=f"layer {points.layer}",
    )


def hover_of_promoted(promoted: Mapping[str, Sequence[Sequence[str]]]) -> NDArray[np.str_]:
    """[neuron]: two lines for a hover, what each neuron promotes in each model."""
    lines = [
        [f"{NAME[model]} promotes {', '.join(map(as_text, tokens[:HOVER_TOKENS]))}" for tokens in promoted[model]]
        for model in ("arm", "mdm")
    ]
    return np.array(["<br>".join(both) for both in zip(*lines, strict=True)])


def histogram_figure(counts: Mapping[str, Sequence[int]], palette: Palette) -> go.Figure:
    """The histogram of a neuron's activations, by model: bins of engine/inspection/bins.py, counts on a log axis."""
    figure = go.Figure()
    labels = [bins.label(index) for index in range(bins.BINS)]
    dash = {"arm": "solid", "mdm": "dot"}
    for model, values in counts.items():
        figure.add_trace(
            go.Scatter(
                x=list(range(bins.BINS)),
                y=[max(value, _FLOOR / 10) for value in values],
                mode="lines",
                line={"shape": "hvh", "color": palette.of(model), "width": 2.5, "dash": dash[model]},
                name=NAME[model],
                customdata=list(zip(labels, values, strict=True)),
                hovertemplate=f"%{{customdata[0]}}: %{{customdata[1]:,}} tokens<extra>{NAME[model]}</extra>",
            )
        )
    used = np.flatnonzero(np.sum([list(values) for values in counts.values()], axis=0))
    first, last = (int(used[0]), int(used[-1])) if len(used) else (0, bins.BINS - 1)
    most = max((max(values, default=0) for values in counts.values()), default=0)
    middle = bins.BINS // 2  # the bin around zero
    ticks = [index for index in range(1, bins.BINS) if _round(bins.EDGES[index]) and index not in (middle, middle + 1)]
    figure.update_xaxes(
        title="activation",
        tickvals=[*(index - 0.5 for index in ticks), middle],  # an edge lies between two bins
        ticktext=[*(f"{bins.EDGES[index]:g}" for index in ticks), "0"],
        range=[first - 1.5, last + 1.5],
        zeroline=False,
    )
    figure.update_yaxes(title="tokens", type="log", range=[np.log10(_FLOOR), np.log10(max(most, 1) * 1.6)], dtick=1)
    return figure.update_layout(
        height=280,
        margin={"l": 8, "r": 8, "t": 40, "b": 8},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        hovermode="x unified",
    )


def coloured_tokens(tokens: Sequence[str], values: Sequence[float], most: float, start: int, reads: set[int]) -> str:
    """Tokens as HTML, each behind a shade of its value; `most` is the value of the strongest shade.

    `start`: position of the first answer token; `reads`: positions at which logits are read.
    """
    cells = []
    for position, (token, value) in enumerate(zip(tokens, values, strict=True)):
        hover = f"{value:+.4g} at position {position}"
        style = "padding:1px 4px;border-radius:4px;" + shade(value, most)
        if position in reads:
            style, hover = style + "outline:2px solid currentColor;", hover + ", where the logits are read"
        if position == start:
            cells.append(_START)
        cells.append(f'<span style="{style}" title="{html.escape(hover)}">{html.escape(visible(token))}</span>')
    return f'<div style="font-size:0.9rem;line-height:2.1">{" ".join(cells)}</div>'


def shade(value: float, most: float) -> str:
    """The style of a value between -most and most: green above zero, purple and dotted below."""
    if not most or not np.isfinite(value):
        return ""
    red, green, blue = POSITIVE if value >= 0 else NEGATIVE
    strength = STRONGEST_SHADE * min(1.0, abs(value) / most)
    below = "border-bottom:2px dotted currentColor;" if value < -0.02 * most else ""
    return f"background:rgba({red},{green},{blue},{strength:.3f});{below}"


def colour_legend(most: float) -> str:
    """What the shades of `coloured_tokens` mean."""
    ends = [f"rgba({','.join(map(str, colour))},{STRONGEST_SHADE})" for colour in (NEGATIVE, POSITIVE)]
    bar = (
        f'<span style="display:inline-block;width:8rem;height:0.8rem;border-radius:4px;vertical-align:middle;'
        f'background:linear-gradient(to right,{ends[0]},transparent,{ends[1]})"></span>'
    )
    return (
        f'<div style="font-size:0.8rem;opacity:0.85">&minus;{most:.3g} {bar} +{most:.3g}, '
        "the same in both models and at every step. Dotted line: negative. Frame: the logits are read here. "
        "Bar: the answer begins. Hover over a token for its number.</div>"
    )


def token_bars(tokens: Sequence[str], values: Sequence[float], most: float, colour: str) -> str:
    """Tokens with their values as a small HTML table with bars; `most` is the value of the longest bar."""
    rows = []
    for token, value in zip(tokens, values, strict=True):
        width = 100 * min(1.0, abs(value) / most) if most else 0
        bar = f'<div style="height:0.7rem;width:{width:.0f}%;background:{colour};border-radius:2px"></div>'
        rows.append(
            f'<tr><td style="{_CELL}white-space:nowrap">{html.escape(visible(token))}</td>'
            f'<td style="{_CELL}text-align:right">{value:+.3f}</td><td style="{_CELL}width:55%">{bar}</td></tr>'
        )
    return f'<table style="border-collapse:collapse;width:100%;font-size:0.85rem">{"".join(rows)}</table>'


def passage(tokens: Sequence[str], at: int, style: str, around: int = 24) -> str:
    """The tokens around position `at` as HTML, that token in `style`."""
    first, last = max(0, at - around), min(len(tokens), at + around + 1)
    cells = [html.escape(visible(token)) for token in tokens[first:last]]
    if first <= at < last:
        frame = f"padding:1px 4px;border-radius:4px;font-weight:600;{style}"
        cells[at - first] = f'<span style="{frame}" title="position {at}">{cells[at - first]}</span>'
    return ("… " if first else "") + " ".join(cells) + (" …" if last < len(tokens) else "")


_CELL = "padding:1px 6px 1px 0;border:none;"
_START = (
    '<span title="the answer begins here" style="border-left:3px solid currentColor;'
    'margin:0 4px;padding:2px 0">&#8203;</span>'
)


def _group(kind: type[Any], points: Points, members: NDArray[np.int_], style: tuple[str, str, str, int, float]) -> Any:
    name, colour, symbol, size, opacity = style
    x, y = (points.attribution[model][members] for model in ("arm", "mdm"))
    return kind(
        x=x,
        y=y,
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": size, "opacity": opacity},
        selected={"marker": {"opacity": opacity}},
        unselected={"marker": {"opacity": opacity}},
        customdata=members.tolist(),
        text=points.hover[members],
        hovertemplate=f"<b>m{points.layer}.%{{customdata}}</b><br>ARM %{{x:+.4g}}, MDM %{{y:+.4g}}<br>%{{text}}"
        "<extra></extra>",
        name=f"{name} ({len(members):,})",
        meta=POINTS_TRACE,
    )


def _rings(
    kind: type[Any], points: Points, members: list[int], symbol: str, size: int, name: str, palette: Palette
) -> Any:
    return kind(
        x=points.attribution["arm"][members],
        y=points.attribution["mdm"][members],
        mode="markers",
        marker={"symbol": symbol, "size": size, "color": palette.text, "line": {"width": 2.2, "color": palette.text}},
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        hoverinfo="skip",
        name=name,
        showlegend=bool(members),
    )


def _name_chosen(figure: go.Figure, points: Points, chosen: int, palette: Palette) -> None:
    figure.add_annotation(
        x=float(points.attribution["arm"][chosen]),
        y=float(points.attribution["mdm"][chosen]),
        text=f"m{points.layer}.{chosen}",
        yshift=24,
        showarrow=False,
        bgcolor=palette.background,
        opacity=0.9,
        font={"color": palette.text, "size": 13},
    )


def _reach(points: Points) -> tuple[float, float]:
    """The range of both axes: all values of both models and a margin."""
    values = np.concatenate(list(points.attribution.values()))
    low, high = float(values.min()), float(values.max())
    room = _ROOM * (high - low or 1.0)
    return low - room, high + room


def _round(edge: float) -> bool:
    """Whether a bin's edge is a power of ten."""
    return bool(np.isfinite(edge) and np.isclose(np.log10(abs(edge)) % 1, [0, 1]).any())
