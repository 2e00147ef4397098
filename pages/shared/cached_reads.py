"""Reads of the cache that are kept between reruns, by run key.

A key stands for numbers that never change, so nothing here expires; sizes are bounded. Nothing here touches a model.
"""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from engine import settings
from engine.circuits import comparison as circuit
from engine.circuits import profiles
from engine.circuits.edges import EdgeBlocks, EdgeTable, OverlapCurve, RankedEdges
from engine.circuits.graph import Graph
from engine.runs import lifecycle, read, stored
from engine.runs.records import Run
from engine.runs.rows import (
    Neuron,
    NodeLens,
    Row,
)
from engine.runs.spec import RunSpec
from engine.schema.vocabulary import HALVES

PREFIXES = (5_000, 50_000, 2**31 - 1)  # edges read at once: the smallest that holds the circuit asked for
PUBLISHED = settings.ROOT / "assets" / "published.toml"


def run_of(spec: RunSpec) -> Run | None:
    """The stored run of a spec, or None."""
    return lifecycle.find(spec)


@st.cache_resource(show_spinner=False, max_entries=256)
def graph_of(key: str) -> Graph:
    """The architecture of a run."""
    return stored.get(key).meta.graph


def edges(key: str, part: str, k: int) -> EdgeTable:
    """The `k` strongest edges of a part: of a prefix that is kept, so that sliding K reads nothing."""
    kept = _prefix(key, part, next(size for size in PREFIXES if k <= size))
    return EdgeTable(kept.edge[:k], kept.score[:k])


@st.cache_resource(show_spinner=False, max_entries=48)
def _prefix(key: str, part: str, size: int) -> EdgeTable:
    """Shared by all sessions as it is, so nobody may write to it."""
    table = read.edge_table(key, part, size)
    table.edge.flags.writeable = table.score.flags.writeable = False
    return table


@st.cache_data(show_spinner=False, max_entries=128)
def node_edges(key: str, part: str, node: int, outgoing: bool) -> RankedEdges:
    """The edges that leave or reach a node, with rank and score, by edge index."""
    graph = graph_of(key)
    ends = graph.edge_source if outgoing else graph.destination_node[graph.edge_destination]
    ranked = read.edges_among(key, part, np.flatnonzero(ends == node).astype(np.int32))
    order = np.argsort(ranked.edge)
    return RankedEdges(ranked.edge[order], ranked.rank[order], ranked.score[order])


@st.cache_data(show_spinner=False, max_entries=128)
def overlap_curve(key_a: str, key_b: str, part_a: str, part_b: str) -> OverlapCurve:
    return read.overlap_curve(key_a, key_b, part_a, part_b)


@st.cache_data(show_spinner=False, max_entries=1024)
def overlap(key_a: str, key_b: str, part_a: str, part_b: str, k: int) -> float:
    """The Jaccard index of two circuits of `k` edges."""
    return circuit.overlap_of(edges(key_a, part_a, k).edge, edges(key_b, part_b, k).edge)


def split_half(arm: Run, mdm: Run, k: int) -> circuit.SplitHalf | None:
    """The three like-with-like overlaps on half of the prompts each; None where there are no two halves."""
    return _split_half(arm.key, mdm.key, k) if arm.has_halves and mdm.has_halves else None


@st.cache_data(show_spinner=False, max_entries=1024)
def _split_half(arm: str, mdm: str, k: int) -> circuit.SplitHalf:
    of_arm, of_mdm = ([edges(key, part, k).edge for part in HALVES] for key in (arm, mdm))
    return circuit.split_half((of_arm[0], of_arm[1]), (of_mdm[0], of_mdm[1]))


@st.cache_data(show_spinner=False, max_entries=512)
def comparison(arm: str, mdm: str, part_arm: str, part_mdm: str, k: int) -> circuit.Comparison:
    return circuit.compare(graph_of(arm), edges(arm, part_arm, k), edges(mdm, part_mdm, k), k)


@st.cache_data(show_spinner=False, max_entries=512)
def layer_shares(key: str, part: str, k: int) -> NDArray[np.float64]:
    """[n_layers]: the shares of the importance of the top K by layer."""
    graph, table = graph_of(key), edges(key, part, k)
    return profiles.layer_profile(graph, profiles.importance(graph, table.edge, table.score))


@st.cache_data(show_spinner=False, max_entries=512)
def node_lens(key: str, readout: int, node: int) -> NodeLens:
    return read.node_lens(key, readout, node)


@st.cache_data(show_spinner=False, max_entries=16)
def edge_blocks(key: str) -> EdgeBlocks:
    return read.edge_blocks(key)


@st.cache_data(show_spinner=False, max_entries=512)
def neuron(key: str, layer: int, neuron: int) -> Neuron:
    return read.neuron(key, layer, neuron)


@st.cache_data(show_spinner=False, max_entries=128)
def attention_patterns(key: str, node: int) -> dict[int, NDArray[np.float32]]:
    """Attention [query, key] by kept input."""
    return read.attention_patterns(key, node)


def rows(kind: type[Row], key: str, /, **where: int | str) -> list[Row]:
    """The rows of a table as records, a list of the caller's own."""
    return list(_rows(kind, key, **where))


def row(kind: type[Row], key: str, /, **where: int | str) -> Row | None:
    """The first of `rows`, or None."""
    return next(iter(_rows(kind, key, **where)), None)


@st.cache_resource(show_spinner=False, max_entries=512)
def _rows(kind: type[Row], key: str, /, **where: int | str) -> tuple[Row, ...]:
    """Frozen, so that all sessions can share them."""
    return tuple(read.rows(kind, key, **where))


@st.cache_data(show_spinner=False, max_entries=64)
def columns(key: str, table: str, names: tuple[str, ...] = (), /, **where: int | str | None) -> dict[str, NDArray[Any]]:
    """Columns of a table as arrays [row], or [row, entry] where its lists have one length (all: none named)."""
    content = read.table(key, table, names, **where)
    return {name: _as_array(content[name]) for name in content.column_names}


def _as_array(column: Any) -> NDArray[Any]:
    """An Arrow column as numpy; lists of one length become rows."""
    joined = column.combine_chunks()
    if not hasattr(joined, "flatten") or joined.type.num_fields == 0:
        return np.asarray(joined.to_numpy(zero_copy_only=False))
    return np.asarray(joined.flatten().to_numpy(zero_copy_only=False)).reshape(len(joined), -1)


@st.cache_data(show_spinner=False)
def published() -> dict[str, Any]:
    """assets/published.toml: the paper and what it reports."""
    return tomllib.loads(PUBLISHED.read_text())
