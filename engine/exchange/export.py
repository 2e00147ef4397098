"""Export a circuit as a file for other programs: EAP-IG's JSON, GraphML, Parquet, CSV.

A circuit is the top K edges of a part of a run, or what filters leave of them. The JSON holds every edge and marks
those of the circuit, as the reference implementation writes and reads it (hannamw/EAP-IG, `Graph.to_json` /
`Graph.from_json`); the others hold the circuit alone. All name edges as METHOD does. All say where the circuit comes
from and what is left out of it: `source` in JSON, Parquet and GraphML, columns of a CSV, which has no other place.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.circuits.edges import EdgeTable
from engine.circuits.filters import KINDS, Filters, choose
from engine.circuits.graph import Graph
from engine.errors import UserError
from engine.files.csv_text import csv_of_table
from engine.models.architecture import read_config
from engine.models.hub import snapshot
from engine.models.pairs import pair_named
from engine.runs import lifecycle, read
from engine.runs.records import Run, short_key
from engine.schema.vocabulary import TOTAL

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

NO_FILTERS = Filters()
IN_CSV = ("pair", "model", "task", "method", "part", "k", "filters", "run", "method_version")  # of `Circuit.source`


@dataclass(frozen=True)
class Other:
    """The circuit of the other model with which edges are shared, or not: a part of a stored run."""

    key: str
    part: str = TOTAL


@dataclass(frozen=True)
class Circuit:
    """What a file is made from: every edge of a part, strongest first, and which of the first `k` are the circuit."""

    run: Run
    part: str
    table: EdgeTable
    k: int
    filters: Filters
    kept: NDArray[np.bool_]  # [rank below k]
    shared: NDArray[np.bool_] | None = None  # [rank below k]: whether the edge is in the other circuit too
    other: Other | None = None

    @property
    def graph(self) -> Graph:
        return self.run.meta.graph

    @property
    def source(self) -> dict[str, Any]:
        """Where the numbers come from and what of them is here, as texts and numbers, for every file."""
        run = self.run
        other = {} if self.other is None else {"other_run": self.other.key, "other_part": self.other.part}
        return {
            "run": run.key,
            **run.spec.as_dict(),
            "part": self.part,
            "k": self.k,
            "filters": ", ".join(self.filters.words) or "none",
            "edges": int(self.kept.sum()),
            **other,
            "method_version": run.method_version or "unknown",
            "versions": ", ".join(f"{name} {version}" for name, version in run.meta.versions.items()),
            "created": run.created,
            "imported": run.imported or "no",
            "remarks": " ".join(run.meta.remarks) or "none",
        }


def circuit(key: str, k: int, part: str = TOTAL, filters: Filters = NO_FILTERS, other: Other | None = None) -> Circuit:
    """What `filters` leave of the top `k` edges of a part of a stored run, compared with those of `other`.

    Raises:
        UserError: no such run or part, no `k` edges in the graph, or shared edges are asked for without `other`.
    """
    run, table = lifecycle.get(key), read.edge_table(key, part)
    if not 1 <= k <= len(table.edge):
        raise UserError(f"k is {k}. Choose a number of edges from 1 to {len(table.edge)}.")
    shared = None if other is None else np.isin(table.edge[:k], read.edge_table(other.key, other.part, k).edge)
    kept = choose(run.meta.graph, table.edge[:k], table.score[:k], filters, shared).keep
    return Circuit(run, part, table, k, filters, kept, shared, other)


def export(
    key: str, k: int, format: str, part: str = TOTAL, filters: Filters = NO_FILTERS, other: Other | None = None
) -> bytes:
    """The file's content: what `filters` leave of the circuit of `k` edges, in one of FORMATS."""
    if format not in FORMATS:
        raise UserError(f"format is {format!r}. Choose one of: {', '.join(FORMATS)}.")
    return FORMATS[format](circuit(key, k, part, filters, other))


def file_name(run: Run, k: int, format: str, part: str = TOTAL, filters: Filters = NO_FILTERS) -> str:
    """What to call the file, as in `embedded-arm-ioi-total-200-positive-pruned-1a2b3c4d5e.json`."""
    return f"{file_stem(run, k, part, filters)}.{format}"


def file_stem(run: Run, k: int, part: str = TOTAL, filters: Filters = NO_FILTERS) -> str:
    """A file's name without its ending."""
    model = run.spec.model.replace(":", "")
    chosen = f"-{filters.stem}" if filters.active else ""
    return f"{run.spec.pair}-{model}-{run.spec.task}-{part}-{k}{chosen}-{short_key(run.key)}"


def to_json(circuit: Circuit) -> bytes:
    """EAP-IG's format: {cfg, nodes: {name: {in_graph}}, edges: {name: {score, in_graph}}}."""
    graph, table = circuit.graph, circuit.table
    names = edge_names(graph)
    nodes = _nodes_of(circuit)
    inside = np.zeros(len(table.edge), dtype=bool)
    inside[: circuit.k] = circuit.kept
    edges = {
        names[edge]: {"score": score, "in_graph": kept}
        for edge, score, kept in zip(table.edge, table.score.tolist(), inside.tolist(), strict=True)
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
    for node in np.flatnonzero(_nodes_of(circuit)):
        drawn.add_node(names[node], layer=int(layers[node]))
    for row in edge_rows(circuit).to_pylist():
        target = row["destination"].partition("<")[0]
        labels = {field: row[field] for field in ("name", "kind", "rank", "score", "shared") if field in row}
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
    """The circuit's edges, each row with where it comes from."""
    import pyarrow as pa

    table, source = edge_rows(circuit), circuit.source
    for name in IN_CSV:
        table = table.append_column(name, pa.repeat(str(source[name]), len(table)))
    return csv_of_table(table)


FORMATS: dict[str, Callable[[Circuit], bytes]] = {
    "json": to_json,
    "graphml": to_graphml,
    "parquet": to_parquet,
    "csv": to_csv,
}


def edge_rows(circuit: Circuit) -> pa.Table:
    """The circuit's edges, strongest first: rank (1 = strongest), edge, name, source, destination, kind, score.

    Compared with another circuit, also whether an edge is `shared` with it.
    """
    import pyarrow as pa

    graph, rank = circuit.graph, np.flatnonzero(circuit.kept)
    edge, score = circuit.table.edge[rank], circuit.table.score[rank]
    source, destination = graph.edge_source[edge], graph.edge_destination[edge]
    sources, destinations = np.array(graph.node_names)[source], np.array(graph.destination_names)[destination]
    columns = {
        "rank": pa.array((rank + 1).astype(np.int32)),
        "edge": pa.array(edge),
        "name": pa.array([f"{a}->{b}" for a, b in zip(sources, destinations, strict=True)], pa.string()),
        "source": pa.array(sources.tolist(), pa.string()),
        "destination": pa.array(destinations.tolist(), pa.string()),
        "kind": pa.array([KINDS[kind] for kind in graph.destination_kind[destination]], pa.string()),
        "score": pa.array(score),
    }
    if circuit.shared is not None:
        columns["shared"] = pa.array(circuit.shared[rank])
    return pa.table(columns)


def edge_names(graph: Graph) -> list[str]:
    """The name of every edge, by index."""
    sources, destinations = np.array(graph.node_names), np.array(graph.destination_names)
    ends = zip(sources[graph.edge_source], destinations[graph.edge_destination], strict=True)
    return [f"{source}->{destination}" for source, destination in ends]


def _nodes_of(circuit: Circuit) -> NDArray[np.bool_]:
    """[node]: whether an edge of the circuit touches it; `logits` always, as in the reference."""
    graph, edge = circuit.graph, circuit.table.edge[: circuit.k][circuit.kept]
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
