"""Everything that is kept between reruns: the queue of jobs, and readings of the cache by run key.

A key stands for numbers that never change, so nothing here expires; sizes are bounded. Nothing here touches a model.
"""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from engine import circuit, export, pipeline, settings
from engine.jobs import JobQueue
from engine.pipeline import EdgeTable, LayerLens, NodeLens, Readout
from engine.records import Run
from engine.spec import RunSpec

PUBLISHED = settings.ROOT / "assets" / "published.toml"


@st.cache_resource(show_spinner=False)
def job_queue() -> JobQueue:
    """The one queue of this process: closing a tab leaves its jobs running."""
    return JobQueue()


def found(spec: RunSpec) -> Run | None:
    return pipeline.find(spec)


@st.cache_data(show_spinner=False, max_entries=256)
def edges(key: str, part: str, k: int) -> EdgeTable:
    """The `k` strongest edges of a part: a prefix of a sorted table."""
    return pipeline.edge_table(key, part, k)


@st.cache_data(show_spinner=False, max_entries=16)
def by_edge(key: str, part: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Rank (0 = strongest) and score of every edge, by edge index."""
    table = pipeline.edge_table(key, part)
    rank = np.empty(len(table.edge), dtype=np.int32)
    rank[table.edge] = np.arange(len(table.edge), dtype=np.int32)
    score = np.empty(len(table.edge), dtype=np.float32)
    score[table.edge] = table.score
    return rank, score


@st.cache_data(show_spinner=False, max_entries=128)
def shared_counts(key_a: str, key_b: str, part_a: str, part_b: str) -> NDArray[np.int32]:
    return pipeline.overlap_curve(key_a, key_b, part_a, part_b)


def halves(key: str) -> NDArray[np.int32]:
    """A model with itself: the circuits of the even and the odd examples."""
    return shared_counts(key, key, "half-a", "half-b")


@st.cache_data(show_spinner=False, max_entries=512)
def comparison(arm: str, mdm: str, part_arm: str, part_mdm: str, k: int) -> circuit.Comparison:
    graph = pipeline.get(arm).meta.graph
    return circuit.compare(graph, edges(arm, part_arm, k), edges(mdm, part_mdm, k), k)


@st.cache_data(show_spinner=False, max_entries=512)
def layer_shares(key: str, part: str, k: int) -> NDArray[np.float64]:
    """[n_layers]: the shares of the importance of the top K by layer."""
    graph, table = pipeline.get(key).meta.graph, edges(key, part, k)
    return circuit.layer_profile(graph, circuit.importance(graph, table.edge, table.score))


@st.cache_data(show_spinner=False, max_entries=64)
def readouts(key: str) -> list[Readout]:
    return pipeline.readouts(key)


@st.cache_data(show_spinner=False, max_entries=512)
def node_lens(key: str, readout: int, node: int) -> NodeLens:
    return pipeline.node_lens(key, readout, node)


@st.cache_data(show_spinner=False, max_entries=128)
def residual_lens(key: str, readout: int) -> list[LayerLens]:
    return pipeline.residual_lens(key, readout)


@st.cache_data(show_spinner=False, max_entries=16)
def exported(key: str, k: int, format: str, part: str) -> bytes:
    return export.export(key, k, format, part)


@st.cache_data(show_spinner=False)
def published() -> dict[str, Any]:
    """assets/published.toml: the paper and what it reports."""
    return tomllib.loads(PUBLISHED.read_text())
