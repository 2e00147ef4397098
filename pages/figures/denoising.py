"""How an MDM fills in an answer: what it reveals when, how steps' circuits overlap, when the answer is readable.

Cells of every grid are numbered from 0: rows are steps (or layers, the last on top), columns answer positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from engine.runs.rows import StepAccuracy, TrajectoryStep
from pages.figures.heat import Grid, click_cells, frame, heat_figure, outlines, shades
from pages.figures.palette import NAME, Palette
from pages.figures.token_label import as_text

Columns = Mapping[str, NDArray[Any]]

Z95 = 1.959964  # standard normal quantile of a 95 % interval
HIDDEN_DEEPEST, REVEALED_DEEPEST = 0.22, 0.5  # of the colour at full confidence
ROOM, HALF_ROOM = 110, 40  # characters in a row of cells, over the page's width and half of it
BOXES = "revealed"
FLAT_LABELS_MOST = 8  # columns whose labels fit beside each other in a narrow window


@dataclass(frozen=True)
class LensAt:
    """What each layer would answer at one masked position: [n_layers + 1], the embedding first."""

    tokens: tuple[str, ...]  # the most probable one
    probability: NDArray[np.float32]  # its
    answer: NDArray[np.float32]  # the right answer's probability
    rank: NDArray[np.int32]  # the right answer's, 0 = top


@dataclass(frozen=True)
class Match:
    """The answer position that most examples reveal at a step."""

    index: int
    share: float  # of the examples that reveal something at that step


def wilson(correct: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share of successes (Wilson 1927): never outside 0 .. 1, never of no width."""
    share, z2 = correct / total, Z95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total) * float(np.sqrt(share * (1 - share) / total + z2 / (4 * total**2)))
    return max(0.0, middle - half), min(1.0, middle + half)


def jaccard_matrix(
    rows: Sequence[NDArray[np.int32]], columns: Sequence[NDArray[np.int32]], n_edges: int
) -> NDArray[np.float64]:
    """[row, column]: Jaccard index of every two sets of edges, each given by its edges' indices."""
    a, b = (_bits(sets, n_edges) for sets in (rows, columns))
    shared = np.array([[int(np.bitwise_count(x & y).sum()) for y in b] for x in a], dtype=np.float64)
    sizes = [np.array([len(edges) for edges in sets]) for sets in (rows, columns)]
    return np.asarray(shared / (sizes[0][:, None] + sizes[1][None, :] - shared))


def matching(reveals: Columns, step: int) -> Match | None:
    """Which answer position stands for a step: examples differ in their order, so the most frequent one."""
    at = reveals["step"] == step
    if not at.any():
        return None
    count = np.bincount(reveals["index"][at])
    index = int(count.argmax())
    return Match(index, float(count[index] / len(np.unique(reveals["example"][at]))))


def read_lens(found: Columns) -> dict[tuple[int, int], LensAt]:
    """(step, answer position) -> its lens, from the columns of `position_lens` for one example."""
    if not len(found["target"]):
        return {}
    start = int(found["target"].min())  # at step 0 every answer position is masked
    order = np.lexsort((found["layer"], found["target"], found["step"]))
    places = list(zip(found["step"][order].tolist(), (found["target"][order] - start).tolist(), strict=True))
    rows: dict[tuple[int, int], list[int]] = {}
    for place, row in zip(places, order.tolist(), strict=True):
        rows.setdefault(place, []).append(row)
    return {place: _lens_of(found, at) for place, at in rows.items()}


def readable_from(rank: NDArray[np.int32]) -> int | None:
    """The layer (0 = embedding) from which on the answer is the top token to the end; None when it never is."""
    wrong = np.flatnonzero(rank != 0)
    first = int(wrong[-1]) + 1 if len(wrong) else 0
    return first if first < len(rank) else None


def layer_name(layer: int) -> str:
    return "emb." if layer == 0 else str(layer - 1)


def final_tokens(steps: Sequence[TrajectoryStep]) -> list[str]:
    """What stands at every answer position in the end: the token of the step that revealed it."""
    last = list(steps[-1].tokens)
    for row in steps:
        for index, revealed in enumerate(row.revealed):
            if revealed:
                last[index] = row.tokens[index]
    return last


def walk_figure(steps: Sequence[TrajectoryStep], answer: Sequence[str], look: Palette) -> go.Figure:
    """A trajectory, step by step: what the MDM would say where, how sure it is, and what it reveals.

    Boxed and bold: revealed at this step. Italic and paler: still hidden. Plain: it stands already. The last row is
    the finished answer. `answer`: the right one, above the columns.
    """
    shape = (len(steps) + 1, len(answer))
    groups = {name: np.full(shape, np.nan) for name in ("standing", "hidden", BOXES)}
    text = [["" for _ in answer] for _ in range(shape[0])]
    hover = [["" for _ in answer] for _ in range(shape[0])]
    boxes = []
    for s, row in enumerate(steps):
        for t, token in enumerate(row.tokens):
            group = "standing" if row.visible[t] else BOXES if row.revealed[t] else "hidden"
            groups[group][s, t] = row.confidences[t]
            text[s][t] = _styled(_short(token, len(answer)), group)
            hover[s][t] = _told(row, t, group, answer[t])
            boxes += [(s, t)] if group == BOXES else []
    for t, token in enumerate(final_tokens(steps)):
        groups["standing"][-1, t] = 0.0
        text[-1][t] = f"<b>{_short(token, len(answer))}</b>"
        same = "as in the right answer" if token == answer[t] else f"the right answer has {as_text(answer[t])}"
        hover[-1][t] = f"<b>{as_text(token)}</b><br>position {t}, in the end<br>{same}"
    figure = go.Figure()
    deepest = {"standing": 0.0, "hidden": HIDDEN_DEEPEST, BOXES: REVEALED_DEEPEST}
    for name, values in groups.items():
        figure.add_trace(_cells(name, values, text, hover, shades(look.mdm, look, deepest[name]), look))
    figure.add_trace(outlines(boxes, look.text, "box", 2))
    labels = [f"{t}: {_short(token, len(answer))}" for t, token in enumerate(answer)]
    ends = "solved" if steps[-1].correct else "not solved"
    upright = len(labels) > FLAT_LABELS_MOST
    rows = [*(f"step {row.step}" for row in steps), f"<b>{ends}</b>"]
    figure.update_layout(frame(rows, labels, look, upright=upright))
    figure.update_xaxes(side="top")
    figure.add_hline(y=len(steps) - 0.5, line={"color": look.neutral, "width": 1.5})
    above = 80 if upright else 40
    return figure.update_layout(height=30 + above + 28 * shape[0], margin_t=above)


def overlap_figure(
    values: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], colour: str, look: Palette
) -> go.Figure:
    """Overlaps of parts' circuits, in percent on shades; `rows` and `columns` are the parts' names.

    The deepest shade is the largest overlap of two different parts, as those of a part with itself are 1.
    """
    different = np.array(rows)[:, None] != np.array(columns)[None, :]
    highest = float(values[different].max(initial=0.0))
    text = [[f"{100 * value:.0f}" for value in row] for row in values]
    hover = [
        [f"{row} and {column}: {value:.1%}" for column, value in zip(columns, line, strict=True)]
        for row, line in zip(rows, values.tolist(), strict=True)
    ]
    short = [name.partition("-")[2].lstrip("0") or "0" for name in columns]
    below = [name.partition("-")[2].lstrip("0") or "0" for name in rows]
    titles = (f"{columns[0].partition('-')[0]}", rows[0].partition("-")[0])
    grid = Grid(values, below, short, text, hover)
    return heat_figure(grid, colour, look, titles=titles, highest=highest, cell=27).update_traces(textfont_size=11)


def layers_figure(
    profiles: NDArray[np.float64], parts: Sequence[str], model: str, highest: float, look: Palette
) -> go.Figure:
    """Share of importance [part, layer] as layers (the last on top) by steps or sites."""
    by_layer = profiles.T[::-1]
    layers = [f"layer {layer}" for layer in reversed(range(profiles.shape[1]))]
    hover = [
        [f"{part}, {layer}: {value:.1%} of importance" for part, value in zip(parts, row, strict=True)]
        for layer, row in zip(layers, by_layer.tolist(), strict=True)
    ]
    text = [[f"{100 * value:.0f}" for value in row] for row in by_layer.tolist()]
    short = [part.partition("-")[2].lstrip("0") or "0" for part in parts]
    grid = Grid(by_layer, layers, short, text, hover)
    titles = (parts[0].partition("-")[0], "")
    return heat_figure(grid, look.of(model), look, titles=titles, highest=highest).update_traces(textfont_size=11)


def lens_figure(
    lenses: Mapping[int, LensAt], answer: Sequence[str], chosen: int, model: str, look: Palette
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
            text[row][t] = _short(lens.tokens[layer], len(answer), HALF_ROOM)
            rows.append(row)
            columns.append(t)
            names.append(str(t))
            hover.append(_lens_told(lens, layer, t, answer[t]))
    labels = [f"{t}: {_short(token, len(answer), HALF_ROOM)}" for t, token in enumerate(answer)]
    grid = Grid(values, [layer_name(layer) for layer in reversed(range(layers))], labels, text)
    figure = heat_figure(grid, look.of(model), look, titles=("", "after layer"), cell=30, upright=len(answer) > 6)
    figure.update_traces(textfont_size=11)
    figure.add_trace(click_cells(rows, columns, names, hover, 22))
    figure.add_trace(
        outlines([(row, chosen) for row in range(layers)] if chosen in lenses else [], look.text, "box", 2)
    )
    return figure.update_layout(clickmode="event+select", dragmode=False, hovermode="closest")


def position_figure(lenses: Mapping[str, LensAt], look: Palette) -> go.Figure:
    """The right answer's probability and rank over layers, in each model that has a lens at a position."""
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.09)
    styles = {"arm": ("dash", "circle"), "mdm": ("solid", "square")}
    layers = max(len(lens.tokens) for lens in lenses.values())
    for model, lens in lenses.items():
        dash, symbol = styles[model]
        for column, y in ((1, lens.answer), (2, lens.rank + 1)):
            figure.add_trace(
                go.Scatter(
                    x=list(range(len(lens.tokens))),
                    y=y,
                    mode="lines+markers",
                    name=NAME[model],
                    showlegend=column == 1,
                    line={"color": look.of(model), "dash": dash, "width": 2.5},
                    marker={"symbol": symbol, "size": 8},
                    customdata=[[as_text(token)] for token in lens.tokens],
                    hovertemplate="after layer %{x}: " + ("%{y:.3f}" if column == 1 else "rank %{y}")
                    + "<br>top: %{customdata[0]}<extra>" + NAME[model] + "</extra>",
                ),
                row=1,
                col=column,
            )  # fmt: skip
    ticks = list(range(layers))[:: max(1, layers // 12)]
    figure.update_xaxes(title="after layer", tickvals=ticks, ticktext=[layer_name(tick) for tick in ticks])
    figure.update_yaxes(title="probability of the answer", range=[-0.03, 1.05], row=1, col=1)
    figure.update_yaxes(title="its rank", type="log", autorange="reversed", dtick=1, row=1, col=2)
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    return figure.update_layout(height=300, margin={"l": 8, "r": 8, "t": 36, "b": 8}, legend=legend)


def readable_figure(
    mdm: Mapping[tuple[int, int], LensAt], arm: Mapping[int, LensAt], answer: Sequence[str], look: Palette
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
            told = "not the top token in the end" if first is None else f"top token from {_after(first)} on"
            hover[r][t] = f"{rows[r]}, position {t} ({as_text(answer[t])})<br>{told}"
    labels = [f"{t}: {_short(token, len(answer))}" for t, token in enumerate(answer)]
    figure = heat_figure(Grid(values, rows, labels, text, hover), look.shared, look)
    figure.update_xaxes(side="top")
    figure.add_hline(y=len(steps) - 0.5, line={"color": look.neutral, "width": 1.5})
    return figure.update_layout(margin_t=40)


def accuracy_figure(rows: Sequence[StepAccuracy], arm: tuple[int, int], look: Palette) -> go.Figure:
    """Problems solved against denoising steps, with 95 % intervals; the ARM's (correct, total) as a line and a band."""
    figure = go.Figure()
    share, (low, high) = arm[0] / arm[1], wilson(*arm)
    x = [row.steps for row in rows]
    reach = [min(x) - 0.5, max(x) + 0.5]
    figure.add_hrect(y0=low, y1=high, fillcolor=look.arm, opacity=0.13, line_width=0, layer="below")
    figure.add_trace(
        go.Scatter(
            x=reach, y=[share, share], mode="lines", name="ARM, one token at a time",
            line={"color": look.arm, "dash": "dash", "width": 2.5},
            hovertemplate=f"{share:.1%}, between {low:.1%} and {high:.1%}<extra>ARM</extra>",
        )
    )  # fmt: skip
    y = [row.correct / row.total for row in rows]
    ends = [wilson(row.correct, row.total) for row in rows]
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="lines+markers",
            name="MDM",
            line={"color": look.mdm, "width": 2.5},
            marker={"symbol": "square", "size": 9},
            error_y={
                "type": "data",
                "array": [end[1] - value for end, value in zip(ends, y, strict=True)],
                "arrayminus": [value - end[0] for end, value in zip(ends, y, strict=True)],
                "thickness": 1.5,
            },
            customdata=[[row.correct, row.total, *end] for row, end in zip(rows, ends, strict=True)],
            hovertemplate="%{x} steps: %{customdata[0]} of %{customdata[1]} solved, %{y:.1%}<br>"
            "between %{customdata[2]:.1%} and %{customdata[3]:.1%}<extra>MDM</extra>",
        )
    )
    figure.update_xaxes(title="denoising steps", tickvals=x, range=reach)
    figure.update_yaxes(title="problems solved", tickformat=".0%", range=[-0.03, 1.05])
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    return figure.update_layout(height=340, margin={"l": 8, "r": 8, "t": 40, "b": 8}, legend=legend)


def _bits(sets: Sequence[NDArray[np.int32]], n_edges: int) -> list[NDArray[np.uint8]]:
    packed = []
    for edges in sets:
        member = np.zeros(n_edges, dtype=bool)
        member[edges] = True
        packed.append(np.packbits(member))
    return packed


def _lens_of(found: Columns, at: Sequence[int]) -> LensAt:
    return LensAt(
        tuple(str(token) for token in found["token"][at]),
        np.asarray(found["probability"][at], np.float32),
        np.asarray(found["answer_probability"][at], np.float32),
        np.asarray(found["answer_rank"][at], np.int32),
    )


def _cells(
    name: str,
    values: NDArray[np.float64],
    text: Sequence[Sequence[str]],
    hover: Sequence[Sequence[str]],
    colours: list[list[Any]],
    look: Palette,
) -> go.Heatmap:
    """One of the kinds of cells of a trajectory; the other cells stay empty."""
    empty = np.isnan(values)
    return go.Heatmap(
        z=values,
        text=np.where(empty, "", np.array(text, dtype=object)),
        customdata=np.array(hover, dtype=object),
        texttemplate="%{text}",
        textfont={"color": look.text, "size": 12},
        hovertemplate="%{customdata}<extra></extra>",
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


def _told(row: TrajectoryStep, t: int, group: str, right: str) -> str:
    token, sure = as_text(row.tokens[t]), f"confidence {row.confidences[t]:.3f}"
    said = {
        "standing": f"stands since an earlier step, {sure} then",
        "hidden": f"still hidden; would be said with {sure}",
        BOXES: f"revealed at this step, {sure}",
    }[group]
    wrong = "" if row.tokens[t] == right else f"<br>the right answer has {as_text(right)}"
    return f"<b>{token}</b><br>step {row.step}, position {t}<br>{said}{wrong}"


def _lens_told(lens: LensAt, layer: int, t: int, right: str) -> str:
    return (
        f"position {t}, {_after(layer)}<br>answer {as_text(right)}: {lens.answer[layer]:.3f}, rank "
        f"{lens.rank[layer] + 1:,}<br>top token {as_text(lens.tokens[layer])}: {lens.probability[layer]:.3f}"
    )


def _after(layer: int) -> str:
    return "the embedding" if layer == 0 else f"layer {layer - 1}"


def _short(token: str, columns: int, room: int = ROOM) -> str:
    """A token for a cell, escaped, as long as a row of so many cells has room for."""
    most = max(2, room // max(1, columns))
    return as_text(token if len(token) <= most else token[: most - 1] + "…")
