"""Draw the logit lens at answer positions: which layer predicts the right token, and from which layer on.

Cells are numbered from 0: rows are steps (or layers, the last on top), columns answer positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.runs.answer_lens import AnswerLens, readable_from
from pages.figures.heat import Grid, click_cells, heat_figure, outlines
from pages.figures.palette import NAME, Palette
from pages.figures.token_label import as_text
from pages.figures.trajectory import short_token

HALF_ROOM = 40  # characters in a row of cells, over half of the page's width


def layer_name(layer: int) -> str:
    """What stands for a layer on an axis: "emb." for 0, the embedding, else the number of the last block."""
    return "emb." if layer == 0 else str(layer - 1)


def lens_figure(
    lenses: Mapping[int, AnswerLens], answer: Sequence[str], chosen: int, model: str, palette: Palette
) -> go.Figure:
    """Layers (the last on top) by answer positions: the right token's probability, and the top token as text.

    `lenses`: by position; positions without one are visible already and stay empty. A click on a cell chooses it.
    """
    layers = len(next(iter(lenses.values())).tokens) if lenses else 1
    values = np.full((layers, len(answer)), np.nan)
    text = [["" for _ in answer] for _ in range(layers)]
    rows, columns, names, hover = [], [], [], []
    for t, lens in sorted(lenses.items()):
        for layer in range(layers):
            row = layers - 1 - layer
            values[row, t] = lens.answer[layer]
            text[row][t] = short_token(lens.tokens[layer], len(answer), HALF_ROOM)
            rows.append(row)
            columns.append(t)
            names.append(str(t))
            hover.append(_lens_hover(lens, layer, t, answer[t]))
    labels = [f"{t}: {short_token(token, len(answer), HALF_ROOM)}" for t, token in enumerate(answer)]
    grid = Grid(values, [layer_name(layer) for layer in reversed(range(layers))], labels, text)
    figure = heat_figure(grid, palette.of(model), palette, titles=("", "after layer"), cell=30, upright=len(answer) > 6)
    figure.update_traces(textfont_size=11)
    figure.add_trace(click_cells(rows, columns, names, hover, 22))
    figure.add_trace(
        outlines([(row, chosen) for row in range(layers)] if chosen in lenses else [], palette.text, "box", 2)
    )
    return figure.update_layout(clickmode="event+select", dragmode=False, hovermode="closest")


def position_figure(lenses: Mapping[str, AnswerLens], palette: Palette) -> go.Figure:
    """The right answer's probability and rank over layers, in each model that has a lens at a position."""
    figure = make_subplots(rows=2, cols=1, vertical_spacing=0.08, shared_xaxes=True)
    styles = {"arm": ("dash", "circle"), "mdm": ("solid", "square")}
    layers = max(len(lens.tokens) for lens in lenses.values())
    for model, lens in lenses.items():
        dash, symbol = styles[model]
        for row, y in ((1, lens.answer), (2, lens.rank + 1)):
            figure.add_trace(
                go.Scatter(
                    x=list(range(len(lens.tokens))),
                    y=y,
                    mode="lines+markers",
                    name=NAME[model],
                    showlegend=row == 1,
                    line={"color": palette.of(model), "dash": dash, "width": 2.5},
                    marker={"symbol": symbol, "size": 8},
                    customdata=[[as_text(token)] for token in lens.tokens],
                    hovertemplate="after layer %{x}: " + ("%{y:.3f}" if row == 1 else "rank %{y}")
                    + "<br>top: %{customdata[0]}<extra>" + NAME[model] + "</extra>",
                ),
                row=row,
                col=1,
            )  # fmt: skip
    ticks = list(range(layers))[:: max(1, layers // 12)]
    figure.update_xaxes(tickvals=ticks, ticktext=[layer_name(tick) for tick in ticks])
    figure.update_xaxes(title="after layer", row=2, col=1)
    figure.update_yaxes(title="probability of the answer", range=[-0.03, 1.05], row=1, col=1)
    figure.update_yaxes(title="its rank", type="log", autorange="reversed", dtick=1, row=2, col=1)
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    return figure.update_layout(height=330, margin={"l": 8, "r": 8, "t": 36, "b": 8}, legend=legend)


def readable_figure(
    mdm: Mapping[tuple[int, int], AnswerLens], arm: Mapping[int, AnswerLens], answer: Sequence[str], palette: Palette
) -> go.Figure:
    """Steps by positions, the ARM below: the layer from which on the right answer is the top token."""
    steps = sorted({step for step, _ in mdm})
    lines = [{t: lens for (s, t), lens in mdm.items() if s == step} for step in steps]
    rows = [*(f"step {step}" for step in steps), "ARM"]
    values = np.full((len(rows), len(answer)), np.nan)
    text = [["" for _ in answer] for _ in rows]
    hover = [["" for _ in answer] for _ in rows]
    for r, line in enumerate([*lines, arm]):
        for t, lens in line.items():
            first, last = readable_from(lens.rank), len(lens.rank) - 1
            values[r, t] = 0.0 if first is None else 1 - first / (last + 1)
            text[r][t] = "never" if first is None else layer_name(first)
            readable = "not the top token in the end" if first is None else f"top token from {place_name(first)} on"
            hover[r][t] = f"{rows[r]}, position {t} ({as_text(answer[t])})<br>{readable}"
    labels = [f"{t}: {short_token(token, len(answer))}" for t, token in enumerate(answer)]
    figure = heat_figure(Grid(values, rows, labels, text, hover), palette.shared, palette)
    figure.update_xaxes(side="top")
    figure.add_hline(y=len(steps) - 0.5, line={"color": palette.neutral, "width": 1.5})
    return figure.update_layout(margin_t=40)


def _lens_hover(lens: AnswerLens, layer: int, t: int, right: str) -> str:
    return (
        f"position {t}, {place_name(layer)}<br>answer {as_text(right)}: {lens.answer[layer]:.3f}, rank "
        f"{lens.rank[layer] + 1:,}<br>top token {as_text(lens.tokens[layer])}: {lens.probability[layer]:.3f}"
    )


def place_name(layer: int) -> str:
    """Layer 0 .. n_layers of a lens in words."""
    return "the embedding" if layer == 0 else f"layer {layer - 1}"
