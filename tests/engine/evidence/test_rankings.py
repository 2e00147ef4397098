"""Orders of edges and sets of edges."""

from __future__ import annotations

import numpy as np
import pytest

from engine.circuits.comparison import order_of
from engine.evidence.rankings import complement, only, prefixes, random_orders, shared, signed_order

SCORES = np.array([0.5, -2.0, 1.0, 0.0, 1.0])


def test_signed_order_puts_negative_scores_last_and_ties_by_index() -> None:
    assert signed_order(SCORES).tolist() == [2, 4, 0, 3, 1]
    assert order_of(SCORES).tolist() == [1, 2, 4, 0, 3]


def test_random_orders_are_permutations_and_the_same_again() -> None:
    orders = random_orders(1000)
    assert orders.shape == (5, 1000)
    assert (np.sort(orders, axis=1) == np.arange(1000)).all()
    assert np.array_equal(orders, random_orders(1000)) and not np.array_equal(orders, random_orders(1000, seed=1))
    assert len({tuple(order[:10]) for order in orders.tolist()}) == 5


def test_prefixes_are_nested() -> None:
    masks = prefixes(signed_order(SCORES), [0, 1, 3, 5])
    assert [np.flatnonzero(mask).tolist() for mask in masks] == [[], [2], [0, 2, 4], [0, 1, 2, 3, 4]]
    with pytest.raises(ValueError, match="a circuit of 6 edges can't be had of 5"):
        prefixes(signed_order(SCORES), [1, 6])


def test_sets_of_edges() -> None:
    a, b = (np.array(bits, dtype=bool) for bits in ([1, 1, 0, 0], [1, 0, 1, 0]))
    assert complement(a).tolist() == [False, False, True, True]
    assert shared(a, b).tolist() == [True, False, False, False]
    assert only(a, b).tolist() == [False, True, False, False]
    assert (shared(a, b) | only(a, b)).tolist() == a.tolist()
