"""What is kept between reruns is what the cache holds, and nobody can change it for others."""

from __future__ import annotations

import numpy as np
import pytest

from engine.circuits.edges import EdgeTable
from engine.runs import lifecycle, read, stored
from engine.runs.records import Run
from engine.runs.rows import ExampleRow, Neuron, RoleAttention
from engine.runs.spec import RunSpec
from pages.shared import cached_reads
from tests.fakes import tiny_compute


@pytest.fixture
def run(pair: None) -> Run:
    return lifecycle.run(RunSpec(n=4), compute=tiny_compute)


def test_rows_are_read_once_and_the_list_is_the_callers(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = cached_reads.rows(ExampleRow, run.key)
    assert rows == read.rows(ExampleRow, run.key)
    monkeypatch.setattr(read, "rows", None)
    rows.clear()
    again = cached_reads.rows(ExampleRow, run.key)
    assert len(again) == 4 and again[0] is cached_reads.row(ExampleRow, run.key)


def test_rows_of_other_classes_and_values_are_others(run: Run) -> None:
    node = run.meta.graph.head(0, 1)
    roles = cached_reads.rows(RoleAttention, run.key, node=node)
    assert roles and {role.node for role in roles} == {node}
    neurons = [cached_reads.row(Neuron, run.key, layer=1, neuron=number) for number in (0, 1)]
    assert [(neuron.layer, neuron.neuron) for neuron in neurons if neuron] == [(1, 0), (1, 1)]
    assert cached_reads.row(Neuron, run.key, layer=99) is None


def test_columns_are_arrays(run: Run) -> None:
    table = read.table(run.key, "neurons", layer=1)
    columns = cached_reads.columns(run.key, "neurons", ("attribution", "counts"), layer=1)
    assert columns["attribution"].tolist() == table["attribution"].to_pylist()
    assert columns["counts"].tolist() == table["counts"].to_pylist() and columns["counts"].ndim == 2
    assert set(cached_reads.columns(run.key, "reveals")) == {"example", "step", "index"}


def test_edges_are_a_prefix_that_nobody_can_change(run: Run) -> None:
    top = cached_reads.edges(run.key, "total", 5)
    assert isinstance(top, EdgeTable)
    assert top.edge.tolist() == read.edge_table(run.key, limit=5).edge.tolist()
    with pytest.raises(ValueError, match="read-only"):
        top.edge[0] = 1


def test_edges_of_a_node_carry_rank_and_score(run: Run) -> None:
    graph, whole = run.meta.graph, read.edge_table(run.key)
    node = graph.head(1, 0)
    ranked = cached_reads.node_edges(run.key, "total", node, outgoing=True)
    assert ranked.edge.tolist() == np.flatnonzero(graph.edge_source == node).tolist()
    assert [whole.edge[rank] for rank in ranked.rank] == ranked.edge.tolist()


def test_a_run_is_asked_for_anew(run: Run) -> None:
    assert cached_reads.run_of(run.spec) == run
    stored.delete(run.key)
    assert cached_reads.run_of(run.spec) is None
