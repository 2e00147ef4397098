"""One circuit as a graph whose nodes never move: x is the head or the MLP, y the layer.

1. `layout` places every node of an architecture, whatever is drawn.
2. `top_edges` takes the K strongest edges of a model and says which of them the other model has too.
3. `circuit_figure` draws those of them that filters keep (engine/circuits/filters.py): one path per class of edge and
   width, one trace of nodes that answers clicks. What a node looks like, and what is said of it, is of the whole
   circuit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from engine.circuits.graph import Graph
from engine.circuits.profiles import importance
from pages.figures.palette import DASH, NAME, SYMBOL, Palette
from pages.figures.unchecked import unchecked_figure

DRAWN_MOST = 1500  # edges; more are a grey felt that takes seconds to draw
NODE_TRACE = "nodes"

_WIDTHS = (0.9, 1.7, 3.0)  # pixels, for the weak, the middle and the strong edges drawn
_OPACITY = (0.6, 0.8, 0.95)
_FADED = 0.35  # of the opacity, for edges that don't touch the selected node
_STRONG = (0.15, 0.4)  # shares of the strongest |score| drawn where a wider line begins
_CLEARANCE = 0.3  # heads or layers, around a node
_SMALLEST, _LARGEST = (4.0, 7.0), (12.0, 26.0)  # node diameters in pixels, in a crowded and in a roomy graph
_ROW = (36, 66)  # pixels from layer to layer, likewise
_ROOM = 400, 1200  # pixels across and up that a graph takes where nothing else is said


Trace = dict[str, Any]  # a part of a figure, as Plotly names things


@dataclass(frozen=True)
class Layout:
    """Where every node stands: x, y are [n_nodes]; the unit is one head across and one layer up."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]


@dataclass(frozen=True)
class Edges:
    """Edges of one model, strongest first, and which of them are among the other model's top K as well."""

    edge: NDArray[np.int32]
    score: NDArray[np.float32]
    rank: NDArray[np.int32]
    shared: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.edge)

    def where(self, keep: NDArray[np.bool_]) -> Edges:
        return Edges(self.edge[keep], self.score[keep], self.rank[keep], self.shared[keep])


def layout(graph: Graph) -> Layout:
    """Heads side by side, the MLP half a layer above them at the right, `input` below, `logits` above."""
    middle = graph.n_heads / 2
    row_x = [*range(graph.n_heads), graph.n_heads + 0.5]
    x = [middle, *(row_x * graph.n_layers), middle]
    y = [-1.0]
    for layer in range(graph.n_layers):
        y += [float(layer)] * graph.n_heads + [layer + 0.5]
    return Layout(np.array(x, np.float32), np.array([*y, graph.n_layers + 0.25], np.float32))


def top_edges(edge: NDArray[np.int32], score: NDArray[np.float32], other: NDArray[np.int32]) -> Edges:
    """The K strongest edges of a model (edge, score) classified by the other model's K strongest."""
    return Edges(edge, score, np.arange(len(edge), dtype=np.int32), np.isin(edge, other))


def kind_name(kind: str) -> str:
    """What a reader, and an address, call a kind of engine.filters.KINDS."""
    return {"mlp": "MLP"}.get(kind, kind)


def node_kind(name: str) -> str:
    return name if name in ("input", "logits") else {"a": "head", "m": "mlp"}[name[0]]


def circuit_figure(
    graph: Graph,
    own: str,
    edges: Edges,
    in_other: NDArray[np.bool_],
    look: Palette,
    selected: str | None = None,
    keep: NDArray[np.bool_] | None = None,
) -> go.Figure:
    """The circuit of `own` ("arm" or "mdm"): its K strongest `edges`, of which `keep` says what filters leave to draw.

    `in_other`: [n_nodes], whether a node is in the other model's circuit. At most DRAWN_MOST edges are drawn, the
    strongest; colour, size and words of nodes and the width of lines are those of the whole circuit.
    """
    kept = edges if keep is None else edges.where(keep)
    place, drawn = layout(graph), kept.where(np.arange(len(kept)) < DRAWN_MOST)
    colours = {own: look.of(own), "shared": look.shared}
    traces = [
        *(_legend_entry(edges, drawn, group, own, colour) for group, colour in colours.items()),
        _hover_points(graph, place, drawn, own, look),
        _nodes(graph, place, edges, drawn, in_other, own, look),
        _ring(graph, place, selected, look),
    ]
    largest = float(np.abs(edges.score).max(initial=0.0))
    lines = [
        line
        for group, colour in colours.items()
        for line in _lines(graph, place, drawn, group, colour, selected, largest)
    ]
    frame = _frame(graph, own) | _label(graph, place, selected, look) | {"shapes": lines}
    return unchecked_figure(traces, frame)


def nodes_in(graph: Graph, edges: Edges) -> NDArray[np.bool_]:
    """[n_nodes]: whether a node has an edge among these."""
    present = np.zeros(graph.n_nodes, dtype=bool)
    present[graph.edge_source[edges.edge]] = True
    present[graph.destination_node[graph.edge_destination[edges.edge]]] = True
    return present


def curves(graph: Graph, place: Layout, edge: NDArray[np.int32]) -> NDArray[np.float32]:
    """[n_edges, 4, 2]: the points (x, y) of cubic Bezier curves that leave upwards and arrive from below.

    Queries, keys and values arrive a little left of, at, and right of the middle of their head.
    """
    source, destination = graph.edge_source[edge], graph.edge_destination[edge]
    kind, target = graph.destination_kind[destination], graph.destination_node[destination]
    x0, y0 = place.x[source], place.y[source]
    x1 = place.x[target] + np.where(kind < 3, 0.12 * (kind - 1.0), 0.0)
    y1 = place.y[target]
    rise = 0.2 + 0.35 * (y1 - y0)
    same_column = np.abs(x1 - x0) < 0.4
    bow = np.where(
        same_column, np.minimum(0.25 + 0.12 * (y1 - y0), 0.7), 0.0
    )  # else the line would run through the nodes between
    x, y = np.array([x0, x0 + bow, x1 + bow, x1]), np.array([y0, y0 + rise, y1 - rise, y1])
    return np.stack([x, y], axis=-1).swapaxes(0, 1).astype(np.float32)


def _legend_entry(edges: Edges, drawn: Edges, group: str, own: str, colour: str) -> Trace:
    """A class of edges with its number in the circuit, and how many of them are drawn if not all."""
    label = "shared" if group == "shared" else f"{NAME[own]} only"
    count, shown = (int((some.shared == (group == "shared")).sum()) for some in (edges, drawn))
    told = f"{count:,}" if shown == count else f"{shown:,} of {count:,}"
    line = {"color": colour, "width": _WIDTHS[2], "dash": DASH[group]}
    return {"type": "scatter", "x": [None], "y": [None], "mode": "lines", "line": line, "name": f"{label}: {told}"}


def _lines(
    graph: Graph, place: Layout, drawn: Edges, group: str, colour: str, selected: str | None, largest: float
) -> Iterator[Trace]:
    """Three shapes of a class's edges, one a width, and one of those at the selected node; their name is the class.

    Widths are by the share of `largest`, the circuit's largest |score|.

    A shape is one path, however many edges it holds: a browser takes seconds for thousands of separate lines.
    Always the same shapes, empty or not, so that the figure's structure does not change with K.
    """
    ours = drawn.shared == (group == "shared")
    near = _touching(graph, drawn.edge, selected)
    width = np.digitize(np.abs(drawn.score) / (largest or 1.0), _STRONG)
    fading = _FADED if near.any() else 1.0
    rows = [(ours & ~near & (width == level), _WIDTHS[level], fading * _OPACITY[level]) for level in range(3)]
    for chosen, pixels, opacity in [*rows, (ours & near, _WIDTHS[1] + 0.6, 1.0)]:
        yield {
            "type": "path",
            "path": _path(curves(graph, place, drawn.edge[chosen])),
            "line": {"color": colour, "width": pixels, "dash": DASH[group]},
            "opacity": opacity,
            "layer": "below",
            "name": group,
        }


def _path(points: NDArray[np.float32]) -> str:
    """Curves as one SVG path, in the axes' units; a point outside all where there is none."""
    rows = points.reshape(-1, 8).round(3).tolist()
    return "".join("M{:g},{:g}C{:g},{:g},{:g},{:g},{:g},{:g}".format(*row) for row in rows) or "M0,-9Z"


def _touching(graph: Graph, edge: NDArray[np.int32], selected: str | None) -> NDArray[np.bool_]:
    """[edge of `edge`]: whether it begins or ends at the selected node."""
    if selected not in graph.node_names:
        return np.zeros(len(edge), dtype=bool)
    node = graph.node_names.index(selected)
    return (graph.edge_source[edge] == node) | (graph.destination_node[graph.edge_destination[edge]] == node)


def _hover_points(graph: Graph, place: Layout, drawn: Edges, own: str, look: Palette) -> Trace:
    """An invisible line whose points lie halfway along the edges: those are shapes, which answer no hover.

    Edges whose middle lies on a node get none, as it would catch the clicks that are meant for the node.
    """
    x, y = (curves(graph, place, drawn.edge) * np.array([1, 3, 3, 1], np.float32)[:, None] / 8).sum(axis=1).T
    away = (x[:, None] - place.x) ** 2 + (y[:, None] - place.y) ** 2  # [edge, node]
    clear = away.min(axis=1, initial=9.0) > _CLEARANCE**2
    x, y, drawn = x[clear], y[clear], drawn.where(clear)
    names = [graph.edge_name(int(edge)).replace("<", "&lt;").replace(">", "&gt;") for edge in drawn.edge]
    groups = np.where(drawn.shared, "shared", f"{NAME[own]} only")
    text = [
        f"<b>{name}</b><br>{group}<br>rank {rank + 1:,} · score {score:+.4g}"
        for name, group, rank, score in zip(names, groups, drawn.rank, drawn.score, strict=True)
    ]
    return {
        "type": "scatter",
        "x": x,
        "y": y,
        "mode": "lines",
        "line": {"width": 0, "color": look.of(own)},
        "hovertemplate": "%{text}<extra></extra>",
        "text": np.array(text),
        "showlegend": False,
        "name": "edges",
    }


def _nodes(
    graph: Graph,
    place: Layout,
    edges: Edges,
    drawn: Edges,
    in_other: NDArray[np.bool_],
    own: str,
    look: Palette,
) -> Trace:
    weight = importance(graph, edges.edge, edges.score)
    share = weight / (weight.sum() or 1.0)
    present = nodes_in(graph, edges)
    largest = share.max(initial=0.0) or 1.0
    low, high = _diameters(graph)
    size = np.where(present, low + (high - low) * np.sqrt(share / largest), low)
    standing = np.where(present, np.where(in_other, 2, 1), 0)  # not in it, in this circuit alone, in both
    said = np.array(["not in it", f"in the {NAME[own]}'s alone", "in both circuits"])[standing]
    left = _edges_drawn(graph, edges, drawn)
    text = [
        f"<b>{name}</b><br>{place_}<br>{part:.1%} of importance{drawn_}"
        for name, place_, part, drawn_ in zip(graph.node_names, said, share.tolist(), left, strict=True)
    ]
    return {
        "type": "scatter",
        "x": place.x,
        "y": place.y,
        "mode": "markers",
        "marker": {
            "size": size,
            "symbol": np.array(_symbols(graph)),
            "opacity": 1,
            **_coloured(standing, (look.background, look.of(own), look.shared)),
            "line": {"width": 1, **_coloured(standing, (look.neutral, look.background, look.background))},
        },
        "selected": {"marker": {"opacity": 1}},
        "unselected": {"marker": {"opacity": 1}},
        "customdata": np.array(graph.node_names),
        "text": np.array(text),
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
        "name": NODE_TRACE,
    }


def _edges_drawn(graph: Graph, edges: Edges, drawn: Edges) -> list[str]:
    """[node]: how many of its edges are drawn; nothing where all of the circuit's are."""
    if len(drawn) == len(edges):
        return [""] * graph.n_nodes
    all_, shown = (
        np.bincount(np.concatenate(graph.endpoints(some.edge)), minlength=graph.n_nodes) for some in (edges, drawn)
    )
    return [f"<br>{n:,} of its {of:,} edges drawn" if of else "" for n, of in zip(shown, all_, strict=True)]


def _coloured(standing: NDArray[np.int_], colours: tuple[str, ...]) -> Trace:
    """Colours by number and a scale in steps: thousands of colour names take Plotly long to check."""
    edges = np.repeat(np.arange(len(colours) + 1) / len(colours), 2)[1:-1].tolist()
    scale = list(zip(edges, np.repeat(colours, 2).tolist(), strict=True))
    return {"color": standing, "colorscale": scale, "cmin": -0.5, "cmax": len(colours) - 0.5}


def _diameters(graph: Graph) -> tuple[float, float]:
    """The smallest and the largest node, so that those of many heads don't hide each other."""
    high = _between(_ROOM[0] / (graph.n_heads + 1), _LARGEST)
    return _between(high / 3, _SMALLEST), high


def _between(value: float, ends: tuple[float, float]) -> float:
    return min(max(value, ends[0]), ends[1])


def _symbols(graph: Graph) -> list[str]:
    return [SYMBOL[node_kind(name)] for name in graph.node_names]


def _ring(graph: Graph, place: Layout, selected: str | None, look: Palette) -> Trace:
    index = [graph.node_names.index(selected)] if selected in graph.node_names else []
    return {
        "type": "scatter",
        "x": place.x[index],
        "y": place.y[index],
        "mode": "markers",
        "marker": {
            "size": _diameters(graph)[1] + 8,
            "symbol": "circle-open",
            "color": look.text,
            "line": {"width": 2.5},
        },
        "selected": {"marker": {"opacity": 1}},
        "unselected": {"marker": {"opacity": 1}},
        "hoverinfo": "skip",
        "showlegend": False,
        "name": "selected",
    }


def _label(graph: Graph, place: Layout, selected: str | None, look: Palette) -> Trace:
    """The selected node's name above it, as a part of the layout; nothing where none is selected."""
    if selected not in graph.node_names:
        return {}
    node = graph.node_names.index(selected)
    name = {
        "x": float(place.x[node]),
        "y": float(place.y[node]),
        "yshift": 28,
        "text": selected,
        "showarrow": False,
        "bgcolor": look.background,
        "opacity": 0.9,
        "font": {"color": look.text, "size": 13},
    }
    return {"annotations": [name]}


def _frame(graph: Graph, own: str) -> Trace:
    layers, heads = range(graph.n_layers), range(graph.n_heads)
    every = max(1, graph.n_heads // 16)
    return {
        "xaxis": {
            "range": [-0.6, graph.n_heads + 1.15],
            "tickvals": [*heads[::every], graph.n_heads + 0.5],
            "ticktext": [*(f"h{head}" for head in heads[::every]), "MLP"],
            "showgrid": False,
            "zeroline": False,
            "side": "bottom",
        },
        "yaxis": {
            "range": [-1.5, graph.n_layers + 0.75],
            "tickvals": [-1, *layers, graph.n_layers + 0.25],
            "ticktext": ["input", *(f"layer {layer}" for layer in layers), "logits"],
            "showgrid": False,
            "zeroline": False,
        },
        "height": max(500, _between(_ROOM[1] / (graph.n_layers + 2), _ROW) * (graph.n_layers + 2)),
        "margin": {"l": 60, "r": 8, "t": 36, "b": 36, "autoexpand": False},  # else Plotly draws everything twice
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.0,
            "yanchor": "bottom",
            "itemclick": False,
            "itemdoubleclick": False,
        },
        "hovermode": "closest",
        "hoverdistance": 12,
        "dragmode": "pan",
        "clickmode": "event+select",
        "uirevision": f"{own} {graph.n_layers}x{graph.n_heads}",
    }
