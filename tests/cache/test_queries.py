"""Queries: prefixes of sorted tables, rows by value, tables that lie in several artifacts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from cache import queries
from cache.folder import ArtifactFolder
from engine.runs.artifacts import split
from engine.runs.lifecycle import ignore
from engine.runs.spec import RunSpec
from engine.schema.artifacts import KINDS, kinds_of, tables_in
from tests.cache.samples import key, record
from tests.fakes import tiny_run

MADE = tiny_run(RunSpec(n=4), ignore)
TABLES = MADE.tables
KEYS = {kind: key(number) for number, kind in enumerate(KINDS)}


@pytest.fixture
def run(folder: ArtifactFolder) -> ArtifactFolder:
    """A folder with all artifacts of a run, and the circuit of another."""
    for number, kind in enumerate(KINDS):
        folder.write(record(number, kind=kind), split(MADE, kind).tables)
    folder.write(record(9), split(tiny_run(RunSpec(n=4, seed=1), ignore), "circuit").tables)
    return folder


def test_every_table_of_an_artifact_comes_out_as_it_went_in(run: ArtifactFolder) -> None:
    for kind in KINDS:
        for name in tables_in(kind):
            made = split(MADE, kind).tables[name]
            table = queries.rows(run, name, [KEYS[kind]], (), made.column_names, {})
            assert table.schema.equals(made.schema), (kind, name)
            assert sorted(map(repr, table.to_pylist())) == sorted(map(repr, made.to_pylist())), (kind, name)


@pytest.mark.parametrize("name", ["neurons", "heads"])
def test_a_table_of_several_artifacts_is_joined(run: ArtifactFolder, name: str) -> None:
    kinds = kinds_of(name)
    assert len(kinds) > 1
    numbers = ("layer", "neuron") if name == "neurons" else ("node",)
    columns = TABLES[name].column_names
    for order in (kinds, kinds[::-1]):
        assert queries.rows(run, name, [KEYS[kind] for kind in order], numbers, columns, {}).equals(TABLES[name])
    where = {column: TABLES[name][column][3].as_py() for column in numbers}
    assert queries.rows(run, name, [KEYS[kind] for kind in kinds], numbers, columns, where).equals(
        TABLES[name].slice(3, 1)
    )


def test_rows_by_value(run: ArtifactFolder) -> None:
    lens = queries.rows(run, "node_lens", [KEYS["lens"]], (), ("node", "readout"), {"readout": 1, "node": 3})
    assert lens.to_pydict() == {"node": [3], "readout": [1]}
    hostile = "total' OR 'a' = 'a"
    assert queries.rows(run, "edges", [KEYS["circuit"]], (), ("edge",), {"part": hostile}).num_rows == 0


def test_top_k_is_the_k_largest_and_a_prefix(run: ArtifactFolder) -> None:
    for part in ("total", "half-b"):
        everything = queries.edges(run, KEYS["circuit"], part)
        scores = np.abs(everything["score"].to_numpy())
        assert (np.diff(scores) <= 0).all() and len(set(everything["edge"].to_pylist())) == len(everything)
        assert queries.edges(run, KEYS["circuit"], part, 7).equals(everything.slice(0, 7))
    assert queries.edges(run, KEYS["circuit"], "nothing").num_rows == 0
    other = queries.edges(run, key(9), "total")
    assert other["edge"].to_pylist() != queries.edges(run, KEYS["circuit"], "total")["edge"].to_pylist()


def test_ranks_and_edges_among(run: ArtifactFolder) -> None:
    everything = TABLES["edges"].filter(pa.compute.equal(TABLES["edges"]["part"], "total"))
    ranks = queries.ranks(run, KEYS["circuit"], "total")
    assert dict(zip(*(ranks[name].to_pylist() for name in ("edge", "rank")), strict=True)) == dict(
        zip(*(everything[name].to_pylist() for name in ("edge", "rank")), strict=True)
    )
    wanted = pa.table({"edge": pa.array([*everything["edge"].to_pylist()[5:8], 10**6], pa.int32())})
    among = queries.edges_among(run, KEYS["circuit"], "total", wanted)
    assert among.sort_by("rank").equals(everything.slice(5, 3).select(["edge", "rank", "score"]))


def test_neurons_that_promote_a_token(run: ArtifactFolder) -> None:
    token = TABLES["neurons"]["promoted"][0].as_py()[0]
    table = queries.neurons_promoting(run, KEYS["circuit"], KEYS["weights"], token, 5)
    promoting = [row for row in TABLES["neurons"].to_pylist() if token in row["promoted"]]
    expected = sorted((abs(row["attribution"]) for row in promoting), reverse=True)[:5]
    assert [abs(value) for value in table["attribution"].to_pylist()] == expected
    assert all(token in promoted for promoted in table["promoted"].to_pylist())
    assert queries.neurons_promoting(run, KEYS["circuit"], KEYS["weights"], "no such token", 5).num_rows == 0


def test_top_k_reads_a_prefix(folder: ArtifactFolder) -> None:
    """The rows lie in the order (part, rank), so DuckDB skips nearly all of its groups of 122,880."""
    n = 300_000
    edges = np.arange(n, dtype=np.int32)
    shuffled = np.random.default_rng(0).permutation(n)
    parts = []
    for part in ("total", "half-a", "half-b"):
        table = pa.table({"part": [part] * n, "rank": edges, "edge": edges, "score": np.zeros(n, np.float32)})
        parts.append(table.take(shuffled))
    folder.write(record(1), {"edges": pa.concat_tables(parts)})
    assert queries.edges(folder, key(1), "half-a", 300)["edge"].to_pylist() == list(range(300))
    with folder.reading(key(1)) as (cursor, names):
        query = f"SELECT edge, score FROM {names[key(1)]}.main.edges WHERE part = ? AND rank < ? ORDER BY rank"  # noqa: S608
        explained = cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", ["half-b", 300]).fetchall()
    scan = next(operator for operator in operators(json.loads(explained[0][1])) if "row_groups_scanned" in operator)
    assert scan["row_groups_scanned"] <= 2  # one, or two where a group ends within the prefix
    assert scan["total_row_groups_to_scan"] >= 7


def operators(plan: object) -> Iterator[dict[str, int]]:
    if isinstance(plan, dict):
        yield plan
    for child in plan.values() if isinstance(plan, dict) else plan if isinstance(plan, list) else ():
        yield from operators(child)
