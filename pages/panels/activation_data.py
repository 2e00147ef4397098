"""What the activations page reads and works out from the cache, by run key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from engine.circuits import intervals, profiles
from engine.circuits.intervals import BandContrast, Scored, SpecialisationIntervals
from engine.runs import lifecycle, read
from engine.runs.rows import Head
from pages.figures.activations import Norms
from pages.shared import cached_reads
from pages.shared.state import TOTAL

LENS = ("residual_entropy", "residual_top", "node_entropy", "node_top")
NUMBERS = ("neuron", "attribution", "mean", "high", "active", "counts", "promoted")


@dataclass(frozen=True)
class Behind:
    """A neuron of a layer; `in_bin`: its activations in the bin asked for, over all tokens."""

    neuron: int
    attribution: float
    mean: float
    high: float
    active: float
    promoted: tuple[str, ...]
    in_bin: int | None


@dataclass(frozen=True)
class NeuronSpread:
    """How |attribution| is spread over all neurons: over all examples, over the even and over the odd ones."""

    effective_number: tuple[float, float, float]
    gini: tuple[float, float, float]


@st.cache_data(show_spinner=False, max_entries=256)
def specialisation(arm: str, mdm: str, k: int, boundary: int) -> SpecialisationIntervals:
    """How the two circuits of K edges are spread, with intervals over examples."""
    run = lifecycle.get(arm)
    return intervals.specialisation(run.meta.graph, _scored(arm, k), _scored(mdm, k), run.spec.n, boundary)


@st.cache_data(show_spinner=False, max_entries=64)
def lens_bands(arm: str, mdm: str) -> dict[str, tuple[BandContrast, BandContrast]]:
    """By measure of LENS: means over examples by layer, and means over examples and layers, with intervals."""
    tables = [cached_reads.columns(key, "lens_layers") for key in (arm, mdm)]
    return {name: _lens_band(*(_by_example(table, name) for table in tables)) for name in LENS}


@st.cache_data(show_spinner=False, max_entries=64)
def neuron_spread(key: str) -> NeuronSpread:
    table = cached_reads.columns(key, "neurons", ("attribution", "half_a", "half_b"))
    shares = [np.abs(table[name].astype(np.float64)) for name in ("attribution", "half_a", "half_b")]
    numbers = tuple(profiles.effective_number(share) for share in shares)
    ginis = tuple(profiles.gini(share) for share in shares)
    return NeuronSpread(numbers, ginis)  # type: ignore[arg-type]


@st.cache_data(show_spinner=False, max_entries=512)
def neurons_behind(key: str, layer: int, bin_index: int | None, most: int) -> list[Behind]:
    """A layer's neurons with the largest |attribution|, or those with the most activations in a bin."""
    table = read.table(key, "neurons", NUMBERS, layer=layer)
    height = np.abs(table["attribution"].to_numpy())
    counts = None
    if bin_index is not None:
        flat = table["counts"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        counts = height = flat.reshape(table.num_rows, -1)[:, bin_index]
    order = np.argsort(-height, kind="stable")[:most]
    order = order[height[order] > 0]
    return [
        Behind(
            neuron=row["neuron"],
            attribution=row["attribution"],
            mean=row["mean"],
            high=row["high"],
            active=row["active"],
            promoted=tuple(row["promoted"]),
            in_bin=None if counts is None else int(counts[index]),
        )
        for index, row in zip(order, table.take(order).to_pylist(), strict=True)
    ]


@st.cache_data(show_spinner=False, max_entries=64)
def residual_norms(arm: str, mdm: str) -> tuple[Norms, Norms, NDArray[np.int_]]:
    """Norms of both models on the offsets that either has, [0 = embedding .. n_layers, offset]; and the offsets."""
    tables = [cached_reads.columns(key, "residual_norms") for key in (arm, mdm)]
    offsets = np.unique(np.concatenate([table["offset"] for table in tables]))
    layers = 1 + max(int(table["layer"].max(initial=0)) for table in tables)
    made = []
    for model, table in zip(("arm", "mdm"), tables, strict=True):
        mean = np.full((layers, len(offsets)), np.nan)
        mean[table["layer"], np.searchsorted(offsets, table["offset"])] = table["mean"]
        made.append(Norms(model, mean))
    return made[0], made[1], offsets


@st.cache_data(show_spinner=False, max_entries=64)
def head_norms(key: str, model: str, region: str) -> Norms:
    """Norms of what every head writes at the tokens of a region, [layer, head]."""
    graph = lifecycle.get(key).meta.graph
    mean = np.full((graph.n_layers, graph.n_heads), np.nan)
    for head in cached_reads.rows(Head, key):
        layer, number = divmod(head.node - 1, graph.n_heads + 1)
        mean[layer, number] = getattr(head, f"norm_{region}")
    return Norms(model, mean)


def _scored(key: str, k: int) -> Scored:
    table = cached_reads.edges(key, TOTAL, k)
    return Scored(table.edge, table.score, cached_reads.edge_blocks(key))


def _by_example(table: dict[str, NDArray[Any]], name: str) -> NDArray[np.float64]:
    """[example, layer] of a column of lens_layers."""
    found = np.zeros((int(table["example"].max()) + 1, int(table["layer"].max()) + 1))
    found[table["example"], table["layer"]] = table[name]
    return found


def _lens_band(arm: NDArray[np.float64], mdm: NDArray[np.float64]) -> tuple[BandContrast, BandContrast]:
    whole = intervals.mean_contrast(arm.mean(1), mdm.mean(1))
    return intervals.mean_contrast(arm, mdm), whole
