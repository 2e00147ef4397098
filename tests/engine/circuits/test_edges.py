"""Records of edges: what comes out of a run is not changed by whoever reads it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from engine.circuits.comparison import compare, order_of
from engine.circuits.edges import EdgeBlocks, EdgeTable, OverlapCurve, RankedEdges
from engine.circuits.graph import Graph

GRAPH = Graph(3, 2)


@pytest.mark.parametrize("record", [EdgeTable, RankedEdges, OverlapCurve, EdgeBlocks])
def test_fields_are_not_replaced(record: type) -> None:
    arrays = [np.arange(3) for _ in fields(record)]
    made = record(*arrays)
    for field, array in zip(fields(record), arrays, strict=True):
        assert getattr(made, field.name) is array
        with pytest.raises(FrozenInstanceError):
            setattr(made, field.name, array)


def test_edges_with_ranks_are_compared_as_edges_without() -> None:
    scores = np.random.default_rng(0).standard_normal(GRAPH.n_edges).astype(np.float32)
    order = order_of(scores)
    table = EdgeTable(order, scores[order])
    ranked = RankedEdges(order, np.arange(len(order), dtype=np.int32), scores[order])
    assert compare(GRAPH, table, table, 20) == compare(GRAPH, ranked, table, 20)
    assert compare(GRAPH, table, ranked, 20).jaccard == 1
