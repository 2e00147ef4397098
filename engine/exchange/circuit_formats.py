"""Write a circuit in the formats of other programs, a block of edges at a time: EAP-IG's JSON, GraphML, Parquet, CSV.

The JSON holds every edge and marks those of the circuit, as the reference implementation writes and reads it
(hannamw/EAP-IG, `Graph.to_json` / `Graph.from_json`); MIB's evaluation reads the same, as `importances.json`, and ranks
edges by their scores itself. The others hold the circuit alone. All name edges as METHOD does.
All but MIB's say where the circuit comes from and how many of its K edges which filters leave out: `source` in JSON,
in the metadata of Parquet, attributes of the graph in GraphML. A CSV has no such place: comments before its header
would need an option of every reader, so each row has columns that say it, and of a circuit without edges only the name
tells.

What is in memory at once is a block of edges and a few bytes for each edge of the graph, whatever the file's size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from engine.circuits.filters import KINDS
from engine.circuits.graph import Graph
from engine.errors import UserError
from engine.exchange.circuit import Circuit
from engine.files.csv_text import write_csv
from engine.models.architecture import read_config
from engine.models.pairs import pair_named
from engine.models.sources import there
from engine.runs.records import Run

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

OnEdges = Callable[[int, int], None]  # told how many edges are written, and of how many

BLOCK = 2**16  # edges
# Of `Circuit.source`: a row of a CSV has them after its own columns, where they are known.
IN_CSV = (
    *("pair", "model", "task", "method", "part", "k", "filters", "left_out", "run", "other_run", "other_part"),
    *("method_version", "versions"),
)

XML_TYPES: dict[type[object], str] = {bool: "boolean", int: "long", float: "double", str: "string"}
XML_EDGE = {"name": "string", "kind": "string", "rank": "long", "score": "double", "shared": "boolean"}
XML_HEAD = """<?xml version='1.0' encoding='utf-8'?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"\
 xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">
"""
_no_xml = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters that XML cannot hold


@dataclass(frozen=True)
class Format:
    """How a kind of file is written, and how large it is about to be."""

    write: Callable[[Circuit, BinaryIO, OnEdges], None]
    bytes_an_edge: int  # as measured in files of 1.6 million edges
    every_edge: bool = False  # whether it holds every edge of the graph, not those of the circuit alone
    ending: str = ""  # of a file's name, where it is not what the format is called


def write_json(circuit: Circuit, out: BinaryIO, on_edges: OnEdges) -> None:
    """EAP-IG's format: {cfg, nodes: {name: {in_graph}}, edges: {name: {score, in_graph}}}, and `source`."""
    _write_edges(circuit, out, on_edges)
    out.write(f', "source": {json.dumps(circuit.source)}}}'.encode())


def write_mib(circuit: Circuit, out: BinaryIO, on_edges: OnEdges) -> None:
    """What MIB's evaluation reads as importances.json: EAP-IG's format with nothing added, and with the model's width.

    Raises:
        UserError: the width is not known, as the model is not here.
    """
    if _width(circuit.run) is None:
        raise UserError(
            f"MIB's evaluation needs the width d_model of the model {circuit.run.spec.model} of the pair "
            f"{circuit.run.spec.pair}, which its config.json tells, and the model is not here."
        )
    _write_edges(circuit, out, on_edges)
    out.write(b"}")


def _write_edges(circuit: Circuit, out: BinaryIO, on_edges: OnEdges) -> None:
    """All of EAP-IG's format but the brace that ends it."""
    graph, table = circuit.graph, circuit.table
    inside = np.zeros(len(table.edge), dtype=bool)
    inside[: circuit.k] = circuit.kept
    nodes = zip(graph.node_names, circuit.nodes.tolist(), strict=True)
    cfg, named = json.dumps(_config(circuit.run)), json.dumps({name: {"in_graph": kept} for name, kept in nodes})
    out.write(f'{{"cfg": {cfg}, "nodes": {named}, "edges": {{'.encode())
    for block in _blocks(len(table.edge), on_edges):
        names, scores = edge_names(graph, table.edge[block]), table.score[block].tolist()
        rows = zip(names, scores, inside[block].tolist(), strict=True)
        edges = {name: {"score": score, "in_graph": kept} for name, score, kept in rows}
        out.write(((", " if block.start else "") + json.dumps(edges)[1:-1]).encode())
    out.write(b"}")


def write_graphml(circuit: Circuit, out: BinaryIO, on_edges: OnEdges) -> None:
    """A directed multigraph (q, k and v of a head are parallel edges), with layers, scores and ranks."""
    graph, source = circuit.graph, circuit.source
    fields = [field for field in XML_EDGE if field != "shared" or circuit.shared is not None]
    declared = [("graph", name, XML_TYPES[type(value)]) for name, value in source.items()]
    declared += [("node", "layer", "long"), *(("edge", field, XML_EDGE[field]) for field in fields)]
    keys = {(of, name): f"d{number}" for number, (of, name, _) in enumerate(declared)}
    out.write(XML_HEAD.encode())
    for of, name, kind in declared:
        attributes = f'for="{of}" attr.name={quoteattr(name)} attr.type="{kind}"'
        out.write(f'  <key id="{keys[of, name]}" {attributes} />\n'.encode())
    out.write(b'  <graph edgedefault="directed">\n')
    for name, value in source.items():
        out.write(f'    <data key="{keys["graph", name]}">{xml_text(value)}</data>\n'.encode())
    for node in np.flatnonzero(circuit.nodes):
        layer = f'<data key="{keys["node", "layer"]}">{graph.node_layer[node]}</data>'
        out.write(f"    <node id={quoteattr(graph.node_names[node])}>{layer}</node>\n".encode())
    labels = "".join(f'<data key="{keys["edge", field]}">%s</data>' for field in fields)
    row = f'    <edge source="%s" target="%s" id="%s">{labels}</edge>\n'
    for rows in edge_blocks(circuit, on_edges):
        columns = _xml_columns(rows)
        values = zip(*(columns[name] for name in ("source", "target", "name", *fields)), strict=True)
        out.write("".join(map(row.__mod__, values)).encode())
    out.write(b"  </graph>\n</graphml>\n")


def write_parquet(circuit: Circuit, out: BinaryIO, on_edges: OnEdges) -> None:
    """The circuit's edges as a table; `source` is JSON in the file's metadata."""
    import pyarrow.parquet as pq

    about = {"source": json.dumps(circuit.source)}
    blocks = edge_blocks(circuit, on_edges)
    first = next(blocks)
    repeated = ["source", "destination", "kind"]  # a dictionary of other columns would be as long as the column
    with pq.ParquetWriter(out, first.schema.with_metadata(about), use_dictionary=repeated) as writer:
        for rows in chain([first], blocks):
            writer.write_table(rows.replace_schema_metadata(about))


def write_rows(circuit: Circuit, out: BinaryIO, on_edges: OnEdges) -> None:
    """The circuit's edges as CSV, each row with where it comes from."""
    import pyarrow as pa

    source = circuit.source

    def with_source(rows: pa.Table) -> pa.Table:
        for name in filter(source.__contains__, IN_CSV):
            rows = rows.append_column(name, pa.repeat(str(source[name]), len(rows)))
        return rows

    write_csv(map(with_source, edge_blocks(circuit, on_edges)), out)


FORMATS = {
    "json": Format(write_json, 73, every_edge=True),
    "mib": Format(write_mib, 73, every_edge=True, ending="mib.json"),
    "graphml": Format(write_graphml, 256),
    "parquet": Format(write_parquet, 25),
    "csv": Format(write_rows, 256),
}


def edge_blocks(circuit: Circuit, on_edges: OnEdges) -> Iterator[pa.Table]:
    """`edge_rows` of the circuit, strongest first, BLOCK at a time; of an empty circuit, one table without rows."""
    ranks = np.flatnonzero(circuit.kept).astype(np.int32)
    for block in _blocks(len(ranks), on_edges):
        yield edge_rows(circuit, ranks[block])


def edge_rows(circuit: Circuit, ranks: NDArray[np.int32]) -> pa.Table:
    """Edges by `ranks` [row], from 0: rank (1 = strongest), edge, name, source, destination, kind, score.

    Compared with another circuit, also whether an edge is `shared` with it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    graph = circuit.graph
    edge, score = circuit.table.edge[ranks], circuit.table.score[ranks]
    destination = graph.edge_destination[edge]
    sources = pa.array(graph.node_names, pa.string()).take(pa.array(graph.edge_source[edge]))
    destinations = pa.array(graph.destination_names, pa.string()).take(pa.array(destination))
    columns = {
        "rank": pa.array(ranks + 1, pa.int32()),
        "edge": pa.array(edge),
        "name": pc.binary_join_element_wise(sources, destinations, "->"),
        "source": sources,
        "destination": destinations,
        "kind": pa.array(KINDS, pa.string()).take(pa.array(graph.destination_kind[destination])),
        "score": pa.array(score),
    }
    if circuit.shared is not None:
        columns["shared"] = pa.array(circuit.shared[ranks])
    return pa.table(columns)


def edge_names(graph: Graph, edges: NDArray[np.int32]) -> list[str]:
    """The names of `edges` [edge] (Graph's indices)."""
    sources, destinations = graph.node_names, graph.destination_names
    ends = zip(graph.edge_source[edges].tolist(), graph.edge_destination[edges].tolist(), strict=True)
    return [f"{sources[source]}->{destinations[destination]}" for source, destination in ends]


def xml_text(value: object) -> str:
    """A value as the text of an XML element; a character that XML cannot hold becomes U+FFFD."""
    if isinstance(value, bool):
        return str(value).lower()
    return escape(_no_xml.sub("\ufffd", str(value)), {"\r": "&#13;"})


def _xml_columns(rows: pa.Table) -> dict[str, list[Any]]:
    """The columns of `edge_rows` as texts of XML and numbers, and `target`: the node at which each edge ends."""
    import pyarrow.compute as pc

    texts = {name: rows[name] for name in ("name", "source", "destination", "kind")}
    texts["target"] = pc.replace_substring_regex(texts["destination"], "<.*", "")
    for character in "&<>":
        texts = {name: pc.replace_substring(text, character, escape(character)) for name, text in texts.items()}
    columns = {name: text.to_pylist() for name, text in texts.items()}
    columns |= {name: rows[name].to_pylist() for name in ("rank", "score")}
    if "shared" in rows.column_names:
        columns["shared"] = [xml_text(shared) for shared in rows["shared"].to_pylist()]
    return columns


def _blocks(rows: int, on_edges: OnEdges) -> Iterator[slice]:
    """Slices of BLOCK rows that cover all of them, at least one; reports after each how many are done."""
    for start in range(0, max(rows, 1), BLOCK):
        end = min(start + BLOCK, rows)
        yield slice(start, end)
        on_edges(end, rows)


def _config(run: Run) -> dict[str, Any]:
    """What the reference needs to rebuild the graph; its reader also wants d_model, which the model's config tells."""
    config = {"n_layers": run.meta.n_layers, "n_heads": run.meta.n_heads, "parallel_attn_mlp": False}
    width = _width(run)
    return config if width is None else {**config, "d_model": width}


def _width(run: Run) -> int | None:
    """The model's d_model, or None when it is not here (any more)."""
    try:
        folder = there(pair_named(run.spec.pair).folder(run.spec.model))
        config = read_config(folder) if folder else {}
    except UserError:
        return None
    width = config.get("hidden_size", config.get("n_embd"))
    return width if type(width) is int else None
