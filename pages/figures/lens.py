"""The logit lens as charts: what a node promotes and suppresses, and answer and foil after each layer."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from engine.runs.rows import LayerLens, NodeLens
from pages.figures.layout import layout_of
from pages.figures.palette import Palette
from pages.figures.token_label import as_text

_TOKENS = 8  # rows on either side of a lens


def lens_figure(lens: NodeLens, answer: str, foil: str, palette: Palette) -> go.Figure:
    """What a node writes towards the logits: the tokens it promotes and suppresses most, in logits."""
    up = list(zip(lens.promoted, lens.promoted_logit, strict=True))[:_TOKENS]
    down = list(zip(lens.suppressed, lens.suppressed_logit, strict=True))[:_TOKENS]
    figure = go.Figure()
    groups = (("promoted", up, 0, palette.shared), ("suppressed", down, len(up) + 0.6, palette.neutral))
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
                textfont={"color": palette.text, "size": 12},
                cliponaxis=False,
                customdata=[as_text(token) for token, _ in rows],
                hovertemplate="%{customdata}: %{x:+.3f} logits<extra>" + name + "</extra>",
            )
        )
    figure.update_yaxes(
        tickvals=ticks,
        ticktext=labels,
        tickfont={"color": palette.text, "size": 13},
        autorange="reversed",
        showgrid=False,
        zeroline=False,
        automargin=False,
    )
    low = min([value for _, value in down], default=0.0)
    high = max([value for _, value in up], default=0.0)
    room = 0.18 * (max(high, 0.0) - min(low, 0.0) or 1.0)  # for the numbers at the bars' ends
    reach = [min(low, 0.0) - room, max(high, 0.0) + room]
    figure.update_xaxes(title="logits", zeroline=True, zerolinecolor=palette.neutral, range=reach)
    figure.update_layout(**layout_of(80 + 22 * (len(ticks) + 2)), bargap=0.2)
    return figure.update_layout(margin_l=150)  # the same for both models, so that their bars stand alike


def residual_figure(layers: Sequence[LayerLens], model: str, palette: Palette) -> go.Figure:
    """How probable answer and foil are when the final norm and unembedding read the residual after each layer."""
    figure = go.Figure()
    x = [row.layer for row in layers]
    best = [", ".join(as_text(token) for token in row.tokens[:3]) for row in layers]
    series = (
        ("answer", [row.answer_probability for row in layers], palette.of(model), "solid", "circle"),
        ("foil", [row.foil_probability for row in layers], palette.neutral, "dot", "x"),
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
    return figure.update_layout(**layout_of(280))


def _marked(token: str, answer: str, foil: str) -> str:
    sign = {answer: " (answer)", foil: " (foil)"}.get(token, "")
    return f"<b>{as_text(token)}{sign}</b>" if sign else as_text(token)
