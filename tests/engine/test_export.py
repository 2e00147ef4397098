"""Files read back by the libraries they are for: the same names, counts, scores and members."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import networkx as nx
import pyarrow.parquet as pq
import pytest

from engine import pipeline
from engine.errors import UserError
from engine.export import edge_names, export, file_name
from engine.records import Run
from engine.spec import RunSpec
from tests.fakes import fake_compute, tiny_compute

K = 12


@pytest.fixture
def run(workspace: Path) -> Run:
    return pipeline.run(RunSpec(n=4, model="arm"), compute=tiny_compute)


def top(run: Run) -> dict[str, float]:
    """The circuit by the slow way: name -> score of the K strongest edges."""
    table = pipeline.edge_table(run.key)
    names = [run.meta.graph.edge_name(edge) for edge in table.edge]
    return dict(list(zip(names, table.score.tolist(), strict=True))[:K])


def test_edge_names_are_the_graphs(run: Run) -> None:
    graph = run.meta.graph
    assert edge_names(graph) == [graph.edge_name(edge) for edge in range(graph.n_edges)]


def test_json_is_the_references_format(run: Run, workspace: Path) -> None:
    (workspace / "pair" / "arm" / "config.json").write_text('{"hidden_size": "wide"}')
    content = json.loads(export(run.key, K, "json"))
    graph, expected = run.meta.graph, top(run)
    assert content["cfg"] == {"n_layers": 2, "n_heads": 2, "parallel_attn_mlp": False}
    assert set(content["nodes"]) == set(graph.node_names)
    assert len(content["edges"]) == graph.n_edges
    assert {name: edge["score"] for name, edge in content["edges"].items() if edge["in_graph"]} == expected
    ends = {end.partition("<")[0] for name in expected for end in name.split("->")}
    assert {name for name, node in content["nodes"].items() if node["in_graph"]} == ends | {"logits"}
    assert content["source"]["run"] == run.key and content["source"]["k"] == K


def test_json_says_the_width_that_the_references_reader_needs(run: Run, workspace: Path) -> None:
    (workspace / "pair" / "arm" / "config.json").write_text('{"hidden_size": 128}')
    assert json.loads(export(run.key, K, "json"))["cfg"]["d_model"] == 128


def test_graphml_reads_back(run: Run) -> None:
    graph = nx.read_graphml(io.BytesIO(export(run.key, K, "graphml")), force_multigraph=True)
    assert graph.is_directed() and graph.number_of_edges() == K
    found = {data["name"]: data["score"] for _, _, data in graph.edges(data=True)}
    assert found == pytest.approx(top(run))
    for source, target, data in graph.edges(data=True):
        assert data["name"].partition("<")[0] == f"{source}->{target}"
        assert graph.nodes[source]["layer"] <= graph.nodes[target]["layer"]
    assert graph.graph["run"] == run.key


def test_q_k_and_v_stay_apart_in_graphml(run: Run) -> None:
    everything = run.meta.graph.n_edges
    graph = nx.read_graphml(io.BytesIO(export(run.key, everything, "graphml")), force_multigraph=True)
    assert graph.number_of_edges() == everything
    assert {data["kind"] for data in graph["input"]["a1.h0"].values()} == {"q", "k", "v"}


def test_parquet_and_csv_read_back(run: Run) -> None:
    table = pq.read_table(io.BytesIO(export(run.key, K, "parquet")))
    assert dict(zip(table["name"].to_pylist(), table["score"].to_pylist(), strict=True)) == top(run)
    assert table["rank"].to_pylist() == list(range(1, K + 1))
    assert json.loads(table.schema.metadata[b"source"])["run"] == run.key
    rows = list(csv.DictReader(io.StringIO(export(run.key, K, "csv").decode())))
    assert [row["name"] for row in rows] == table["name"].to_pylist()
    assert [float(row["score"]) for row in rows] == pytest.approx(table["score"].to_pylist())
    assert all(row["name"] == f"{row['source']}->{row['destination']}" for row in rows)


def test_a_part_has_a_circuit_of_its_own(run: Run) -> None:
    half = json.loads(export(run.key, K, "json", "half-a"))
    kept = {name for name, edge in half["edges"].items() if edge["in_graph"]}
    assert len(kept) == K and kept != set(top(run)) and half["source"]["part"] == "half-a"


@pytest.mark.usefixtures("workspace")
def test_a_circuit_of_the_usual_size_exports_quickly() -> None:
    run = pipeline.run(RunSpec(n=4, model="step:100"), compute=fake_compute)
    assert len(json.loads(export(run.key, 200, "json"))["edges"]) == run.meta.graph.n_edges
    assert file_name(run, 200, "json") == f"embedded-step100-ioi-total-200-{run.key[:8]}.json"


@pytest.mark.parametrize(
    ("k", "format", "said"), [(0, "json", "k is 0"), (10**6, "csv", "k is 1000000"), (5, "gml", "'gml'")]
)
def test_wrong_wishes_are_refused_by_name(run: Run, k: int, format: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        export(run.key, k, format)
