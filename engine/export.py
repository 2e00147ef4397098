"""A circuit as a file for other programs: EAP-IG's JSON, GraphML, Parquet, CSV.

A circuit is the top K edges of a part of a run. The JSON holds every edge and marks those of the circuit, as the
reference implementation writes and reads it (hannamw/EAP-IG, `Graph.to_json` / `Graph.from_json`); the others hold
the circuit alone. All name edges as METHOD does.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import pipeline
from engine.csv_text import csv_of_table
from engine.errors import UserError
from engine.graph import QKV, Graph
from engine.hub import snapshot
from engine.pairs import pair_named
from engine.records import Run
from engine.rows import EdgeTable
from engine.shape import read_config

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = (*QKV, "mlp", "logits")  # of a destination, in the order of Graph.destination_kind


@dataclass(frozen=True)
class Circuit:
    """What a file is made from: every edge of a part, strongest first; the first `k` are the circuit."""

    run: Run
    part: str
    table: EdgeTable
    k: int

    @property
    def graph(self) -> Graph:
        return self.run.meta.graph

    @property
    def source(self) -> dict[str, Any]:
        """Where the numbers come from, written into every file that has a place for it."""
        return {"run": self.run.key, **self.run.spec.as_dict(), "part": self.part, "k": self.k}


def circuit(key: str, k: int, part: str = "total") -> Circuit:
    """The top `k` edges of a part of a stored run.

    Raises:
        UserError: no such run or part, or the graph does not have `k` edges.
    """
    run, table = pipeline.get(key), pipeline.edge_table(key, part)
    if not 1 <= k <= len(table.edge):
        raise UserError(f"k is {k}. Choose a number of edges from 1 to {len(table.edge)}.")
    return Circuit(run, part, table, k)


def export(key: str, k: int, format: str, part: str = "total") -> bytes:
    """The file's content: the circuit of `k` edges in one of FORMATS."""
    if format not in FORMATS:
        raise UserError(f"format is {format!r}. Choose one of: {', '.join(FORMATS)}.")
    return FORMATS[format](circuit(key, k, part))


def file_name(run: Run, k: int, format: str, part: str = "total") -> str:
    """What to call the file, as in `embedded-arm-ioi-total-200-1a2b3c4d.json`."""
    model = run.spec.model.replace(":", "")
    return f"{run.spec.pair}-{model}-{run.spec.task}-{part}-{k}-{run.key[:8]}.{format}"


def to_json(circuit: Circuit) -> bytes:
    """EAP-IG's format: {cfg, nodes: {name: {in_graph}}, edges: {name: {score, in_graph}}}."""
    graph, table = circuit.graph, circuit.table
    names = edge_names(graph)
    nodes = _nodes_of(graph, table, circuit.k)
    edges = {
        names[edge]: {"score": float(score), "in_graph": rank < circuit.k}
        for rank, (edge, score) in enumerate(zip(table.edge, table.score, strict=True))
    }
    content = {
        "cfg": _config(circuit.run),
        "nodes": {name: {"in_graph": bool(kept)} for name, kept in zip(graph.node_names, nodes, strict=True)},
        "edges": edges,
        "source": circuit.source,
    }
    return json.dumps(content).encode()


def to_graphml(circuit: Circuit) -> bytes:
    """A directed multigraph (q, k and v of a head are parallel edges), with layers, scores and ranks."""
    import networkx as nx

    graph = circuit.graph
    names, layers = graph.node_names, graph.node_layer
    drawn = nx.MultiDiGraph(**circuit.source)
    for node in np.flatnonzero(_nodes_of(graph, circuit.table, circuit.k)):
        drawn.add_node(names[node], layer=int(layers[node]))
    for row in edge_rows(circuit).to_pylist():
        target = row["destination"].partition("<")[0]
        labels = {field: row[field] for field in ("name", "kind", "rank", "score")}
        drawn.add_edge(row["source"], target, key=row["name"], **labels)
    file = io.BytesIO()
    nx.write_graphml(drawn, file)
    return file.getvalue()


def to_parquet(circuit: Circuit) -> bytes:
    """The circuit's edges as a table; `source` is JSON in the file's metadata."""
    import pyarrow.parquet as pq

    file = io.BytesIO()
    table = edge_rows(circuit).replace_schema_metadata({"source": json.dumps(circuit.source)})
    pq.write_table(table, file)
    return file.getvalue()


def to_csv(circuit: Circuit) -> bytes:
    return csv_of_table(edge_rows(circuit))


FORMATS: dict[str, Callable[[Circuit], bytes]] = {
    "json": to_json,
    "graphml": to_graphml,
    "parquet": to_parquet,
    "csv": to_csv,
}


def edge_rows(circuit: Circuit) -> pa.Table:
    """The circuit's edges, strongest first: rank (1 = strongest), edge, name, source, destination, kind, score."""
    import pyarrow as pa

    graph = circuit.graph
    edge, score = circuit.table.edge[: circuit.k], circuit.table.score[: circuit.k]
    source, destination = graph.edge_source[edge], graph.edge_destination[edge]
    sources, destinations = np.array(graph.node_names)[source], np.array(graph.destination_names)[destination]
    columns = {
        "rank": pa.array(np.arange(1, len(edge) + 1, dtype=np.int32)),
        "edge": pa.array(edge),
        "name": pa.array([f"{a}->{b}" for a, b in zip(sources, destinations, strict=True)]),
        "source": pa.array(sources.tolist()),
        "destination": pa.array(destinations.tolist()),
        "kind": pa.array([KINDS[kind] for kind in graph.destination_kind[destination]]),
        "score": pa.array(score),
    }
    return pa.table(columns)


def edge_names(graph: Graph) -> list[str]:
    """The name of every edge, by index."""
    sources, destinations = np.array(graph.node_names), np.array(graph.destination_names)
    ends = zip(sources[graph.edge_source], destinations[graph.edge_destination], strict=True)
    return [f"{source}->{destination}" for source, destination in ends]


def _nodes_of(graph: Graph, table: EdgeTable, k: int) -> np.ndarray:
    """[node]: whether an edge of the circuit touches it; `logits` always, as in the reference."""
    edge = table.edge[:k]
    kept = np.zeros(graph.n_nodes, dtype=bool)
    kept[graph.edge_source[edge]] = True
    kept[graph.destination_node[graph.edge_destination[edge]]] = True
    kept[graph.logits] = True
    return kept


def _config(run: Run) -> dict[str, Any]:
    """What the reference needs to rebuild the graph; its reader also wants d_model, which the model's config tells."""
    config = {"n_layers": run.meta.n_layers, "n_heads": run.meta.n_heads, "parallel_attn_mlp": False}
    width = _width(run)
    return config if width is None else {**config, "d_model": width}


def _width(run: Run) -> int | None:
    """The model's d_model, or None when it is not here (any more)."""
    try:
        config = read_config(snapshot(pair_named(run.spec.pair).folder(run.spec.model)))
    except UserError:
        return None
    width = config.get("hidden_size", config.get("n_embd"))
    return width if type(width) is int else None
