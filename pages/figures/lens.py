"""The logit lens: what a node promotes and suppresses as a table with bars (HTML), answer and foil after each layer.

The table is HTML and no chart, since it is what a click on a node asks for: a browser shows it at once.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import plotly.graph_objects as go

from engine.models.token_text import visible
from engine.runs.rows import LayerLens, NodeLens
from pages.figures.layout import layout_of
from pages.figures.palette import Palette
from pages.figures.token_label import as_text

TOKENS = 6  # rows on either side of a lens
LABELS = 14  # of layers, that fit below a narrow chart


@dataclass(frozen=True)
class ModelLens:
    """What a node of one model writes; `model` is "arm" or "mdm", `title` what it is called."""

    model: str
    title: str
    lens: NodeLens

    def groups(self, answer: str, foil: str) -> dict[str, list[tuple[str, float]]]:
        """Tokens with their logits, by what they are: the two that are compared, and the strongest either way."""
        lens = self.lens
        return {
            "right token and foil": [(answer, lens.answer_logit), (foil, lens.foil_logit)],
            "promotes most": list(zip(lens.promoted, lens.promoted_logit, strict=True))[:TOKENS],
            "suppresses most": list(zip(lens.suppressed, lens.suppressed_logit, strict=True))[:TOKENS],
        }


def component_lens(sides: Sequence[ModelLens], answer: str, foil: str, palette: Palette) -> str:
    """What a node adds to the logits of answer and foil and of its strongest tokens, model beside model (HTML).

    The bars of all models have one scale. Texts are escaped.
    """
    groups = {side.model: side.groups(answer, foil) for side in sides}
    values = [value for of_model in groups.values() for rows in of_model.values() for _, value in rows]
    marks = {foil: "foil", answer: "answer"}
    rows = _Rows(marks, max(map(abs, values), default=0.0) or 1.0, palette)
    tables = "".join(rows.table(side, groups[side.model]) for side in sides)
    return f'<div style="display:grid;grid-template-columns:1fr 1fr;gap:16px">{tables}</div>'


@dataclass(frozen=True)
class _Rows:
    """How tables of tokens are drawn: what is said of some tokens, and the value of the longest bar."""

    marks: Mapping[str, str]
    largest: float
    palette: Palette

    def table(self, side: ModelLens, groups: Mapping[str, Sequence[tuple[str, float]]]) -> str:
        bodies = "".join(self.group(name, rows) for name, rows in groups.items())
        style = f"text-align:left;font-weight:600;color:{self.palette.of(side.model)}"
        caption = f'<caption style="{style}">{html.escape(side.title)}</caption>'
        return f'<table class="component-lens" data-model="{side.model}" style="{_TABLE}">{caption}{bodies}</table>'

    def group(self, name: str, rows: Sequence[tuple[str, float]]) -> str:
        style = f"{_HEAD};color:{self.palette.neutral}"
        head = f'<tr><th scope="rowgroup" colspan="2" style="{style}">{name}</th></tr>'
        return f"<tbody>{head}{''.join(self.row(token, value) for token, value in rows)}</tbody>"

    def row(self, token: str, value: float) -> str:
        mark = self.marks.get(token, "")
        note = f' <span style="font-size:0.7rem">({mark})</span>' if mark else ""
        width, colour = 100 * abs(value) / self.largest, self.palette.shared if value > 0 else self.palette.neutral
        bar = f'<div style="width:{width:.1f}%;height:9px;background:{colour}"></div>'
        cells = f'<div aria-hidden="true" style="flex:1;min-width:0">{bar}</div><span>{value:+.2f}</span>'
        return (
            f'<tr><th scope="row" style="{_ROW};font-weight:{700 if mark else 400}">{as_text(token)}{note}</th>'
            f'<td style="{_VALUE}"><div style="display:flex;align-items:center;gap:4px">{cells}</div></td></tr>'
        )


_TABLE = "width:100%;table-layout:fixed;border-collapse:collapse;font-size:0.8rem;line-height:1.35"
_HEAD = "text-align:left;font-weight:400;font-size:0.75rem;padding:4px 0 0"
_ROW = "text-align:left;padding:1px 6px 1px 0;overflow-wrap:anywhere"
_VALUE = "width:52%;padding:1px 0;font-variant-numeric:tabular-nums"


def residual_figure(layers: Mapping[str, Sequence[LayerLens]], names: Mapping[str, str], palette: Palette) -> go.Figure:
    """How probable answer and foil are when the final norm and unembedding read the residual after each layer.

    `layers` and `names`, what a model is called, are by model: "arm" and "mdm".
    """
    traces = []
    for model, rows in layers.items():
        best = [", ".join(as_text(token) for token in row.tokens[:3]) for row in rows]
        series = (
            ("answer", [row.answer_probability for row in rows], "solid", "circle"),
            ("foil", [row.foil_probability for row in rows], "dot", "x"),
        )
        traces += [
            {
                "type": "scatter",
                "x": [row.layer for row in rows],
                "y": y,
                "mode": "lines+markers",
                "name": f"{names[model]} {token}",
                "line": {"color": palette.of(model), "dash": dash, "width": 2},
                "marker": {"symbol": symbol, "size": 6},
                "customdata": best,
                "hovertemplate": "%{y:.3f}<br>top: %{customdata}<extra>%{fullData.name}</extra>",
            }
            for token, y, dash, symbol in series
        ]
    x = [row.layer for row in next(iter(layers.values()))]
    shown = x[:: ceil(len(x) / LABELS)]
    layout = layout_of(240) | {
        "xaxis": {
            "title": {"text": "after layer"},
            "tickvals": shown,
            "ticktext": [layer_name(at) for at in shown],
            "tickangle": 0,
        },
        "yaxis": {"title": {"text": "probability"}, "range": [-0.03, 1.05]},
    }
    return go.Figure(data=traces, layout=layout)


def layer_name(after: int) -> str:
    """What the residual after `after` layers is called: 0 is the embedding, 1 is after layer 0."""
    return "emb." if after == 0 else str(after - 1)


def top_tokens(row: LayerLens, most: int = 3) -> str:
    """The tokens that the residual points to after a layer, as plain text."""
    return "  ".join(visible(token) for token in row.tokens[:most])
