"""What the neurons page reads of two runs: an MLP's neurons side by side, the kept inputs, who promotes a token."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import streamlit as st
from numpy.typing import NDArray

from engine.circuits import comparison
from engine.runs import lifecycle, read
from engine.runs.rows import KeptInput
from pages.figures.neurons import promoted_said
from pages.shared import cached_reads

STRONGEST = 50  # neurons whose overlap is told
MODELS = ("arm", "mdm")
MARKERS = " Ġ▁␣"  # what stands for the space before a word

Floats = NDArray[np.float32]
Spot = tuple[int, int]  # layer, neuron


@dataclass(frozen=True)
class Layer:
    """The neurons of one MLP in both models: arrays are [neuron], dicts are by model."""

    number: int
    attribution: dict[str, Floats]
    halves: dict[str, tuple[Floats, Floats]]  # over even and over odd examples
    rank: dict[str, NDArray[np.int32]]  # by |attribution|, 0 = largest
    promoted: dict[str, list[tuple[str, ...]]]
    said: NDArray[np.str_]  # of what it promotes, on hover
    cosine: dict[str, Floats]  # "in", "gate", "out": the MDM's weights against the ARM's; nan where there are none
    correlation: Floats  # of activations; nan where no detail is kept in both models

    def __len__(self) -> int:
        return len(self.correlation)

    @property
    def strongest(self) -> int:
        """How many neurons count as the strongest: 50, in a small MLP a quarter of them."""
        return min(STRONGEST, max(1, len(self) // 4))

    @property
    def among_strongest(self) -> dict[str, NDArray[np.bool_]]:
        return {model: self.rank[model] < self.strongest for model in MODELS}


@dataclass(frozen=True)
class Likeness:
    """How alike the attributions of an MLP's neurons are in both models."""

    n: int  # strongest neurons compared
    correlation: float
    shared: int
    jaccard: float
    chance: float
    halves: comparison.SplitHalf  # of the strongest on half of the examples each


@dataclass(frozen=True)
class Kept:
    """An example of which both models keep every token's detail; the MDM at several steps, in order."""

    example: int
    arm: KeptInput
    mdm: tuple[KeptInput, ...]

    @property
    def same_prompt(self) -> bool:
        arm, mdm = self.arm, self.mdm[0]
        return arm.tokens[: arm.start] == mdm.tokens[: mdm.start]


@dataclass(frozen=True)
class Promoter:
    """A neuron that promotes a token; `logit` and `attribution` by model, no logit where the model's doesn't."""

    spot: Spot
    token: str
    logit: dict[str, float]
    attribution: dict[str, float]


def spot_of(text: str, number: int | None = None) -> Spot | None:
    """The neuron that a text names: "3:117", "m3.117", or "117" in layer `number`; None when it names none."""
    found = re.fullmatch(r"\s*m?(\d{1,4})\s*[:.]\s*(\d{1,7})\s*", text)
    if found:
        return int(found[1]), int(found[2])
    alone = re.fullmatch(r"\s*(\d{1,7})\s*", text)
    return (number, int(alone[1])) if alone and number is not None else None


@st.cache_resource(show_spinner=False, max_entries=16)
def layer(arm: str, mdm: str, number: int) -> Layer:
    """An MLP's neurons, from the tables of two runs. Shared by all sessions as it is, so nobody may write to it."""
    keys = dict(zip(MODELS, (arm, mdm), strict=True))
    names = ("attribution", "half_a", "half_b", "promoted")
    columns_of = {model: cached_reads.columns(key, "neurons", names, layer=number) for model, key in keys.items()}
    cosines = cached_reads.columns(mdm, "neurons", ("cos_in", "cos_gate", "cos_out"), layer=number)
    known, _ = correlations(arm, mdm, number)
    n = len(columns_of["arm"]["attribution"])
    promoted = {model: [tuple(row) for row in columns["promoted"].tolist()] for model, columns in columns_of.items()}
    correlation = np.full(n, np.nan, np.float32)
    correlation[list(known)] = list(known.values())
    return Layer(
        number=number,
        attribution={model: columns["attribution"] for model, columns in columns_of.items()},
        halves={model: (columns["half_a"], columns["half_b"]) for model, columns in columns_of.items()},
        rank={model: comparison.rank_of(columns["attribution"]) for model, columns in columns_of.items()},
        promoted=promoted,
        said=promoted_said(promoted),
        cosine={name.removeprefix("cos_"): values.astype(np.float32) for name, values in cosines.items()},
        correlation=correlation,
    )


def likeness(neurons: Layer) -> Likeness:
    """Correlation over all neurons, overlap of the strongest ones, with chance and the overlaps on halves."""
    n = neurons.strongest
    shared = _shared(neurons.attribution["arm"], neurons.attribution["mdm"], n)
    (arm_a, arm_b), (mdm_a, mdm_b) = (
        [comparison.order_of(half)[:n] for half in neurons.halves[model]] for model in MODELS
    )
    return Likeness(
        n=n,
        correlation=correlation(neurons.attribution["arm"], neurons.attribution["mdm"]),
        shared=shared,
        jaccard=_jaccard(shared, n),
        chance=comparison.chance(n, len(neurons)),
        halves=comparison.split_half((arm_a, arm_b), (mdm_a, mdm_b)),
    )


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Pearson's; nan where one of the two doesn't vary."""
    if len(a) < 2 or not (np.ptp(a) and np.ptp(b)):
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def kept_pairs(arm: str, mdm: str) -> list[Kept]:
    """The examples that both runs keep, in order."""
    steps: dict[int, list[KeptInput]] = {}
    for one in cached_reads.rows(KeptInput, mdm):
        steps.setdefault(one.example, []).append(one)
    pairs = {one.example: one for one in cached_reads.rows(KeptInput, arm) if one.example in steps}
    return [Kept(example, one, tuple(steps[example])) for example, one in sorted(pairs.items())]


@st.cache_data(show_spinner=False, max_entries=64)
def correlations(arm: str, mdm: str, number: int) -> tuple[dict[int, float], int]:
    """Correlation of a layer's neurons' activations between the models, by neuron, and over how many tokens.

    Over the prompts that both runs keep, each token once; the MDM reads them at the first step that is kept. Only of
    neurons that keep their detail in both runs.
    """
    pairs = [kept for kept in kept_pairs(arm, mdm) if kept.same_prompt]
    numbers = {"arm": [kept.arm.input for kept in pairs], "mdm": [kept.mdm[0].input for kept in pairs]}
    starts = [kept.arm.start for kept in pairs]
    found = {
        model: _prompt_activations(key, number, numbers[model], starts)
        for model, key in zip(MODELS, (arm, mdm), strict=True)
    }
    both = sorted(set(found["arm"]) & set(found["mdm"]))
    return {j: correlation(found["arm"][j], found["mdm"][j]) for j in both}, sum(starts)


def overall_rank(key: str, spot: Spot, n_neurons: int) -> int:
    """Place of a neuron's |attribution| among all neurons of all layers, 0 = largest, ties by layer and neuron."""
    strengths = np.abs(attributions(key))
    place = spot[0] * n_neurons + spot[1]
    return int((strengths > strengths[place]).sum() + (strengths[:place] == strengths[place]).sum())


def attributions(key: str) -> Floats:
    """[layer * neuron]: of every neuron of a run."""
    return np.asarray(cached_reads.columns(key, "neurons", ("attribution",))["attribution"])


def spellings(text: str) -> list[str]:
    """The tokens that a reader may mean by a text: as typed, and with every sign for the space before a word."""
    quoted = re.fullmatch(r"\s*(['\"])(.+)\1\s*", text, re.DOTALL)
    typed = (quoted[2] if quoted else text).replace("␣", " ").replace("⏎", "\n").replace("⇥", "\t")
    core = typed.strip(MARKERS)
    return list(dict.fromkeys([typed, *(mark + core for mark in ("", " ", "Ġ", "▁") if core)]))


@st.cache_data(show_spinner=False, max_entries=128)
def promoters(arm: str, mdm: str, text: str) -> list[Promoter]:
    """The neurons of all layers that promote a token in either model, the largest |attribution| first."""
    logits: dict[tuple[int, int, str], dict[str, float]] = {}
    for model, key in zip(MODELS, (arm, mdm), strict=True):
        for token in spellings(text):
            for row in read.neurons_promoting(key, token).to_pylist():
                at = row["layer"], row["neuron"], token
                logits.setdefault(at, {})[model] = row["promoted_logit"][row["promoted"].index(token)]
    strengths = {model: attributions(key) for model, key in zip(MODELS, (arm, mdm), strict=True)}
    width = lifecycle.get(arm).meta.n_neurons
    found = [
        Promoter((at, j), token, by_model, {m: float(strengths[m][at * width + j]) for m in MODELS})
        for (at, j, token), by_model in logits.items()
    ]
    return sorted(found, key=lambda one: -max(abs(value) for value in one.attribution.values()))


@st.cache_data(show_spinner=False, max_entries=128)
def similar_tokens(arm: str, mdm: str, text: str, most: int = 8) -> list[str]:
    """Tokens that some neuron does promote and that look like a text: near spellings, then those that contain it."""
    wanted = text.strip(MARKERS + "'\"").lower()
    known = sorted({token for key in (arm, mdm) for token in _promoted_tokens(key)})
    plain = {token: token.strip(MARKERS).lower() for token in known}
    near = {word for word in plain.values() if abs(len(word) - len(wanted)) < 3}
    close = difflib.get_close_matches(wanted, near, most, 0.5)
    spelt = [token for word in close for token in known if plain[token] == word]
    inside = [
        token for token, word in plain.items() if wanted and (wanted in word or (len(word) > 2 and word in wanted))
    ]
    return list(dict.fromkeys([*spelt, *sorted(inside, key=len)]))[:most]


@st.cache_data(show_spinner=False, max_entries=8)
def _promoted_tokens(key: str) -> list[str]:
    lists = read.table(key, "neurons", ("promoted",))["promoted"]
    return [str(token) for token in pc.unique(pc.list_flatten(lists)).to_pylist()]


def _prompt_activations(key: str, number: int, inputs: list[int], starts: list[int]) -> dict[int, NDArray[np.float64]]:
    """Activations at the first `starts[i]` tokens of each of `inputs`, joined, by neuron."""
    rows = {
        (row["input"], row["neuron"]): row["activations"]
        for row in read.table(key, "neuron_tokens", ("input", "neuron", "activations"), layer=number).to_pylist()
    }
    return {
        j: np.concatenate([rows[one, j][:start] for one, start in zip(inputs, starts, strict=True)])
        for j in sorted({j for one, j in rows if one in inputs})
    }


def _shared(a: Floats, b: Floats, n: int) -> int:
    """How many neurons are among the `n` strongest by both attributions."""
    return int(comparison.shared_counts(comparison.order_of(a), comparison.order_of(b))[n - 1])


def _jaccard(shared: int, n: int) -> float:
    return shared / (2 * n - shared)
