"""Files read back by the libraries they are for: the same names, counts, scores and members."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import networkx as nx
import pyarrow.parquet as pq
import pytest

from engine.circuits import pruning
from engine.circuits.filters import Filters
from engine.errors import UserError
from engine.exchange.export import FORMATS, NO_FILTERS, Other, edge_names, export, file_name
from engine.runs import lifecycle, read
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from tests.fakes import fake_compute, tiny_compute

K = 12


@pytest.fixture
def run(workspace: Path) -> Run:
    return lifecycle.run(RunSpec(n=4, model="arm"), compute=tiny_compute)


def top(run: Run) -> dict[str, float]:
    """The circuit by the slow way: name -> score of the K strongest edges."""
    table = read.edge_table(run.key)
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
    scores = {data["name"]: data["score"] for _, _, data in graph.edges(data=True)}
    assert scores == pytest.approx(top(run))
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


FILTERS = (
    NO_FILTERS,
    Filters(sign="positive"),
    Filters(kinds=("q", "mlp")),
    Filters(pruned=True),
    Filters(show="only"),
    Filters(("v", "mlp", "logits"), "negative", "shared", pruned=True),
    Filters(kinds=()),
)


@pytest.fixture
def arm(workspace: Path) -> Run:
    return lifecycle.run(RunSpec(n=4, model="arm", task="countdown"), compute=tiny_compute)


@pytest.fixture
def mdm(workspace: Path) -> Run:
    return lifecycle.run(RunSpec(n=4, model="mdm", task="countdown"), compute=tiny_compute)


def left(arm: Run, mdm: Run, filters: Filters) -> list[str]:
    """What filters leave of the ARM's circuit, by the slow way."""
    table, other = read.edge_table(arm.key), read.edge_table(mdm.key, "step-00")
    graph, both = arm.meta.graph, set(other.edge[:K].tolist())
    alive = pruning.prune(graph, table.edge[:K])
    names = []
    for rank in range(K):
        edge, score = int(table.edge[rank]), float(table.score[rank])
        name = graph.edge_name(edge)
        end = name.partition("->")[2]
        kind = end[-2] if end.endswith(">") else "logits" if end == "logits" else "mlp"
        fits = kind in filters.kinds and (filters.sign == "both" or (score > 0) == (filters.sign == "positive"))
        fits &= filters.show == "all" or (edge in both) == (filters.show == "shared")
        if fits and (alive[rank] or not filters.pruned):
            names.append(name)
    return names


def edges_in(content: bytes, format: str) -> tuple[list[str], dict[str, object]]:
    """The edges of a file's circuit, and what the file says of its source."""
    if format == "json":
        content_read = json.loads(content)
        return [name for name, edge in content_read["edges"].items() if edge["in_graph"]], content_read["source"]
    if format == "graphml":
        graph = nx.read_graphml(io.BytesIO(content), force_multigraph=True)
        ranked = sorted(graph.edges(data=True), key=lambda edge: edge[2]["rank"])
        return [data["name"] for _, _, data in ranked], dict(graph.graph)
    if format == "parquet":
        table = pq.read_table(io.BytesIO(content))
        return table["name"].to_pylist(), json.loads(table.schema.metadata[b"source"])
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    return [row["name"] for row in rows], dict(rows[0]) if rows else {}


@pytest.mark.parametrize("filters", FILTERS, ids=lambda filters: filters.stem or "all")
def test_every_format_holds_what_filters_leave_and_says_so(arm: Run, mdm: Run, filters: Filters) -> None:
    expected = left(arm, mdm, filters)
    wanted = {"run": arm.key, "pair": "embedded", "model": "arm", "task": "countdown", "k": str(K), "part": "total"}
    wanted |= {"method": "eap-ig", "filters": ", ".join(filters.words) or "none"}
    for kind in FORMATS:
        names, source = edges_in(export(arm.key, K, kind, filters=filters, other=Other(mdm.key, "step-00")), kind)
        assert names == expected
        if not expected and kind == "csv":
            continue  # a table without rows: its name tells the rest
        texts = {name: str(value) for name, value in source.items()}
        assert wanted.items() <= texts.items()
        assert "method_version" in texts
        if kind != "csv":
            assert (texts["other_run"], texts["other_part"], texts["edges"]) == (mdm.key, "step-00", str(len(expected)))
            assert texts["versions"].startswith("numpy ")


@pytest.mark.parametrize("format", ["graphml", "parquet", "csv"])
def test_each_edge_says_whether_it_is_shared(arm: Run, mdm: Run, format: str) -> None:
    content = export(arm.key, K, format, other=Other(mdm.key, "step-00"))
    both = set(left(arm, mdm, Filters(show="shared")))
    if format == "csv":
        shared_by_name = {row["name"]: row["shared"] == "true" for row in csv.DictReader(io.StringIO(content.decode()))}
    elif format == "parquet":
        rows = pq.read_table(io.BytesIO(content)).to_pylist()
        shared_by_name = {row["name"]: row["shared"] for row in rows}
    else:
        graph = nx.read_graphml(io.BytesIO(content), force_multigraph=True)
        shared_by_name = {data["name"]: data["shared"] for _, _, data in graph.edges(data=True)}
    assert {name for name, shared in shared_by_name.items() if shared} == both and len(shared_by_name) == K


def test_nodes_without_an_edge_of_the_filtered_circuit_are_not_in_the_references_graph(arm: Run) -> None:
    content = json.loads(export(arm.key, K, "json", filters=Filters(sign="positive")))
    kept = [name for name, edge in content["edges"].items() if edge["in_graph"]]
    ends = {end.partition("<")[0] for name in kept for end in name.split("->")}
    assert {name for name, node in content["nodes"].items() if node["in_graph"]} == ends | {"logits"}


@pytest.mark.parametrize(
    ("filters", "stem"),
    [
        (NO_FILTERS, ""),
        (Filters(sign="positive", show="only", pruned=True), "-positive-only-pruned"),
        (Filters(kinds=("v", "q")), "-q-v"),
        (Filters(kinds=()), "-nothing"),
        (Filters(kinds=("mlp",), sign="negative"), "-mlp-negative"),
        (Filters(show="shared"), "-shared"),
    ],
)
def test_a_files_name_says_what_was_chosen(run: Run, filters: Filters, stem: str) -> None:
    assert file_name(run, 7, "csv", "half-a", filters) == f"embedded-arm-ioi-half-a-7{stem}-{run.key[:10]}.csv"


def test_shared_edges_need_another_circuit(run: Run) -> None:
    with pytest.raises(UserError, match="no circuit to compare"):
        export(run.key, K, "json", filters=Filters(show="shared"))


@pytest.mark.parametrize("wrong", [{"kinds": ("w",)}, {"sign": "up"}, {"show": "most"}])
def test_filters_that_are_none_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong)).removesuffix("s")):
        Filters(**wrong)  # type: ignore[arg-type]


@pytest.mark.usefixtures("workspace")
def test_a_circuit_of_the_usual_size_exports_quickly() -> None:
    run = lifecycle.run(RunSpec(n=4, model="step:100"), compute=fake_compute)
    assert len(json.loads(export(run.key, 200, "json"))["edges"]) == run.meta.graph.n_edges
    assert file_name(run, 200, "json") == f"embedded-step100-ioi-total-200-{run.key[:10]}.json"


@pytest.mark.parametrize(
    ("k", "format", "message"), [(0, "json", "k is 0"), (10**6, "csv", "k is 1000000"), (5, "gml", "'gml'")]
)
def test_wrong_wishes_are_refused_by_name(run: Run, k: int, format: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        export(run.key, k, format)
