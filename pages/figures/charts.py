"""The curves and bars beside the circuits. Tokens are untrusted text: they are escaped and made visible."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from engine.circuits.comparison import SplitHalf, chance_at, jaccard_at
from engine.circuits.edges import OverlapCurve
from engine.runs.rows import LayerLens, NodeLens
from pages.figures.palette import NAME, Palette
from pages.figures.unchecked import unchecked_figure

Numbers = NDArray[np.integer[Any]]

_TOKENS = 8  # rows on either side of a lens
_LONGEST = 18  # characters of a token in a figure
_BELOW = 0.28  # of a task's row in the overview: where the overlaps on halves stand
_TITLE = 36  # pixels above that row
_VISIBLE = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}
_BYTE = re.compile(r"<0x([0-7][0-9A-F])>")  # how SentencePiece spells a character that is not in its vocabulary


@dataclass(frozen=True)
class Curve:
    """The overlap of two circuits of the same size, over their size."""

    name: str
    k: Numbers
    overlap: NDArray[np.float64]  # Jaccard
    style: str  # "pair", "control"; on half of the examples each "half-pair", "half-arm", "half-mdm"


def curve(name: str, style: str, *found: OverlapCurve) -> Curve:
    """The mean of overlaps at the same sizes, of two circuits as a rule."""
    return Curve(name, found[0].k, np.mean([jaccard_at(one.shared, one.k) for one in found], axis=0), style)


@dataclass(frozen=True)
class TaskRow:
    """What the overview draws of a task: overlaps at one K; `published`: what others found in other models."""

    title: str
    overlap: float
    chance: float
    control: float | None = None  # the overlap of the ARM with its step-0 control
    halves: SplitHalf | None = None
    published: tuple[tuple[str, float], ...] = ()  # (pair, overlap)


@lru_cache(maxsize=100_000)
def visible(token: str) -> str:
    """A token as a person can see it: white space and nothing get a sign, control characters their escape.

    "Ġthe" and "▁the", as vocabularies spell them, are both a space and "the".
    """
    if not token:
        return "∅"
    text = spelled_out(token)
    shown = "".join(_VISIBLE.get(c) or (c if c.isprintable() else c.encode("unicode_escape").decode()) for c in text)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def spelled_out(token: str) -> str:
    """The text of a token as a vocabulary spells it; a part of a character stays as it is."""
    byte = _BYTE.fullmatch(token)
    if byte:
        return chr(int(byte[1], 16))
    bytes_of = _byte_characters()
    if token.isascii() or not all(c in bytes_of for c in token):
        return token.replace("▁", " ")
    try:
        return bytes(bytes_of[c] for c in token).decode()
    except UnicodeDecodeError:
        return token


@cache
def _byte_characters() -> dict[str, int]:
    """The printable characters with which byte-level vocabularies (GPT-2's, Qwen's) spell bytes."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}


@lru_cache(maxsize=100_000)
def as_text(token: str) -> str:
    """A token for a figure's text, where Plotly would interpret tags."""
    return html.escape(visible(token), quote=False)


def overlap_figure(curves: Sequence[Curve], n_edges: int, k: int, here: float, look: Palette) -> go.Figure:
    """Jaccard overlap at every K: the pair and the control on all examples, the three on halves, and chance.

    A marker at K says the pair's overlap there, `here`.
    """
    ks = curves[0].k.astype(np.int64)
    styles = {
        "pair": {"color": look.shared, "width": 3.5, "dash": "solid"},
        "control": {"color": look.text, "width": 1.5, "dash": "solid"},
        "half-pair": {"color": look.shared, "width": 1.5, "dash": "dashdot"},
        "half-arm": {"color": look.arm, "width": 1.5, "dash": "dash"},
        "half-mdm": {"color": look.mdm, "width": 1.5, "dash": "dot"},
        "chance": {"color": look.neutral, "width": 1.5, "dash": "longdashdot"},
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
        "marker": {"size": 11, "color": look.shared, "line": {"color": look.background, "width": 2}},
        "text": [f"{here:.2f}"],
        "textposition": "top center" if here < 0.85 else "bottom center",
        "textfont": {"color": look.text, "size": 13},
        "hoverinfo": "skip",
        "showlegend": False,
        "name": "K",
    }
    decades = _decades(n_edges)
    at_k = {"color": look.neutral, "width": 1, "dash": "dot"}
    frame = {
        **_frame(360),
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


def profile_figure(arm: NDArray[np.float64], mdm: NDArray[np.float64], early: int, look: Palette) -> go.Figure:
    """Share of importance by layer, [n_layers] each; the first `early` layers are marked as early."""
    layers = np.arange(len(arm))
    bars = [
        {
            "type": "bar",
            "x": layers,
            "y": shares,
            "name": NAME[model],
            "marker": {"color": look.of(model), "pattern": _pattern(pattern, look)},
            "hovertemplate": "layer %{x}: %{y:.1%}<extra>" + NAME[model] + "</extra>",
        }
        for model, shares, pattern in (("arm", arm, ""), ("mdm", mdm, "/"))
    ]
    highest = 1.2 * float(max(arm.max(initial=0.0), mdm.max(initial=0.0), 0.05))  # room for the word above the bars
    whole = {"yref": "y domain", "y0": 0, "y1": 1, "layer": "below", "line": {"width": 0}, "type": "rect"}
    word = {"text": "early", "font": {"color": look.neutral, "size": 13}, "showarrow": False}
    frame = {
        **_frame(360),
        "barmode": "group",
        "bargap": 0.25,
        "shapes": [{**whole, "x0": -0.5, "x1": early - 0.5, "fillcolor": look.neutral, "opacity": 0.14}],
        "annotations": [
            {**word, "x": early - 0.5, "y": 1, "yref": "y domain", "xanchor": "right", "yanchor": "top"},
        ],
        "xaxis": {"title": {"text": "layer"}, "tickvals": layers[:: max(1, len(arm) // 12)]},
        "yaxis": {"title": {"text": "share of importance"}, "tickformat": ".0%", "range": [0, highest]},
    }
    return unchecked_figure(bars, frame)


def lens_figure(lens: NodeLens, answer: str, foil: str, look: Palette) -> go.Figure:
    """What a node writes towards the logits: the tokens it promotes and suppresses most, in logits."""
    up = list(zip(lens.promoted, lens.promoted_logit, strict=True))[:_TOKENS]
    down = list(zip(lens.suppressed, lens.suppressed_logit, strict=True))[:_TOKENS]
    figure = go.Figure()
    groups = (("promoted", up, 0, look.shared), ("suppressed", down, len(up) + 0.6, look.neutral))
    ticks: list[float] = []
    labels: list[str] = []
    for name, rows, start, colour in groups:
        y = [start + index for index in range(len(rows))]
        ticks += y
        labels += [_marked(token, answer, foil) for token, _ in rows]
        figure.add_trace(
            go.Bar(
                x=[value for _, value in rows],
                y=y,
                orientation="h",
                name=name,
                marker={"color": colour},
                text=[f"{value:+.2f}" for _, value in rows],
                textposition="outside",
                textfont={"color": look.text, "size": 12},
                cliponaxis=False,
                customdata=[as_text(token) for token, _ in rows],
                hovertemplate="%{customdata}: %{x:+.3f} logits<extra>" + name + "</extra>",
            )
        )
    figure.update_yaxes(
        tickvals=ticks,
        ticktext=labels,
        tickfont={"color": look.text, "size": 13},
        autorange="reversed",
        showgrid=False,
        zeroline=False,
        automargin=False,
    )
    low = min([value for _, value in down], default=0.0)
    high = max([value for _, value in up], default=0.0)
    room = 0.18 * (max(high, 0.0) - min(low, 0.0) or 1.0)  # for the numbers at the bars' ends
    reach = [min(low, 0.0) - room, max(high, 0.0) + room]
    figure.update_xaxes(title="logits", zeroline=True, zerolinecolor=look.neutral, range=reach)
    figure.update_layout(**_frame(80 + 22 * (len(ticks) + 2)), bargap=0.2)
    return figure.update_layout(margin_l=150)  # the same for both models, so that their bars stand alike


def residual_figure(layers: Sequence[LayerLens], model: str, look: Palette) -> go.Figure:
    """How probable answer and foil are when the final norm and unembedding read the residual after each layer."""
    figure = go.Figure()
    x = [row.layer for row in layers]
    best = [", ".join(as_text(token) for token in row.tokens[:3]) for row in layers]
    series = (
        ("answer", [row.answer_probability for row in layers], look.of(model), "solid", "circle"),
        ("foil", [row.foil_probability for row in layers], look.neutral, "dot", "x"),
    )
    for name, y, colour, dash, symbol in series:
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="lines+markers",
                name=name,
                line={"color": colour, "dash": dash, "width": 2.5},
                marker={"symbol": symbol, "size": 8},
                customdata=best,
                hovertemplate="%{y:.3f}<br>top: %{customdata}<extra>" + name + "</extra>",
            )
        )
    figure.update_xaxes(title="after layer", tickvals=x, ticktext=["emb.", *(str(layer - 1) for layer in x[1:])])
    figure.update_yaxes(title="probability", range=[-0.03, 1.05])
    return figure.update_layout(**_frame(280))


def drift_figure(
    steps: Sequence[int],
    overlap: Sequence[float],
    halves: Sequence[SplitHalf | None],
    solved: Sequence[float],
    look: Palette,
) -> go.Figure:
    """Checkpoints of post-training, evenly spaced: overlap with the ARM, the same and the checkpoint's own on halves of
    the examples, and problems solved.
    """
    x = list(range(len(steps)))
    figure = go.Figure()
    lines = (
        ("overlap with the ARM", overlap, look.shared, "solid", "diamond"),
        (
            "halves: ARM with checkpoint",
            _of(halves, "pair"),
            look.shared,
            "dashdot",
            "diamond-open",
        ),
        ("halves: checkpoint", [h.mdm if h else None for h in halves], look.mdm, "dot", "square-open"),
        ("problems solved", solved, look.neutral, "dash", "circle-open"),
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
    return figure.update_layout(**_frame(300))


def overview_figure(rows: Sequence[TaskRow], look: Palette) -> go.Figure:
    """Two lines a task: overlaps on all examples, from chance on, and below the three on half of the examples each."""
    figure = go.Figure()
    for index, row in enumerate(rows):
        halves = [row.halves.pair, row.halves.arm, row.halves.mdm] if row.halves else []
        whole = [row.chance, row.overlap, *([] if row.control is None else [row.control])]
        for values, y, width in ((whole, index, 5), (halves, index + _BELOW, 2)):
            ends = [min(values), max(values)] if values else []
            line = {"color": look.faint, "width": width}
            figure.add_trace(
                go.Scatter(x=ends, y=[y] * len(ends), mode="lines", line=line, hoverinfo="skip", showlegend=False)
            )
    for name, x, below, colour, symbol, size in _overview_marks(rows, look):
        main = name == "ARM with MDM"
        figure.add_trace(
            go.Scatter(
                x=x,
                y=[index + below for index in range(len(rows))],
                mode="markers+text" if main else "markers",
                name=name,
                text=[f"{value:.2f}" for value in x] if main else None,
                textposition="top center",
                textfont={"color": look.text, "size": 13},
                marker={"color": colour, "symbol": symbol, "size": size, "line": {"width": 2, "color": colour}},
                hovertemplate="%{x:.3f}<extra>" + name + "</extra>",
            )
        )
    told = [(value, index, pair) for index, row in enumerate(rows) for pair, value in row.published]
    figure.add_trace(
        go.Scatter(
            x=[value for value, _, _ in told],
            y=[index for _, index, _ in told],
            mode="markers",
            name="published, 7B",
            marker={"color": look.neutral, "symbol": "star", "size": 10},
            customdata=[pair for _, _, pair in told],
            hovertemplate="%{x:.3f}, %{customdata}<extra>published</extra>",
        )
    )
    for index, row in enumerate(rows):  # above its lines, as beside them it leaves a narrow screen no room for them
        title = {
            "text": html.escape(row.title, quote=False),
            "font": {"color": look.text, "size": 13},
            "showarrow": False,
        }
        figure.add_annotation(
            title, x=0, xref="paper", xanchor="left", y=index, yshift=_TITLE, yanchor="middle", name="task"
        )
    figure.update_yaxes(showticklabels=False, range=[len(rows) - 0.45, -0.55], showgrid=False, zeroline=False)
    figure.update_xaxes(title="overlap of the strongest edges (Jaccard)", range=[-0.02, 1.02], zeroline=False)
    return figure.update_layout(**_frame(130 + 94 * len(rows)))


def _overview_marks(
    rows: Sequence[TaskRow], look: Palette
) -> list[tuple[str, list[float | None], float, str, str, int]]:
    """Name, values by task, how far below the task's line, colour, symbol and size of what the overview marks."""
    halves = [row.halves for row in rows]
    return [
        ("chance", [row.chance for row in rows], 0.0, look.neutral, "line-ns-open", 16),
        ("control", [row.control for row in rows], 0.0, look.text, "triangle-up-open", 14),
        ("ARM with MDM", [row.overlap for row in rows], 0.0, look.shared, "diamond", 17),
        ("halves: pair", _of(halves, "pair"), _BELOW, look.shared, "diamond-open", 10),
        ("halves: ARM", _of(halves, "arm"), _BELOW, look.arm, "circle-open", 10),
        ("halves: MDM", _of(halves, "mdm"), _BELOW, look.mdm, "square-open", 10),
    ]


def _of(halves: Sequence[SplitHalf | None], which: str) -> list[float | None]:
    """One of the three overlaps on halves, entry by entry; None where there are no halves."""
    return [None if one is None else float(getattr(one, which)) for one in halves]


def _marked(token: str, answer: str, foil: str) -> str:
    sign = {answer: " (answer)", foil: " (foil)"}.get(token, "")
    return f"<b>{as_text(token)}{sign}</b>" if sign else as_text(token)


def _pattern(shape: str, look: Palette) -> dict[str, object]:
    """Lines over a bar's colour, so that two groups of bars differ without it."""
    return {"shape": shape, "fgcolor": look.background, "fillmode": "overlay", "size": 7, "solidity": 0.25}


def _decades(n_edges: int) -> list[int]:
    return [10**power for power in range(len(str(n_edges)))]


def _frame(height: int) -> dict[str, object]:
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    return {"height": height, "margin": {"l": 8, "r": 8, "t": 40, "b": 8}, "legend": legend}
