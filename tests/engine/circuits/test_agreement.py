"""Correlations and signs, on numbers worked out by hand, and against numpy's own."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from engine.circuits.agreement import Agreement, agreement, exact_circuit, pearson, ranks

COLUMNS = {
    "edge": [4, 7, 7, 2, 9],
    "selection": ["strongest", "strongest", "even", "even", "even"],
    "exact": [3.0, -1.0, -1.0, 2.0, 1e-9],
    "eap": [2.0, 1.0, 1.0, 3.0, -5.0],
    "relp": [6.0, -2.0, -2.0, 0.0, 0.0],
}


def of(selection: str, estimator: str) -> Agreement:
    measured = agreement(COLUMNS, 1e-6, ["eap", "relp"])
    return next(each for each in measured if (each.selection, each.estimator) == (selection, estimator))


def test_every_selection_and_estimator_has_a_record_and_an_edge_counts_once_among_all() -> None:
    assert [(each.selection, each.estimator, each.edges) for each in agreement(COLUMNS, 1e-6, ["eap", "relp"])] == [
        ("all", "eap", 4), ("all", "relp", 4), ("scored", "eap", 2), ("scored", "relp", 2),
        ("strongest", "eap", 2), ("strongest", "relp", 2), ("even", "eap", 3), ("even", "relp", 3),
    ]  # fmt: skip


def test_signs_are_counted_over_edges_above_rounding_and_no_score_has_none() -> None:
    assert (of("all", "eap").signs, of("all", "eap").signed) == (pytest.approx(2 / 3), 3)
    assert (of("all", "relp").signs, of("all", "relp").signed) == (pytest.approx(2 / 3), 3)
    assert (of("scored", "relp").signs, of("scored", "eap").signs) == (1.0, 0.5)
    assert all(isnan(each.signs) and each.signed == 0 for each in agreement(COLUMNS, 10.0, ["eap"]))


def test_correlations_by_hand() -> None:
    # even: exact -1, 2, 0 and eap 1, 3, -5: deviations -4/3, 5/3, -1/3 and 4/3, 10/3, -14/3
    assert of("even", "eap").pearson == pytest.approx((-16 + 50 + 14) / np.sqrt((16 + 25 + 1) * (16 + 100 + 196)))
    assert of("even", "eap").spearman == pytest.approx(0.5)  # ranks 0, 2, 1 and 1, 2, 0
    # even: exact ranks 0, 2, 1 and relp -2, 0, 0 with ranks 0, 1.5, 1.5
    assert of("even", "relp").spearman == pytest.approx(1.5 / np.sqrt(2 * 1.5))
    assert of("strongest", "relp").pearson == pytest.approx(1.0)


def test_equal_numbers_have_the_mean_of_their_ranks_and_what_does_not_vary_no_correlation() -> None:
    assert ranks(np.array([5.0, 1.0, 5.0, 7.0])).tolist() == [1.5, 0.0, 1.5, 3.0]
    assert isnan(pearson(np.zeros(3), np.arange(3.0)))
    assert isnan(pearson(np.zeros(0), np.zeros(0)))
    assert isnan(pearson(np.full(7, 0.1), np.arange(7.0)))  # whose mean is not quite 0.1


def test_pearson_equals_numpys() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    assert pearson(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])


def test_exact_scores_as_a_circuit_have_every_edge_once_strongest_first() -> None:
    edges, scores = exact_circuit(COLUMNS)
    assert edges.tolist() == [4, 2, 7, 9]
    assert scores.tolist() == [3.0, 2.0, -1.0, 1e-9]
