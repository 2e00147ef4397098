"""Tables of scores and lenses: as many rows as parts, edges and examples ask for, in the order that they promise."""

from __future__ import annotations

import numpy as np
import pytest

from engine.runs.records import RunTables
from engine.runs.spec import RunSpec
from engine.schema.circuit_tables import CIRCUIT_TABLES, EDGES
from engine.schema.vocabulary import BLOCK_EDGES, BLOCKS, COMMON_PARTS
from tests.fakes import fake_run

N = 5


@pytest.fixture(scope="module", params=["arm", "mdm"])
def run(request: pytest.FixtureRequest) -> RunTables:
    return fake_run(RunSpec(model=request.param, task="countdown", n=N), lambda progress: None)


def test_every_part_holds_every_edge_once_by_rank(run: RunTables) -> None:
    edges, count = run.tables["edges"], run.meta.graph.n_edges
    parts = (*COMMON_PARTS, *run.meta.parts)
    assert EDGES.most == ("n_parts", "n_edges") and edges.num_rows == len(parts) * count
    for start, part in enumerate(edges["part"].to_pylist()[::count]):
        rows = edges.slice(start * count, count)
        assert set(rows["part"].to_pylist()) == {part}
        assert rows["rank"].to_pylist() == list(range(count))
        assert sorted(rows["edge"].to_pylist()) == list(range(count))
        assert (np.diff(np.abs(rows["score"].to_numpy())) <= 0).all()


def test_blocks_are_kept_of_the_strongest_edges_alone(run: RunTables) -> None:
    blocks = run.tables["edge_blocks"]
    assert blocks.num_rows == min(BLOCK_EDGES, run.meta.graph.n_edges)
    assert {len(scores) for scores in blocks["scores"].to_pylist()} == {min(BLOCKS, N)}


def test_a_run_fills_every_table_with_the_columns_that_it_has(run: RunTables) -> None:
    for table in CIRCUIT_TABLES:
        assert run.tables[table.name].column_names == [column.name for column in table.columns]
        assert run.tables[table.name].num_rows > 0
