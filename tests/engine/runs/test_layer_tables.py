"""Tables by layer as arrays: every row in its cell, gaps where there is none, means with intervals."""

from __future__ import annotations

import numpy as np
import pytest

from engine.circuits.graph import Graph
from engine.circuits.intervals import mean_contrast
from engine.runs.layer_tables import LENS_MEASURES, by_example, head_norms, lens_bands, residual_norms


def columns(cells: dict[tuple[int, int], float]) -> dict[str, np.ndarray]:
    layer, offset = np.array(list(cells)).T
    return {"layer": layer, "offset": offset, "mean": np.array(list(cells.values()))}


def test_both_models_norms_are_on_the_offsets_that_either_has() -> None:
    arm, mdm, offsets = residual_norms(columns({(0, -2): 1.0, (1, -2): 2.0}), columns({(1, 0): 4.0, (0, -2): 3.0}))
    assert offsets.tolist() == [-2, 0]
    assert np.array_equal(arm, [[1.0, np.nan], [2.0, np.nan]], equal_nan=True)
    assert np.array_equal(mdm, [[3.0, np.nan], [np.nan, 4.0]], equal_nan=True)


def test_norms_of_heads_are_by_layer_and_head() -> None:
    graph = Graph(2, 3)
    nodes = np.array([graph.head(layer, head) for layer in range(2) for head in range(3)])
    norms = np.array([10.0 * layer + head for layer in range(2) for head in range(3)])
    assert head_norms(graph, nodes, norms).tolist() == [[0, 1, 2], [10, 11, 12]]
    assert head_norms(graph, nodes[::-1], norms[::-1]).tolist() == [[0, 1, 2], [10, 11, 12]]
    assert np.isnan(head_norms(graph, nodes[1:], norms[1:])[0, 0])


def test_lens_columns_are_by_example_and_layer_whatever_the_order_of_rows() -> None:
    rows = np.random.default_rng(0).permutation([(e, layer) for e in range(40) for layer in range(3)])
    table = {"example": rows[:, 0], "layer": rows[:, 1]}
    table |= {name: rows[:, 0] * 10.0 + rows[:, 1] + place for place, name in enumerate(LENS_MEASURES)}
    assert by_example(table, "residual_top")[7].tolist() == [71, 72, 73]
    other = {name: values + 1.0 if name in LENS_MEASURES else values for name, values in table.items()}
    bands = lens_bands(table, other)
    assert list(bands) == list(LENS_MEASURES)
    contrast, over_layers = bands["node_top"]
    expected = mean_contrast(by_example(table, "node_top"), by_example(other, "node_top"))
    assert contrast.arm.value == pytest.approx(by_example(table, "node_top").mean(0))
    assert contrast.arm.low == pytest.approx(expected.arm.low)
    assert contrast.difference.value == pytest.approx([-1, -1, -1])
    assert over_layers.arm.value == pytest.approx(by_example(table, "node_top").mean())
