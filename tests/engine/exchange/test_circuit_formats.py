"""Files read back by the libraries they are for: the same names, counts, scores and members."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from engine.circuits import pruning
from engine.circuits.edges import EdgeTable
from engine.circuits.filters import KINDS, Filters
from engine.circuits.graph import Graph
from engine.errors import UserError
from engine.exchange import circuit_formats
from engine.exchange.circuit import NO_FILTERS, Circuit, Other, circuit
from engine.exchange.circuit_formats import FORMATS, edge_names, xml_text
from engine.exchange.export import export, likely_size
from engine.runs import lifecycle, read
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from tests.fakes import HOSTILE, tiny_compute

K = 12
WITH_SOURCE = [name for name in FORMATS if name != "mib"]


@pytest.fixture
def run(workspace: Path) -> Run:
    return lifecycle.run(RunSpec(n=4, model="arm"), compute=tiny_compute)


def top(run: Run) -> dict[str, float]:
    """The circuit by the slow way: name -> score of the K strongest edges."""
    table = read.edge_table(run.key)
    names = [run.meta.graph.edge_name(edge) for edge in table.edge]
    return dict(list(zip(names, table.score.tolist(), strict=True))[:K])


def test_edge_names_are_the_graphs(run: Run) -> None:
    graph, edges = run.meta.graph, read.edge_table(run.key).edge
    assert edge_names(graph, edges) == [graph.edge_name(edge) for edge in edges]


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


def test_mibs_evaluation_gets_the_references_format_and_nothing_else(run: Run, workspace: Path) -> None:
    config = workspace / "pair" / "arm" / "config.json"
    config.write_text('{"hidden_size": 128}')
    content, ours = (json.loads(export(run.key, K, name)) for name in ("mib", "json"))
    assert content == {name: ours[name] for name in ("cfg", "nodes", "edges")}
    assert set(content["cfg"]) == {"n_layers", "n_heads", "parallel_attn_mlp", "d_model"}
    config.unlink()
    with pytest.raises(UserError, match=r"needs the width d_model .* and the model is not here\."):
        export(run.key, K, "mib")


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
    for kind in WITH_SOURCE:
        names, source = edges_in(export(arm.key, K, kind, filters=filters, other=Other(mdm.key, "step-00")), kind)
        assert names == expected
        if not expected and kind == "csv":
            continue  # a table without rows: its name tells the rest
        wanted |= {"left_out": str(K - len(expected)), "other_run": mdm.key, "other_part": "step-00"}
        wanted["method_version"] = str(arm.method_version)
        texts = {name: str(value) for name, value in source.items()}
        assert wanted.items() <= texts.items()
        assert texts["versions"].startswith("numpy ")
        if kind != "csv":
            assert texts["edges"] == str(len(expected))


def test_pandas_reads_tables_without_an_option(arm: Run, mdm: Run) -> None:
    filters = Filters(kinds=("q", "mlp"), sign="positive")
    for kind, reader in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        table = reader(io.BytesIO(export(arm.key, K, kind, filters=filters, other=Other(mdm.key, "step-00"))))
        assert table["name"].tolist() == left(arm, mdm, filters)
        assert pd.api.types.is_integer_dtype(table["rank"]) and pd.api.types.is_float_dtype(table["score"])
        assert pd.api.types.is_bool_dtype(table["shared"]) and not table.isna().any(axis=None)
        if kind == "csv":
            assert set(table["filters"]) == {"read as q, mlp, positive"} and set(table["k"]) == {K}
            assert set(table["left_out"]) == {K - len(table)} and set(table["run"]) == {arm.key}


def test_a_circuit_that_is_compared_with_none_names_none(arm: Run) -> None:
    for kind in WITH_SOURCE:
        _, source = edges_in(export(arm.key, K, kind), kind)
        assert "other_run" not in source and str(source["left_out"]) == "0"


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


def ignore(done: int, total: int) -> None:
    pass


def written(exported: Circuit, format: str) -> bytes:
    file = io.BytesIO()
    FORMATS[format].write(exported, file, ignore)
    return file.getvalue()


def rows_of(exported: Circuit) -> list[dict[str, object]]:
    """The rows of a circuit's table by the slow way, with the node at which each edge ends."""
    graph, rows = exported.graph, []
    for rank in np.flatnonzero(exported.kept):
        edge = int(exported.table.edge[rank])
        kind = int(graph.destination_kind[graph.edge_destination[edge]])
        name = graph.edge_name(edge)
        row = {"rank": int(rank) + 1, "name": name, "kind": KINDS[kind], "score": float(exported.table.score[rank])}
        rows.append({**row, "shared": bool(exported.shared[rank])} if exported.shared is not None else row)
    return rows


@pytest.mark.parametrize("filters", [NO_FILTERS, Filters(sign="positive", pruned=True), Filters(kinds=())])
def test_blocks_of_any_size_make_the_document_that_the_libraries_write(
    arm: Run, mdm: Run, filters: Filters, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = circuit(arm.key, K, filters=filters, other=Other(mdm.key, "step-00"))
    rows, document, drawn = rows_of(exported), document_of(exported), io.BytesIO()
    nx.write_graphml(drawn_by_networkx(exported), drawn)
    fields = ("rank", "name", "kind", "score", "shared")
    for block in (1, 5, K, 2**16):
        monkeypatch.setattr(circuit_formats, "BLOCK", block)
        assert written(exported, "json") == json.dumps(document).encode()
        assert graphml(written(exported, "graphml")) == graphml(drawn.getvalue())
        table = pq.read_table(io.BytesIO(written(exported, "parquet")))
        assert table.select(fields).to_pylist() == [{field: row[field] for field in fields} for row in rows]
        lines = list(csv.DictReader(io.StringIO(written(exported, "csv").decode())))
        assert [(int(line["rank"]), line["name"], np.float32(line["score"])) for line in lines] == [
            (row["rank"], row["name"], row["score"]) for row in rows
        ]


def document_of(exported: Circuit) -> dict[str, object]:
    """The reference's JSON of a circuit, as one object."""
    graph, inside = exported.graph, set(np.flatnonzero(exported.kept).tolist())
    ranked = enumerate(zip(exported.table.edge, exported.table.score, strict=True))
    return {
        "cfg": {"n_layers": 2, "n_heads": 2, "parallel_attn_mlp": False, "d_model": 32},
        "nodes": {name: {"in_graph": bool(exported.nodes[node])} for node, name in enumerate(graph.node_names)},
        "edges": {
            graph.edge_name(edge): {"score": float(score), "in_graph": rank in inside} for rank, (edge, score) in ranked
        },
        "source": exported.source,
    }


def drawn_by_networkx(exported: Circuit) -> nx.MultiDiGraph:
    graph, drawn = exported.graph, nx.MultiDiGraph(**exported.source)
    for node in np.flatnonzero(exported.nodes):
        drawn.add_node(graph.node_names[node], layer=int(graph.node_layer[node]))
    for row in rows_of(exported):
        source, _, end = str(row["name"]).partition("->")
        drawn.add_edge(source, end.partition("<")[0], key=row["name"], **row)
    return drawn


def graphml(content: bytes) -> tuple[dict[str, object], dict[str, object], list[object]]:
    """What networkx reads in a file: of the graph, its nodes, its edges in order of their names."""
    graph = nx.read_graphml(io.BytesIO(content), force_multigraph=True)
    edges = sorted(graph.edges(keys=True, data=True), key=lambda edge: edge[2])
    return graph.graph, dict(graph.nodes(data=True)), edges


@pytest.mark.parametrize("format", FORMATS)
def test_progress_ends_with_every_edge(run: Run, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit_formats, "BLOCK", 5)
    told: list[tuple[int, int]] = []
    FORMATS[format].write(circuit(run.key, K), io.BytesIO(), lambda done, total: told.append((done, total)))
    edges = run.meta.graph.n_edges if FORMATS[format].every_edge else K
    assert told == [(min(done, edges), edges) for done in range(5, edges + 5, 5)]


ODD = f"{HOSTILE} & <a> \"q\" 'p' ]]> \r\n\t\x00\x1b\ud800\ufffe é 😀"


def test_hostile_texts_are_read_back_as_they_are(run: Run) -> None:
    text = "".join(character for character in ODD if character not in "\x00\x1b\ud800\ufffe")
    remarks = replace(run.meta, remarks=(text, "</data></graph>"))
    exported = replace(circuit(run.key, K), run=replace(run, meta=remarks))
    graph = nx.read_graphml(io.BytesIO(written(exported, "graphml")), force_multigraph=True)
    assert graph.graph["remarks"] == f"{text} </data></graph>"
    assert json.loads(written(exported, "json"))["source"]["remarks"] == f"{text} </data></graph>"
    metadata = pq.read_schema(io.BytesIO(written(exported, "parquet"))).metadata
    assert json.loads(metadata[b"source"])["remarks"] == f"{text} </data></graph>"


def test_characters_that_xml_cannot_hold_are_replaced(run: Run) -> None:
    assert xml_text("a\x00b\x1b\ud800\ufffe<&>\r") == "a\ufffdb\ufffd\ufffd\ufffd&lt;&amp;&gt;&#13;"
    exported = replace(circuit(run.key, K), run=replace(run, meta=replace(run.meta, remarks=(ODD,))))
    graph = nx.read_graphml(io.BytesIO(written(exported, "graphml")), force_multigraph=True)
    assert graph.graph["remarks"].count("\ufffd") == 4


class Discarding(io.RawIOBase):
    """A file that only counts what is written to it."""

    size = 0

    def writable(self) -> bool:
        return True

    def write(self, content: object) -> int:
        length = memoryview(content).nbytes  # type: ignore[arg-type]
        self.size += length
        return length


def large(run: Run, graph: Graph) -> Circuit:
    """Every edge of a graph as a circuit, in an order and with scores of no meaning."""
    rng = np.random.default_rng(0)
    edges = rng.permutation(graph.n_edges).astype(np.int32)
    versions = {"torch": "2.10.1", "transformers": "5.1.10", "transformer-lens": "3.10.1"}  # as long as real ones
    meta = replace(run.meta, n_layers=graph.n_layers, n_heads=graph.n_heads, versions=versions)
    table = EdgeTable(edges, rng.normal(size=len(edges)).astype(np.float32))
    every, shared = np.ones(len(edges), np.bool_), rng.random(len(edges)) < 0.5
    exported = Circuit(replace(run, meta=meta), "total", table, len(edges), NO_FILTERS, every, shared, Other(run.key))
    assert exported.nodes.all()  # arrays of the graph are made now
    return exported


@pytest.mark.parametrize("format", FORMATS)
def test_memory_does_not_grow_with_the_file(run: Run, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit_formats, "BLOCK", 2**10)
    peaks, sizes, edges = [], [], []
    for graph in (Graph(6, 8), Graph(12, 16)):
        exported, out = large(run, graph), Discarding()
        FORMATS[format].write(exported, out, ignore)  # whatever is imported or kept once
        out.size = 0
        tracemalloc.start()
        FORMATS[format].write(exported, out, ignore)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append(out.size)
        edges.append(graph.n_edges)
        assert likely_size(format, graph.n_edges) == pytest.approx(out.size, rel=0.25)
    further = edges[1] - edges[0]
    assert further > 50_000 and sizes[1] - sizes[0] > 20 * further
    assert peaks[1] - peaks[0] < 20 * further, "ranks, and which nodes are touched: arrays of a few bytes an edge"
