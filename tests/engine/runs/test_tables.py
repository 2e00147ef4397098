"""Tables from what was computed: edges by rank, with ties in the order of the graph."""

from __future__ import annotations

import numpy as np
import torch

from engine.circuits.graph import graph_of
from engine.runs.tables import edge_table

GRAPH = graph_of(2, 2)


def matrix(scores: dict[int, float]) -> torch.Tensor:
    """[source, destination]: scores by edge index, 0 elsewhere."""
    values = torch.zeros(GRAPH.legal.shape)
    for edge, score in scores.items():
        values[int(GRAPH.edge_source[edge]), int(GRAPH.edge_destination[edge])] = score
    return values


def test_edges_come_by_absolute_score_and_equal_ones_by_their_index() -> None:
    table = edge_table(GRAPH, {"total": matrix({7: -3.0, 2: 3.0, 5: 1.0})})
    assert table["edge"].to_pylist()[:3] == [2, 7, 5]
    assert table["score"].to_pylist()[:4] == [3.0, -3.0, 1.0, 0.0]
    rest = table["edge"].to_pylist()[3:]
    assert rest == sorted(rest) and table.num_rows == GRAPH.n_edges


def test_every_part_is_ranked_by_its_own_scores() -> None:
    table = edge_table(GRAPH, {"total": matrix({1: 1.0}), "half-a": matrix({4: 2.0})})
    parts = np.array(table["part"].to_pylist())
    assert parts.tolist() == ["total"] * GRAPH.n_edges + ["half-a"] * GRAPH.n_edges
    for part, strongest in (("total", 1), ("half-a", 4)):
        rows = np.flatnonzero(parts == part)
        assert table["rank"].to_numpy()[rows].tolist() == list(range(GRAPH.n_edges))
        assert table["edge"].to_pylist()[rows[0]] == strongest


def test_scores_outside_the_graph_are_no_edges() -> None:
    scores = torch.ones(GRAPH.legal.shape)
    table = edge_table(GRAPH, {"total": scores})
    assert table.num_rows == int(GRAPH.legal.sum()) == GRAPH.n_edges
