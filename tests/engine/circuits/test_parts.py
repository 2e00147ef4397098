"""Circuits of parts: overlaps of every two, and which answer position represents a denoising step."""

from __future__ import annotations

import numpy as np
import pytest

from engine.circuits.parts import MatchingPosition, jaccard_matrix, matching_position


def test_overlaps_of_parts_are_those_of_sets() -> None:
    rng, n = np.random.default_rng(0), 203
    rows = [rng.permutation(n)[:k].astype(np.int32) for k in (30, 50, 203)]
    columns = [rng.permutation(n)[:k].astype(np.int32) for k in (30, 1)]
    overlaps = jaccard_matrix(rows, columns, n)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            a, b = set(row.tolist()), set(column.tolist())
            assert overlaps[i, j] == pytest.approx(len(a & b) / len(a | b))
    assert np.diag(jaccard_matrix(rows, rows, n)).tolist() == [1, 1, 1]


def test_the_matching_position_is_what_most_examples_reveal() -> None:
    reveals = {
        "example": np.array([0, 1, 2, 0, 1, 2, 2]),
        "step": np.array([0, 0, 0, 1, 1, 1, 1]),
        "index": np.array([4, 2, 4, 1, 4, 0, 1]),
    }
    assert matching_position(reveals, 0) == MatchingPosition(4, pytest.approx(2 / 3))
    assert matching_position(reveals, 1) == MatchingPosition(1, pytest.approx(2 / 3))  # example 2 reveals two positions
    assert matching_position(reveals, 2) is None
