"""Rank neurons by attribution and compare the rankings of two models: overlap of the strongest, correlation, spread.

Strength is |attribution|; ties are broken by layer and neuron. Pure numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.circuits import comparison, profiles
from engine.circuits.comparison import SplitHalf

STRONGEST = 50  # neurons whose overlap is compared
ORDERS = ("either", "ARM", "MDM", "difference")  # what a ranking of two models' neurons can go by

Floats = NDArray[np.floating[Any]]
Halves = tuple[Floats, Floats]  # attribution [neuron] over the even and over the odd examples


@dataclass(frozen=True)
class Agreement:
    """How far the attributions of the same neurons agree in two models."""

    n: int  # strongest neurons compared
    correlation: float  # Pearson's, over all neurons; nan where one side doesn't vary
    shared: int  # neurons
    jaccard: float
    chance: float  # the Jaccard index of two random sets of n neurons
    halves: SplitHalf  # of the strongest, each ranked on half of the examples


@dataclass(frozen=True)
class Spread:
    """How |attribution| is spread over neurons: over all examples, over the even and over the odd ones."""

    effective_number: tuple[float, float, float]
    gini: tuple[float, float, float]


def n_strongest(n_neurons: int) -> int:
    """How many of an MLP's neurons count as the strongest: 50, in a small MLP a quarter of them."""
    return min(STRONGEST, max(1, n_neurons // 4))


def ranking(arm: Floats, mdm: Floats, by: str) -> NDArray[np.int_]:
    """[rank] -> neuron, the strongest first, from both models' attribution [neuron]; `by` is one of ORDERS."""
    strength = {
        "either": np.maximum(np.abs(arm), np.abs(mdm)),
        "ARM": np.abs(arm),
        "MDM": np.abs(mdm),
        "difference": np.abs(mdm - arm),
    }[by]
    return np.argsort(-strength, kind="stable")


def largest(heights: NDArray[Any], most: int) -> NDArray[np.int_]:
    """Indices of the at most `most` largest of `heights` [neuron] that are above 0, the largest first."""
    order = np.argsort(-heights, kind="stable")[:most]
    return order[heights[order] > 0]


def strongest_layer(arm: Floats, mdm: Floats, n_layers: int) -> int:
    """The layer of the neuron with the largest |attribution| in either model; both are [layer * neuron]."""
    by_layer = [np.abs(values).reshape(n_layers, -1).max(axis=1) for values in (arm, mdm)]
    return int(np.maximum(*by_layer).argmax())


def overall_rank(attribution: Floats, place: int) -> int:
    """The rank (0 = strongest) of entry `place` of attribution [layer * neuron]."""
    strengths = np.abs(attribution)
    return int((strengths > strengths[place]).sum() + (strengths[:place] == strengths[place]).sum())


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Pearson's correlation, -1 .. 1, of two arrays of one shape [entry]; nan where one of the two doesn't vary."""
    if len(a) < 2 or not (np.ptp(a) and np.ptp(b)):
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def agreement(arm: Floats, mdm: Floats, arm_halves: Halves, mdm_halves: Halves) -> Agreement:
    """Compare the attribution [neuron] of an MLP's neurons in two models, with chance and the split-half overlaps."""
    n = n_strongest(len(arm))
    shared = int(comparison.shared_counts(comparison.order_of(arm), comparison.order_of(mdm))[n - 1])
    (arm_a, arm_b), (mdm_a, mdm_b) = (
        [comparison.order_of(half)[:n] for half in halves] for halves in (arm_halves, mdm_halves)
    )
    return Agreement(
        n=n,
        correlation=correlation(arm, mdm),
        shared=shared,
        jaccard=shared / (2 * n - shared),
        chance=comparison.chance(n, len(arm)),
        halves=comparison.split_half((arm_a, arm_b), (mdm_a, mdm_b)),
    )


def spread(attribution: Floats, halves: Halves) -> Spread:
    """How concentrated |attribution| [neuron] is on few neurons, with both halves of the examples beside it."""
    all_examples, even, odd = (np.abs(values.astype(np.float64)) for values in (attribution, *halves))
    return Spread(
        (
            profiles.effective_number(all_examples),
            profiles.effective_number(even),
            profiles.effective_number(odd),
        ),
        (profiles.gini(all_examples), profiles.gini(even), profiles.gini(odd)),
    )
