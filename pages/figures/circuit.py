"""One circuit as a graph whose nodes never move: x is the head or the MLP, y the layer.

1. `layout` places every node of an architecture, whatever is drawn.
2. `circuit_figure` draws the edges that filters keep (engine/circuits/filters.py) of a model's K strongest, classified
   by the other model's (engine/circuits/shared_edges.py): one path per class of edge and width, one trace of nodes
   that answers clicks. Colour, size and words of a node are of the whole circuit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from engine.circuits.graph import Graph
from engine.circuits.shared_edges import ClassifiedEdges, edges_at_nodes, importance_shares, nodes_of, touches
from pages.figures.circuit_layout import Layout, curves, layout, svg_path
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


def node_kind(name: str) -> str:
    return name if name in ("input", "logits") else {"a": "head", "m": "mlp"}[name[0]]


def circuit_figure(
    graph: Graph,
    own: str,
    edges: ClassifiedEdges,
    in_other: NDArray[np.bool_],
    palette: Palette,
    selected: str | None = None,
    keep: NDArray[np.bool_] | None = None,
    name: str = "",
) -> go.Figure:
    """The circuit of `own` ("arm" or "mdm"): its K strongest `edges`, of which `keep` says what filters leave to draw.

    `name`: what legend and hover call the model, where it is not the one that `own` says.
    `in_other`: [n_nodes], whether a node is in the other model's circuit. At most DRAWN_MOST edges are drawn, the
    strongest; colour, size and words of nodes and the width of lines are those of the whole circuit.
    """
    name = name or NAME[own]
    kept = edges if keep is None else edges.where(keep)
    place, drawn = layout(graph), kept.where(np.arange(len(kept)) < DRAWN_MOST)
    colours = {own: palette.of(own), "shared": palette.shared}
    traces = [
        *(_legend_entry(edges, drawn, group, name, colour) for group, colour in colours.items()),
        _hover_points(graph, place, drawn, own, name, palette),
        _nodes(graph, place, edges, drawn, in_other, own, name, palette),
        _ring(graph, place, selected, palette),
    ]
    largest = float(np.abs(edges.score).max(initial=0.0))
    lines = [
        line
        for group, colour in colours.items()
        for line in _lines(graph, place, drawn, group, colour, selected, largest)
    ]
    frame = _frame(graph, own) | _label(graph, place, selected, palette) | {"shapes": lines}
    return unchecked_figure(traces, frame)


def _legend_entry(edges: ClassifiedEdges, drawn: ClassifiedEdges, group: str, name: str, colour: str) -> Trace:
    """A class of edges with its number in the circuit, and how many of them are drawn if not all."""
    label = "shared" if group == "shared" else f"{name} only"
    count, shown = (int((some.shared == (group == "shared")).sum()) for some in (edges, drawn))
    number = f"{count:,}" if shown == count else f"{shown:,} of {count:,}"
    line = {"color": colour, "width": _WIDTHS[2], "dash": DASH[group]}
    return {"type": "scatter", "x": [None], "y": [None], "mode": "lines", "line": line, "name": f"{label}: {number}"}


def _lines(
    graph: Graph, place: Layout, drawn: ClassifiedEdges, group: str, colour: str, selected: str | None, largest: float
) -> Iterator[Trace]:
    """Three shapes of a class's edges, one a width, and one of those at the selected node; their name is the class.

    Widths are by the share of `largest`, the circuit's largest |score|.

    A shape is one path, however many edges it holds: a browser takes seconds for thousands of separate lines.
    Always the same shapes, empty or not, so that the figure's structure does not change with K.
    """
    ours = drawn.shared == (group == "shared")
    near = np.zeros(len(drawn), dtype=bool)
    if selected in graph.node_names:
        near = touches(graph, drawn.edge, graph.node_names.index(selected))
    width = np.digitize(np.abs(drawn.score) / (largest or 1.0), _STRONG)
    fading = _FADED if near.any() else 1.0
    rows = [(ours & ~near & (width == level), _WIDTHS[level], fading * _OPACITY[level]) for level in range(3)]
    for chosen, pixels, opacity in [*rows, (ours & near, _WIDTHS[1] + 0.6, 1.0)]:
        yield {
            "type": "path",
            "path": svg_path(curves(graph, place, drawn.edge[chosen])),
            "line": {"color": colour, "width": pixels, "dash": DASH[group]},
            "opacity": opacity,
            "layer": "below",
            "name": group,
        }


def _hover_points(graph: Graph, place: Layout, drawn: ClassifiedEdges, own: str, name: str, palette: Palette) -> Trace:
    """An invisible line whose points lie halfway along the edges: those are shapes, which answer no hover.

    ClassifiedEdges whose middle lies on a node get none, as it would catch the clicks that are meant for the node.
    """
    x, y = (curves(graph, place, drawn.edge) * np.array([1, 3, 3, 1], np.float32)[:, None] / 8).sum(axis=1).T
    away = (x[:, None] - place.x) ** 2 + (y[:, None] - place.y) ** 2  # [edge, node]
    clear = away.min(axis=1, initial=9.0) > _CLEARANCE**2
    x, y, drawn = x[clear], y[clear], drawn.where(clear)
    names = [graph.edge_name(int(edge)).replace("<", "&lt;").replace(">", "&gt;") for edge in drawn.edge]
    groups = np.where(drawn.shared, "shared", f"{name} only")
    text = [
        f"<b>{edge_name}</b><br>{group}<br>rank {rank + 1:,} · score {score:+.4g}"
        for edge_name, group, rank, score in zip(names, groups, drawn.rank, drawn.score, strict=True)
    ]
    return {
        "type": "scatter",
        "x": x,
        "y": y,
        "mode": "lines",
        "line": {"width": 0, "color": palette.of(own)},
        "hovertemplate": "%{text}<extra></extra>",
        "text": np.array(text),
        "showlegend": False,
        "name": "edges",
    }


def _nodes(
    graph: Graph,
    place: Layout,
    edges: ClassifiedEdges,
    drawn: ClassifiedEdges,
    in_other: NDArray[np.bool_],
    own: str,
    name: str,
    palette: Palette,
) -> Trace:
    share = importance_shares(graph, edges.edge, edges.score)
    present = nodes_of(graph, edges.edge)
    largest = share.max(initial=0.0) or 1.0
    low, high = _diameters(graph)
    size = np.where(present, low + (high - low) * np.sqrt(share / largest), low)
    standing = np.where(present, np.where(in_other, 2, 1), 0)  # not in it, in this circuit alone, in both
    membership = np.array(["not in it", f"in the {name}'s alone", "in both circuits"])[standing]
    left = _edges_drawn(graph, edges, drawn)
    text = [
        f"<b>{node}</b><br>{place_}<br>{part:.1%} of importance{drawn_}"
        for node, place_, part, drawn_ in zip(graph.node_names, membership, share.tolist(), left, strict=True)
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
            **_coloured(standing, (palette.background, palette.of(own), palette.shared)),
            "line": {"width": 1, **_coloured(standing, (palette.neutral, palette.background, palette.background))},
        },
        "selected": {"marker": {"opacity": 1}},
        "unselected": {"marker": {"opacity": 1}},
        "customdata": np.array(graph.node_names),
        "text": np.array(text),
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
        "name": NODE_TRACE,
    }


def _edges_drawn(graph: Graph, edges: ClassifiedEdges, drawn: ClassifiedEdges) -> list[str]:
    """[node]: how many of its edges are drawn; nothing where all of the circuit's are."""
    if len(drawn) == len(edges):
        return [""] * graph.n_nodes
    all_, shown = (edges_at_nodes(graph, some.edge) for some in (edges, drawn))
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


def _ring(graph: Graph, place: Layout, selected: str | None, palette: Palette) -> Trace:
    index = [graph.node_names.index(selected)] if selected in graph.node_names else []
    return {
        "type": "scatter",
        "x": place.x[index],
        "y": place.y[index],
        "mode": "markers",
        "marker": {
            "size": _diameters(graph)[1] + 8,
            "symbol": "circle-open",
            "color": palette.text,
            "line": {"width": 2.5},
        },
        "selected": {"marker": {"opacity": 1}},
        "unselected": {"marker": {"opacity": 1}},
        "hoverinfo": "skip",
        "showlegend": False,
        "name": "selected",
    }


def _label(graph: Graph, place: Layout, selected: str | None, palette: Palette) -> Trace:
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
        "bgcolor": palette.background,
        "opacity": 0.9,
        "font": {"color": palette.text, "size": 13},
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
