"""A circuit that is to be exported: which edges it holds, what it says of its source, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.circuits.filters import Filters
from engine.errors import UserError
from engine.exchange.circuit import Other, circuit
from engine.runs import lifecycle, read
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute

K = 12


@pytest.fixture
def run(workspace: Path) -> Run:
    return lifecycle.run(RunSpec(n=4, model="arm"), compute=tiny_compute)


def test_a_part_has_a_circuit_of_its_own(run: Run) -> None:
    total, half = circuit(run.key, K), circuit(run.key, K, "half-a")
    for exported, part in ((total, "total"), (half, "half-a")):
        assert exported.table.edge.tolist() == read.edge_table(run.key, part).edge.tolist()
        assert exported.kept.tolist() == [True] * K and exported.source["part"] == part
    assert total.table.edge[:K].tolist() != half.table.edge[:K].tolist()


def test_filters_choose_among_the_strongest_and_the_source_says_so(run: Run) -> None:
    exported = circuit(run.key, K, filters=Filters(sign="negative"), other=Other(run.key, "half-a"))
    assert exported.kept.tolist() == (exported.table.score[:K] < 0).tolist()
    others = read.edge_table(run.key, "half-a", K).edge
    assert exported.shared is not None
    assert exported.shared.tolist() == np.isin(exported.table.edge[:K], others).tolist()
    source = exported.source
    assert (source["run"], source["k"], source["filters"]) == (run.key, K, "negative")
    assert (source["other_run"], source["other_part"]) == (run.key, "half-a")
    assert source["edges"] == exported.kept.sum() < K
    assert source["left_out"] == K - source["edges"]


def test_nodes_are_those_that_an_edge_touches_and_the_logits(run: Run) -> None:
    exported = circuit(run.key, 1)
    names = {exported.graph.node_names[node] for node in np.flatnonzero(exported.nodes)}
    ends = exported.graph.edge_name(int(exported.table.edge[0])).split("->")
    assert names == {end.partition("<")[0] for end in ends} | {"logits"}


def test_shared_edges_need_another_circuit(run: Run) -> None:
    with pytest.raises(UserError, match="no circuit to compare"):
        circuit(run.key, K, filters=Filters(show="shared"))


@pytest.mark.parametrize("k", [0, -1, 10**6])
def test_sizes_beyond_the_graph_are_refused(run: Run, k: int) -> None:
    with pytest.raises(UserError, match=f"k is {k}. Choose a number of edges from 1 to {run.meta.graph.n_edges}"):
        circuit(run.key, k)


def test_parts_and_runs_that_are_none_are_refused(run: Run) -> None:
    for key, part in ((run.key, "step-99"), ("0" * 20, "total")):
        with pytest.raises(UserError):
            circuit(key, K, part)
