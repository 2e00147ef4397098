"""Read a circuit that another program found: the JSON of EAP-IG and of the MIB benchmark, checked row by row.

Both have one layout (hannamw/EAP-IG, `Graph.to_json`; MIB's circuit track reads the same):

    {"cfg": {"n_layers", "n_heads", "parallel_attn_mlp", "d_model"},
     "nodes": {name: {"in_graph"}},
     "edges": {name: {"score", "in_graph"}}}

1. The text is read within bounds (engine/files/reading.py); a name twice is refused, as readers differ in which counts.
2. The sizes, every node and every edge must be those of the model that the circuit is said to be of.
3. Edges have a score each, or `in_graph` each, or both. Without scores an edge within the circuit counts as 1, all
   others as 0. A file that says `in_graph` may leave edges out: they have the score 0, so that they rank last.

A file that lists every edge with its score needs no `in_graph`. What else a file has (as `source`, which our own
exports add) is not read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.circuits.comparison import order_of
from engine.errors import UserError, shortened
from engine.exchange.circuit_formats import edge_names
from engine.files.reading import read_json_table, read_text
from engine.models.architecture import Shape
from engine.schema.columns import LARGEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.circuits.graph import Graph

MOST = 2**28  # bytes of a file; a model of 1.6 million edges takes 120 MB
LONGEST_NAME = 80  # characters of a file's name that are kept
ENDS = re.compile(r"(?P<source>[^<>]+)->(?P<node>[^<>]+)(<(?P<read>[qkv])>)?")


@dataclass(frozen=True)
class CircuitFile:
    """What a file says: `score` [edge] in float32, by the graph's indices; `remarks`: what to know of it."""

    name: str
    score: NDArray[np.float32]
    remarks: tuple[str, ...]

    @property
    def source(self) -> str:
        """20 hexadecimal digits that are the same for the same scores only."""
        canonical = (self.score + np.float32(0)).astype("<f4")  # without minus zero
        return hashlib.sha256(canonical.tobytes()).hexdigest()[:20]


@dataclass(frozen=True)
class _Listed:
    """The edges that a file lists, [edge] each: whether it does, the score, and whether it is within the circuit.

    `score` None: the file has no scores; `inside` None: it does not say which edges are in its circuit.
    """

    there: NDArray[np.bool_]
    score: NDArray[np.float64] | None
    inside: NDArray[np.bool_] | None


def read_circuit(path: Path, graph: Graph, shape: Shape) -> CircuitFile:
    """The scores in a file, which must be of a model with this graph and shape.

    Raises:
        UserError: it cannot be read, is of another model, or says something that cannot be; the text says what.
    """
    what = f"The circuit file {shortened(path.name)}"
    if path.suffix in (".pt", ".pth"):
        raise UserError(
            f"{what} is one of PyTorch's, which can run code when it is read. Write it as JSON, as EAP-IG's "
            "Graph.to_json does."
        )
    content = read_json_table(read_text(path, what, MOST), what, exact=True)
    fields = {name: _table(content, name, what) for name in ("cfg", "nodes", "edges")}
    _check_shape(fields["cfg"], shape, what)
    node_scores = _check_nodes(fields["nodes"], graph, what)
    listed = _edges(fields["edges"], graph, what)
    score = _scores(listed, graph, what)
    name = path.name if len(path.name) <= LONGEST_NAME else f"{path.name[:LONGEST_NAME]}..."
    return CircuitFile(name, score, _remarks(name, listed, score, node_scores))


def _table(content: Mapping[str, Any], name: str, what: str) -> dict[str, Any]:
    if name not in content:
        raise UserError(
            f"{what} lacks the field {name!r}. A circuit has cfg, nodes and edges, as EAP-IG's Graph.to_json writes."
        )
    value = content[name]
    if not isinstance(value, dict):
        raise UserError(f"{name} in {_within(what)} is {shortened(value)}. It must be a table by name.")
    return value


def _check_shape(cfg: Mapping[str, Any], shape: Shape, what: str) -> None:
    """Refuse the circuit of another architecture."""
    for name, wanted in (("n_layers", shape.layers), ("n_heads", shape.heads), ("d_model", shape.d_model)):
        value = cfg.get(name)
        if value is None and name == "d_model":  # our exports cannot name it where the model is not there
            continue
        if type(value) is not int:
            raise UserError(f"{name} in cfg of {_within(what)} is {shortened(value)}. It must be a whole number.")
        if value != wanted:
            raise UserError(f"{what} is of another architecture: its {name} is {value}, and this model's is {wanted}.")
    parallel = cfg.get("parallel_attn_mlp", False)
    if type(parallel) is not bool:
        raise UserError(
            f"parallel_attn_mlp in cfg of {_within(what)} is {shortened(parallel)}. It must be true or false."
        )
    if parallel:
        raise UserError(
            f"{what} is of another architecture: in its model attention and MLP of a layer read the same residual "
            "(parallel_attn_mlp), and in this one the MLP reads what attention writes."
        )


def _check_nodes(nodes: Mapping[str, Any], graph: Graph, what: str) -> bool:
    """Refuse nodes that the model has not; whether nodes have scores."""
    known, scored = set(graph.node_names), False
    for name, fields in nodes.items():
        if name not in known:
            raise UserError(f"{what} has a node {shortened(name)}, which this model has not.")
        node = f"the node {name} in {_within(what)}"
        if not isinstance(fields, dict):
            raise UserError(f'The{node[3:]} is {shortened(fields)}. It must be a table, as in {{"in_graph": true}}.')
        _truth(fields, "in_graph", node)
        if {"neurons", "neurons_scores"} & fields.keys():
            raise UserError(f"{what} chooses neurons within {name}. Only circuits of whole heads and MLPs can be read.")
        if "score" in fields:
            _number(fields["score"], node)
            scored = True
    return scored


def _edges(edges: Mapping[str, Any], graph: Graph, what: str) -> _Listed:
    """The edges of a file, each of which the graph must have."""
    numbers = {name: number for number, name in enumerate(edge_names(graph, np.arange(graph.n_edges, dtype=np.int32)))}
    there, inside = np.zeros((2, graph.n_edges), dtype=bool)
    score, where = np.zeros(graph.n_edges), _within(what)
    for name, fields in edges.items():
        number, edge = numbers.get(name), f"the edge {name} in {where}"
        if number is None:
            raise UserError(f"{what} has an edge {shortened(name)}{_why_no_edge(name, graph)}.")
        if not isinstance(fields, dict):
            example = '{"score": 0.5, "in_graph": true}'
            raise UserError(f"The{edge[3:]} is {shortened(fields)}. It must be a table, as in {example}.")
        there[number] = True
        if "score" in fields:
            score[number] = _number(fields["score"], edge)
        if "in_graph" in fields:
            inside[number] = _truth(fields, "in_graph", edge)
    if not edges:
        raise UserError(f"{what} has no edges.")
    has_scores, has_inside = (_have(edges, field, what) for field in ("score", "in_graph"))
    if not has_scores and not has_inside:
        raise UserError(f"The edges in {_within(what)} have neither score nor in_graph.")
    return _Listed(there, score if has_scores else None, inside if has_inside else None)


def _have(edges: Mapping[str, Any], field: str, what: str) -> bool:
    """Whether edges have a field: all of them, or none."""
    lacking = [name for name, fields in edges.items() if field not in fields]
    if 0 < len(lacking) < len(edges):
        raise UserError(f"The edge {lacking[0]} in {_within(what)} has no {field}, and other edges have one.")
    return not lacking


def _scores(listed: _Listed, graph: Graph, what: str) -> NDArray[np.float32]:
    """[edge]: the scores by which edges rank."""
    if listed.inside is None and not listed.there.all():
        missing = np.flatnonzero(~listed.there)
        raise UserError(
            f"{what} lacks {len(missing)} of the model's {graph.n_edges} edges, the first is "
            f"{graph.edge_name(int(missing[0]))}. Edges can only be left out where in_graph says of the others whether "
            "they are in the circuit."
        )
    score = np.asarray(listed.inside if listed.score is None else listed.score, dtype=np.float32)
    if not score.any():
        raise UserError(f"{what} ranks nothing: none of its edges has a score other than 0 or is in the circuit.")
    return score


def _remarks(name: str, listed: _Listed, score: NDArray[np.float32], node_scores: bool) -> tuple[str, ...]:
    """What to know before the circuit is believed, in sentences."""
    remarks = [f"This circuit is from elsewhere: the file {name}. How its scores were computed is not known here."]
    left_out = int((~listed.there).sum())
    if left_out:
        remarks.append(f"The file leaves out {left_out:,} edges: they have the score 0 and rank last, by their index.")
    if listed.inside is not None:
        inside = int(listed.inside.sum())
        if listed.score is None:
            remarks.append(
                f"The file has no scores. The {inside:,} edges of its circuit have the score 1 and all others 0, so "
                f"that only K = {inside:,} is its circuit."
            )
        else:
            among = int(listed.inside[order_of(score)[:inside]].sum())
            if among < inside:
                remarks.append(
                    f"The file marks {inside:,} edges as its circuit. {among:,} of them are among the {inside:,} with "
                    "the largest |score|, by which edges rank here."
                )
    if node_scores:
        remarks.append("The file's scores of nodes are not used.")
    return tuple(remarks)


def _why_no_edge(name: str, graph: Graph) -> str:
    """Why the graph has no edge of a name, as the end of a sentence."""
    ends = ENDS.fullmatch(name)
    if not ends:
        return ", which is no name of an edge as in a0.h3->m2 or m1->a5.h0<q>"
    for node in (ends["source"], ends["node"]):
        if node not in graph.node_names:
            return f", whose node {shortened(node)} this model has not"
    if ends["node"].startswith("a") and not ends["read"]:
        return ", which does not say whether q, k or v of the head reads it"
    return ", which this model has not: its end does not read what its beginning writes"


def _number(value: object, of: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"The score of {of} is {shortened(value)}. It must be a number.")
    if not abs(value) <= LARGEST:
        raise UserError(f"The score of {of} is {shortened(value)}. It must be from {-LARGEST:g} to {LARGEST:g}.")
    return float(value)


def _truth(fields: Mapping[str, Any], name: str, of: str) -> bool:
    if name not in fields:
        raise UserError(f"{of[0].upper()}{of[1:]} has no {name}.")
    if type(fields[name]) is not bool:
        raise UserError(f"{name} of {of} is {shortened(fields[name])}. It must be true or false.")
    return bool(fields[name])


def _within(what: str) -> str:
    """What a sentence is about, in the middle of it."""
    return what[0].lower() + what[1:]
