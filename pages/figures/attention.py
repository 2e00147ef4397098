"""Draw what a head attends to: its pattern on one input, by role, and the scores by which heads are recognised."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from engine.runs.rows import Head, KeptInput, RoleAttention
from pages.figures.heat import Grid, blend, heat_figure
from pages.figures.palette import NAME, Palette
from pages.figures.token_label import as_text

TALLEST = 660  # pixels of a pattern's rows together
CLEAR = 0.5  # a score above it names a head
HOVER_MOST = 64  # tokens; of longer inputs a cell's hover text tells positions instead of tokens
SCORES = {  # field of Head -> what it is called, and what it says
    "previous_token": ("previous token", "attention to the token just before"),
    "duplicate_token": ("duplicate token", "attention to other copies of the same token, in the ARM to earlier ones"),
    "induction": ("induction", "attention to the tokens that follow other copies of the same token"),
    "copying": (
        "copying",
        "from the weights: does attending to a token raise that token's logit (1) or lower it (-1)?",
    ),
}
TITLES = ("key token", "query token")  # of the columns and of the rows
KINDS = {"previous_token": "a previous-token head", "duplicate_token": "a duplicate-token head",
         "induction": "an induction head"}  # fmt: skip


def pattern_figure(
    kept: KeptInput, pattern: NDArray[np.floating], model: str, highest: float, palette: Palette
) -> go.Figure:
    """Attention [query, key] of a head on a kept input; `highest` is the largest weight of both models' patterns.

    Lines mark where the answer begins.
    """
    labels = [as_text(token) for token in kept.tokens]
    grid = Grid(pattern, labels, labels, hover=_hover_weights(labels, pattern))
    titles = TITLES
    cell = max(2, min(15, TALLEST // len(labels)))
    drawn = heat_figure(grid, palette.of(model), palette, titles=titles, highest=highest, cell=cell, upright=True)
    drawn.update_traces(xgap=0, ygap=0, colorscale=[[0.0, palette.background], [1.0, palette.of(model)]])
    line = {"color": palette.neutral, "width": 1, "dash": "dot"}
    if 0 < kept.start < len(labels):
        drawn.add_vline(x=kept.start - 0.5, line=line)
        drawn.add_hline(y=kept.start - 0.5, line=line)
    return drawn


def role_figure(rows: Sequence[RoleAttention], roles: Sequence[str], model: str, palette: Palette) -> go.Figure:
    """Mean attention of tokens of a role (rows) to all tokens of another (columns); a row sums to 1."""
    values = np.full((len(roles), len(roles)), np.nan)
    hover = [["" for _ in roles] for _ in roles]
    for row in rows:
        at = roles.index(row.query), roles.index(row.key)
        values[at] = row.weight
        weight = f"{html.escape(row.query)} attends to {html.escape(row.key)}: {row.weight:.3f}"
        hover[at[0]][at[1]] = f"{weight}<br>mean of {row.queries:,} queries"
    text = [["" if np.isnan(value) else f"{value:.2f}".lstrip("0") for value in line] for line in values]
    labels = [html.escape(role) for role in roles]
    grid = Grid(values, labels, labels, text, hover)
    return heat_figure(grid, palette.of(model), palette, titles=TITLES, cell=27, upright=True)


def score_figure(heads: Mapping[str, Sequence[Head]], node: int, palette: Palette) -> go.Figure:
    """The scores of one head in both models, over a tick for every head of that model."""
    figure = go.Figure()
    sides = (("arm", -0.17, "circle"), ("mdm", 0.17, "square"))
    for model, shift, _ in sides:
        x = np.array([getattr(head, field) for field in SCORES for head in heads[model]], dtype=float)  # None: no mark
        y = np.repeat(np.arange(len(SCORES)) + shift, len(heads[model]))
        mark = {"symbol": "line-ns-open", "size": 11, "color": blend(palette.background, palette.of(model), 0.45)}
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="markers", marker=mark, hoverinfo="skip", name=f"{NAME[model]}, every head")
        )
    for model, shift, symbol in sides:
        own = next(head for head in heads[model] if head.node == node)
        scores = [getattr(own, field) for field in SCORES]
        figure.add_trace(
            go.Scatter(
                x=scores,
                y=[row + shift for row in range(len(SCORES))],
                mode="markers",
                marker={"symbol": symbol, "size": 13, "color": palette.of(model),
                        "line": {"color": palette.background, "width": 1.5}},
                customdata=[_rank_of(own, field, heads[model]) for field in SCORES],
                hovertemplate="%{x:.3f}, %{customdata}<extra>" + f"{NAME[model]}, this head</extra>",
                name=f"{NAME[model]}, this head",
            )
        )  # fmt: skip
    figure.update_xaxes(title="score", zeroline=True, zerolinecolor=palette.neutral, fixedrange=True)
    figure.update_yaxes(
        tickvals=list(range(len(SCORES))), ticktext=[name for name, _ in SCORES.values()], showgrid=False,
        zeroline=False, range=[len(SCORES) - 0.5, -0.5], tickfont={"color": palette.text, "size": 13}, fixedrange=True,
    )  # fmt: skip
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    return figure.update_layout(height=300, margin={"l": 8, "r": 8, "t": 60, "b": 8}, legend=legend)


def verdict(head: Head) -> str | None:
    """What a head is called when its scores are clear about it: above CLEAR, and the largest by which it attends."""
    largest = max(KINDS, key=lambda field: getattr(head, field))
    return KINDS[largest] if getattr(head, largest) > CLEAR else None


def _rank_of(own: Head, field: str, heads: Sequence[Head]) -> str:
    known = [value for head in heads if (value := getattr(head, field)) is not None]
    if getattr(own, field) is None:
        return "no such score"
    above = sum(value > getattr(own, field) for value in known)
    return f"rank {above + 1} of {len(known)} heads"


def _hover_weights(labels: Sequence[str], pattern: NDArray[np.floating]) -> list[list[str]]:
    named = len(labels) <= HOVER_MOST
    at = [f"{label} ({i})" if named else f"token {i}" for i, label in enumerate(labels)]
    return [
        [f"{at[q]} attends to {at[k]}: {weight:.2f}" for k, weight in enumerate(row)]
        for q, row in enumerate(pattern.tolist())
    ]
