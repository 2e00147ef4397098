"""Read and keep, by run key, what the activations page shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from engine.circuits import intervals, neuron_ranking
from engine.circuits.intervals import BandContrast, Scored, SpecialisationIntervals
from engine.circuits.neuron_ranking import Spread
from engine.runs import layer_tables, read, stored
from engine.runs.rows import LayerHistogram
from pages.figures.activation_maps import Norms
from pages.shared import cached_reads
from pages.shared.state import TOTAL

NUMBERS = ("neuron", "attribution", "mean", "high", "active", "counts", "promoted")


@dataclass(frozen=True)
class ListedNeuron:
    """A neuron of a layer; `in_bin`: its activations in the bin asked for, over all tokens."""

    neuron: int
    attribution: float
    mean: float
    high: float
    active: float
    promoted: tuple[str, ...]
    in_bin: int | None


@st.cache_data(show_spinner=False, max_entries=256)
def specialisation(arm: str, mdm: str, k: int, boundary: int) -> SpecialisationIntervals:
    """How the two circuits of K edges are spread, with intervals over examples."""
    run = stored.get(arm)
    return intervals.specialisation(run.meta.graph, _scored(arm, k), _scored(mdm, k), run.spec.n, boundary)


@st.cache_data(show_spinner=False, max_entries=64)
def lens_bands(arm: str, mdm: str) -> dict[str, tuple[BandContrast, BandContrast]]:
    """By measure of LENS_MEASURES: means over examples by layer, and over examples and layers, with intervals."""
    return layer_tables.lens_bands(*(cached_reads.columns(key, "lens_layers") for key in (arm, mdm)))


@st.cache_data(show_spinner=False, max_entries=64)
def neuron_spread(key: str) -> Spread:
    table = cached_reads.columns(key, "neurons", ("attribution", "half_a", "half_b"))
    return neuron_ranking.spread(table["attribution"], (table["half_a"], table["half_b"]))


@st.cache_data(show_spinner=False, max_entries=512)
def listed_neurons(key: str, layer: int, bin_index: int | None, most: int) -> list[ListedNeuron]:
    """A layer's neurons with the largest |attribution|, or those with the most activations in a bin."""
    table = read.table(key, "neurons", NUMBERS, layer=layer)
    counts = None
    if bin_index is not None:
        flat = table["counts"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        counts = flat.reshape(table.num_rows, -1)[:, bin_index]
    order = neuron_ranking.largest(np.abs(table["attribution"].to_numpy()) if counts is None else counts, most)
    return [
        ListedNeuron(
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
    of_arm, of_mdm, offsets = layer_tables.residual_norms(
        *(cached_reads.columns(key, "residual_norms") for key in (arm, mdm))
    )
    return Norms("arm", of_arm), Norms("mdm", of_mdm), offsets


@st.cache_data(show_spinner=False, max_entries=64)
def head_norms(key: str, model: str, region: str) -> Norms:
    """Norms of what every head writes at the tokens of a region, [layer, head]."""
    norm = f"norm_{region}"
    columns = cached_reads.columns(key, "heads", ("node", norm))
    return Norms(model, layer_tables.head_norms(cached_reads.graph_of(key), columns["node"], columns[norm]))


def histograms(key: str, region: str) -> list[LayerHistogram]:
    """Of the tokens of a region, by layer."""
    rows = [row for row in cached_reads.rows(LayerHistogram, key) if row.region == region]
    return sorted(rows, key=lambda row: row.layer)


def _scored(key: str, k: int) -> Scored:
    table = cached_reads.edges(key, TOTAL, k)
    return Scored(table.edge, table.score, cached_reads.edge_blocks(key))
