"""Rankings of neurons by attribution: against sets, sorting and numpy on random attributions."""

from __future__ import annotations

import numpy as np
import pytest

from engine.circuits import comparison
from engine.circuits.neuron_ranking import (
    ORDERS,
    agreement,
    correlation,
    largest,
    n_strongest,
    overall_rank,
    ranking,
    spread,
    strongest_layer,
)

RNG = np.random.default_rng(0)
ARM, MDM, A, B, C, D = RNG.normal(0, 1, (6, 400)).astype(np.float32)


def strongest(values: np.ndarray, n: int) -> set[int]:
    return set(np.argsort(-np.abs(values), kind="stable")[:n].tolist())


def overlap(a: np.ndarray, b: np.ndarray, n: int) -> float:
    return len(strongest(a, n) & strongest(b, n)) / len(strongest(a, n) | strongest(b, n))


def test_fifty_neurons_are_the_strongest_and_a_quarter_of_few() -> None:
    assert [n_strongest(n) for n in (1, 3, 8, 199, 200, 5000)] == [1, 1, 2, 49, 50, 50]


def test_the_agreement_of_two_models_is_that_of_sets() -> None:
    both = agreement(ARM, MDM, (A, B), (C, D))
    assert both.n == 50
    assert both.shared == len(strongest(ARM, 50) & strongest(MDM, 50))
    assert both.jaccard == pytest.approx(overlap(ARM, MDM, 50))
    assert both.chance == pytest.approx(50 / 750)
    assert both.correlation == pytest.approx(np.corrcoef(ARM, MDM)[0, 1])
    assert both.halves.arm == pytest.approx(overlap(A, B, 50))
    assert both.halves.mdm == pytest.approx(overlap(C, D, 50))
    assert both.halves.pair == pytest.approx((overlap(A, D, 50) + overlap(B, C, 50)) / 2)


def test_a_model_agrees_with_itself() -> None:
    itself = agreement(ARM, ARM, (A, A), (A, A))
    assert itself.jaccard == itself.halves.arm == itself.halves.pair == 1
    assert itself.correlation == pytest.approx(1)


def test_a_correlation_with_what_does_not_vary_is_none() -> None:
    assert np.isnan(correlation(np.ones(5), np.arange(5)))
    assert np.isnan(correlation(np.arange(1), np.arange(1)))
    assert correlation(np.arange(5), -np.arange(5)) == pytest.approx(-1)


@pytest.mark.parametrize("by", ORDERS)
def test_a_ranking_has_the_strongest_first(by: str) -> None:
    strength = {
        "either": np.maximum(np.abs(ARM), np.abs(MDM)),
        "ARM": np.abs(ARM),
        "MDM": np.abs(MDM),
        "difference": np.abs(ARM - MDM),
    }[by]
    order = ranking(ARM, MDM, by)
    assert sorted(order) == list(range(400))
    assert (np.diff(strength[order]) <= 0).all()


def test_equal_neurons_are_ranked_by_their_number() -> None:
    assert ranking(np.array([1.0, -2.0, 2.0]), np.zeros(3), "ARM").tolist() == [1, 2, 0]
    assert [overall_rank(np.array([1.0, -2.0, 2.0]), place) for place in range(3)] == [2, 0, 1]


def test_ranks_over_all_layers_are_those_of_one_ranking() -> None:
    ranks = comparison.rank_of(ARM)
    assert [overall_rank(ARM, place) for place in range(400)] == ranks.tolist()


def test_only_what_is_above_nothing_is_listed() -> None:
    assert largest(np.array([0, 3, 0, 5, 3]), 10).tolist() == [3, 1, 4]
    assert largest(np.array([0, 3, 0, 5, 3]), 2).tolist() == [3, 1]
    assert not len(largest(np.zeros(4), 3))


def test_the_strongest_layer_has_the_strongest_neuron_of_either_model() -> None:
    arm, mdm = np.zeros(12), np.zeros(12)
    arm[5], mdm[10] = 1.0, -3.0
    assert strongest_layer(arm, mdm, 4) == 3
    assert strongest_layer(arm, np.zeros(12), 4) == 1


def test_the_spread_of_equal_neurons_is_even_and_of_a_single_one_is_not() -> None:
    one_of_four = np.array([0.0, -2.0, 0.0, 0.0], dtype=np.float32)
    values = spread(np.ones(4, np.float32), (-np.ones(4, np.float32), one_of_four))
    assert values.effective_number == pytest.approx((4, 4, 1))
    assert values.gini == pytest.approx((0, 0, 0.75))
