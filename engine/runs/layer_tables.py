"""Turn a run's tables by layer into arrays: norms of the residual stream and of heads, means of the logit lens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.circuits import intervals
from engine.circuits.graph import Graph
from engine.circuits.intervals import BandContrast

LENS_MEASURES = ("residual_entropy", "residual_top", "node_entropy", "node_top")  # columns of `lens_layers`

Columns = Mapping[str, NDArray[Any]]
Grid = NDArray[np.float64]


def residual_norms(arm: Columns, mdm: Columns) -> tuple[Grid, Grid, NDArray[np.int_]]:
    """Both models' mean norms of the residual stream, [0 = embedding .. n_layers, offset], and the offsets [offset].

    Offsets count tokens from the first of the answer; both grids have those that either model has, with nan where
    the other has none. `arm` and `mdm` are columns [row] of `residual_norms`.
    """
    offsets = np.unique(np.concatenate([columns["offset"] for columns in (arm, mdm)]))
    layers = 1 + max(int(columns["layer"].max(initial=0)) for columns in (arm, mdm))
    grids = []
    for columns in (arm, mdm):
        mean = np.full((layers, len(offsets)), np.nan)
        mean[columns["layer"], np.searchsorted(offsets, columns["offset"])] = columns["mean"]
        grids.append(mean)
    return grids[0], grids[1], offsets


def head_norms(graph: Graph, node: NDArray[Any], norm: NDArray[Any]) -> Grid:
    """[layer, head]: the mean norm `norm` [row] of what each head writes, where `node` [row] says which head it is."""
    mean = np.full((graph.n_layers, graph.n_heads), np.nan)
    layer, number = np.divmod(np.asarray(node) - 1, graph.n_heads + 1)
    mean[layer, number] = norm
    return mean


def by_example(columns: Columns, name: str) -> Grid:
    """[example, layer]: a column [row] of `lens_layers`, of those examples that have it."""
    values = np.full((int(columns["example"].max()) + 1, int(columns["layer"].max()) + 1), np.nan)
    values[columns["example"], columns["layer"]] = columns[name]
    return values[~np.isnan(values).any(1)]


def lens_bands(arm: Columns, mdm: Columns) -> dict[str, tuple[BandContrast, BandContrast]]:
    """By measure of LENS_MEASURES: means over examples [layer], and means over examples and layers [], with intervals.

    `arm` and `mdm` are columns [row] of `lens_layers`; entropies in nats, probabilities from 0 to 1.
    """
    bands = {}
    for name in LENS_MEASURES:
        a, b = by_example(arm, name), by_example(mdm, name)
        bands[name] = intervals.mean_contrast(a, b), intervals.mean_contrast(a.mean(1), b.mean(1))
    return bands
