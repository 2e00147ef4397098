"""Where nodes and edges of a circuit are drawn: positions of nodes, curves of edges, curves as an SVG path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.circuits.graph import Graph


@dataclass(frozen=True)
class Layout:
    """Where every node stands: x, y are [n_nodes]; the unit is one head across and one layer up."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]


def layout(graph: Graph) -> Layout:
    """Heads side by side, the MLP half a layer above them at the right, `input` below, `logits` above."""
    middle = graph.n_heads / 2
    row_x = [*range(graph.n_heads), graph.n_heads + 0.5]
    x = [middle, *(row_x * graph.n_layers), middle]
    y = [-1.0]
    for layer in range(graph.n_layers):
        y += [float(layer)] * graph.n_heads + [layer + 0.5]
    return Layout(np.array(x, np.float32), np.array([*y, graph.n_layers + 0.25], np.float32))


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


def svg_path(points: NDArray[np.float32]) -> str:
    """Curves as one SVG path, in the axes' units; a point outside all where there is none."""
    rows = points.reshape(-1, 8).round(3).tolist()
    return "".join("M{:g},{:g}C{:g},{:g},{:g},{:g},{:g},{:g}".format(*row) for row in rows) or "M0,-9Z"
