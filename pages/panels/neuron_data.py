"""Read and keep, by run key, what the neurons page shows: an MLP's neurons in both models, who promotes a token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import streamlit as st
from numpy.typing import NDArray

from engine.circuits import comparison, neuron_ranking
from engine.circuits.neuron_ranking import Agreement
from engine.runs import kept_inputs, read, stored, token_search
from engine.runs.kept_inputs import KeptPair
from engine.runs.rows import KeptInput
from engine.runs.token_search import Place, Promoter
from pages.figures.neurons import hover_of_promoted
from pages.shared import cached_reads

MODELS = ("arm", "mdm")
COSINES = ("cos_in", "cos_gate", "cos_out")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """The neurons of one MLP in both models: arrays are [neuron], dicts are by model."""

    number: int
    attribution: dict[str, Floats]
    halves: dict[str, tuple[Floats, Floats]]  # over even and over odd examples
    rank: dict[str, NDArray[np.int32]]  # by |attribution|, 0 = largest
    promoted: dict[str, list[tuple[str, ...]]]  # no tokens where what the weights alone say is not computed yet
    hover: NDArray[np.str_]  # what it promotes
    cosine: dict[str, Floats]  # "in", "gate", "out": the MDM's weights against the ARM's; nan where there are none
    correlation: Floats  # of activations; nan where no detail is kept in both models

    def __len__(self) -> int:
        return len(self.correlation)

    @property
    def strongest(self) -> int:
        """How many neurons count as the strongest."""
        return neuron_ranking.n_strongest(len(self))

    @property
    def among_strongest(self) -> dict[str, NDArray[np.bool_]]:
        return {model: self.rank[model] < self.strongest for model in MODELS}


def layer(arm: str, mdm: str, number: int) -> Layer:
    """An MLP's neurons, from the tables of two runs, as far as they are there."""
    return _layer(arm, mdm, number, knows_weights(arm, mdm))


def knows_weights(arm: str, mdm: str) -> bool:
    """Whether it is computed what the weights of both runs' neurons alone say: what they promote, how they changed."""
    return all(stored.has(stored.get(key), "weights") for key in (arm, mdm))


@st.cache_resource(show_spinner=False, max_entries=16)
def _layer(arm: str, mdm: str, number: int, with_weights: bool) -> Layer:
    """Shared by all sessions as it is, so nobody may write to it."""
    keys = dict(zip(MODELS, (arm, mdm), strict=True))
    names = ("attribution", "half_a", "half_b")
    numbers = {model: cached_reads.columns(key, "neurons", names, layer=number) for model, key in keys.items()}
    known, _ = correlations(arm, mdm, number)
    n = len(numbers["arm"]["attribution"])
    correlation = np.full(n, np.nan, np.float32)
    correlation[list(known)] = list(known.values())
    promoted: dict[str, list[tuple[str, ...]]] = {model: [()] * n for model in MODELS}
    cosines = {name: np.full(n, np.nan) for name in COSINES}
    if with_weights:
        for model, key in keys.items():
            tokens = cached_reads.columns(key, "neurons", ("promoted",), layer=number)["promoted"]
            promoted[model] = [tuple(row) for row in tokens.tolist()]
        cosines = cached_reads.columns(mdm, "neurons", COSINES, layer=number)
    return Layer(
        number=number,
        attribution={model: columns["attribution"] for model, columns in numbers.items()},
        halves={model: (columns["half_a"], columns["half_b"]) for model, columns in numbers.items()},
        rank={model: comparison.rank_of(columns["attribution"]) for model, columns in numbers.items()},
        promoted=promoted,
        hover=hover_of_promoted(promoted) if with_weights else np.full(n, ""),
        cosine={name.removeprefix("cos_"): values.astype(np.float32) for name, values in cosines.items()},
        correlation=correlation,
    )


def agreement(neurons: Layer) -> Agreement:
    """Correlation over all neurons, overlap of the strongest ones, with chance and the split-half overlaps."""
    attribution, halves = neurons.attribution, neurons.halves
    return neuron_ranking.agreement(attribution["arm"], attribution["mdm"], halves["arm"], halves["mdm"])


def kept_pairs(arm: str, mdm: str) -> list[KeptPair]:
    """The examples that both runs keep, in order."""
    return kept_inputs.kept_pairs(cached_reads.rows(KeptInput, arm), cached_reads.rows(KeptInput, mdm))


@st.cache_data(show_spinner=False, max_entries=64)
def correlations(arm: str, mdm: str, number: int) -> tuple[dict[int, float], int]:
    """Correlation of a layer's neurons' activations between the models, by neuron, and over how many prompt tokens."""
    return kept_inputs.activation_correlations(
        kept_pairs(arm, mdm),
        *(
            read.table(key, "neuron_tokens", ("input", "neuron", "activations"), layer=number).to_pylist()
            for key in (arm, mdm)
        ),
    )


def overall_rank(key: str, place: Place, n_neurons: int) -> int:
    """Rank of a neuron's |attribution| among all neurons of all layers, 0 = largest."""
    return neuron_ranking.overall_rank(attributions(key), place[0] * n_neurons + place[1])


def strongest_layer(arm: str, mdm: str, n_layers: int) -> int:
    """The layer of the neuron with the largest |attribution| in either model."""
    return neuron_ranking.strongest_layer(attributions(arm), attributions(mdm), n_layers)


def attributions(key: str) -> Floats:
    """[layer * neuron]: of every neuron of a run."""
    return np.asarray(cached_reads.columns(key, "neurons", ("attribution",))["attribution"])


@st.cache_data(show_spinner=False, max_entries=128)
def promoters(arm: str, mdm: str, text: str) -> list[Promoter]:
    """The neurons of all layers that promote a token in either model, the largest |attribution| first."""
    keys = dict(zip(MODELS, (arm, mdm), strict=True))
    rows: list[tuple[str, str, dict[str, Any]]] = [
        (model, token, row)
        for model, key in keys.items()
        for token in token_search.spellings(text)
        for row in read.neurons_promoting(key, token).to_pylist()
    ]
    strengths = {model: attributions(key) for model, key in keys.items()}
    return token_search.promoters(rows, strengths, stored.get(arm).meta.n_neurons)


@st.cache_data(show_spinner=False, max_entries=128)
def similar_tokens(arm: str, mdm: str, text: str) -> list[str]:
    """Tokens that some neuron does promote and that look like a text."""
    return token_search.similar_tokens([token for key in (arm, mdm) for token in _promoted_tokens(key)], text)


@st.cache_data(show_spinner=False, max_entries=8)
def _promoted_tokens(key: str) -> list[str]:
    lists = read.table(key, "neurons", ("promoted",))["promoted"]
    return [str(token) for token in pc.unique(pc.list_flatten(lists)).to_pylist()]
