"""Draw a trajectory: which answer tokens an MDM reveals at which denoising step, and how confident it is.

Cells are numbered from 0: rows are steps, columns answer positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from engine.runs.revealed_tokens import final_tokens, state_of
from engine.runs.rows import TrajectoryStep
from pages.figures.heat import click_cells, frame, outlines, shades
from pages.figures.palette import Palette
from pages.figures.token_label import as_text

HIDDEN_DEEPEST, REVEALED_DEEPEST = 0.22, 0.5  # of the colour at full confidence
ROOM = 110  # characters in a row of cells, over the page's width
BOXES = "revealed"
CELL = 24  # pixels a row
FLAT_LABELS_MOST = 8  # columns whose labels fit beside each other in a narrow window


def trajectory_figure(
    steps: Sequence[TrajectoryStep], answer: Sequence[str], palette: Palette, chosen: int | None = None
) -> go.Figure:
    """A trajectory: the MDM's most probable token at every step and position, its confidence, what it reveals.

    Boxed and bold: revealed at this step. Italic and paler: still hidden. Plain: visible already. The last row is
    the finished answer. `answer`: the right one, above the columns. `chosen`: the position whose column is marked; a
    click on a cell chooses its own.
    """
    shape = (len(steps) + 1, len(answer))
    groups = {name: np.full(shape, np.nan) for name in ("visible", "hidden", BOXES)}
    text = [["" for _ in answer] for _ in range(shape[0])]
    hover = [["" for _ in answer] for _ in range(shape[0])]
    boxes = []
    for s, row in enumerate(steps):
        for t, token in enumerate(row.tokens):
            group = state_of(row, t)
            groups[group][s, t] = row.confidences[t]
            text[s][t] = _styled(short_token(token, len(answer)), group)
            hover[s][t] = _hover(row, t, group, answer[t])
            boxes += [(s, t)] if group == BOXES else []
    for t, token in enumerate(final_tokens(steps)):
        groups["visible"][-1, t] = 0.0
        text[-1][t] = f"<b>{short_token(token, len(answer))}</b>"
        same = "as in the right answer" if token == answer[t] else f"the right answer has {as_text(answer[t])}"
        hover[-1][t] = f"<b>{as_text(token)}</b><br>position {t}, in the end<br>{same}"
    figure = go.Figure()
    deepest = {"visible": 0.0, "hidden": HIDDEN_DEEPEST, BOXES: REVEALED_DEEPEST}
    for name, values in groups.items():
        figure.add_trace(_cells(name, values, text, hover, shades(palette.mdm, palette, deepest[name]), palette))
    figure.add_trace(outlines(boxes, palette.text, "box", 2))
    cells = [(s, t) for s in range(shape[0]) for t in range(shape[1])]
    names, texts = [str(t) for _, t in cells], [hover[s][t] for s, t in cells]
    figure.add_trace(click_cells([s for s, _ in cells], [t for _, t in cells], names, texts, CELL - 4))
    if chosen is not None:
        column = {"x0": chosen - 0.5, "x1": chosen + 0.5, "y0": -0.5, "y1": shape[0] - 0.5}
        figure.add_shape(**column, line={"color": palette.neutral, "width": 2, "dash": "dot"}, name="chosen")
    labels = [f"{t}: {short_token(token, len(answer))}" for t, token in enumerate(answer)]
    ends = "solved" if steps[-1].correct else "not solved"
    upright = len(labels) > FLAT_LABELS_MOST
    rows = [*(f"step {row.step}" for row in steps), f"<b>{ends}</b>"]
    figure.update_layout(frame(rows, labels, palette, upright=upright))
    figure.update_xaxes(side="top")
    figure.add_hline(y=len(steps) - 0.5, line={"color": palette.neutral, "width": 1.5})
    above = 80 if upright else 40
    figure.update_layout(clickmode="event+select", dragmode=False, hovermode="closest")
    return figure.update_layout(height=30 + above + CELL * shape[0], margin_t=above)


def _cells(
    name: str,
    values: NDArray[np.float64],
    text: Sequence[Sequence[str]],
    hover: Sequence[Sequence[str]],
    colours: list[list[Any]],
    palette: Palette,
) -> go.Heatmap:
    """One of the kinds of cells of a trajectory; the other cells stay empty."""
    empty = np.isnan(values)
    return go.Heatmap(
        z=values,
        text=np.where(empty, "", np.array(text, dtype=object)),
        customdata=np.array(hover, dtype=object),
        texttemplate="%{text}",
        textfont={"color": palette.text, "size": 12},
        hoverinfo="skip",
        hoverongaps=False,
        colorscale=colours,
        zmin=0,
        zmax=1,
        xgap=2,
        ygap=2,
        showscale=name == BOXES,
        colorbar={"title": {"text": "confidence", "side": "right"}, "thickness": 12, "outlinewidth": 0},
        name=name,
    )


def _styled(text: str, group: str) -> str:
    return {"hidden": f"<i>{text}</i>", BOXES: f"<b>{text}</b>"}.get(group, text)


def _hover(row: TrajectoryStep, t: int, group: str, right: str) -> str:
    token, confidence = as_text(row.tokens[t]), f"confidence {row.confidences[t]:.3f}"
    state = {
        "visible": f"revealed at an earlier step, {confidence} then",
        "hidden": f"still hidden; the prediction has {confidence}",
        BOXES: f"revealed at this step, {confidence}",
    }[group]
    wrong = "" if row.tokens[t] == right else f"<br>the right answer has {as_text(right)}"
    return f"<b>{token}</b><br>step {row.step}, position {t}<br>{state}{wrong}"


def short_token(token: str, columns: int, room: int = ROOM) -> str:
    """A token for a cell, escaped, as long as a row of so many cells has room for."""
    most = max(2, room // max(1, columns))
    return as_text(token if len(token) <= most else token[: most - 1] + "…")
