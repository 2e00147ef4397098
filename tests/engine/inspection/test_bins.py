"""The bins of histograms: where values fall, on the edges too, in numpy and in torch alike."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from engine.inspection.activations import bin_numbers
from engine.inspection.bins import BINS, EDGES, counts, float32_edges, label


def test_bins_are_symmetric_and_cover_everything() -> None:
    assert BINS == 41 and np.all(np.diff(EDGES) > 0)
    np.testing.assert_array_equal(EDGES, -EDGES[::-1])
    assert EDGES[BINS // 2] == -0.01 and EDGES[BINS // 2 + 1] == 0.01
    assert np.isinf(EDGES[[0, -1]]).all()


def test_counts_equal_a_loop_over_bins() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.standard_normal(500) * 10.0 ** rng.integers(-4, 6, 500), EDGES[1:-1], [0.0, -0.0]])
    expected = [int(((values >= low) & (values < high)).sum()) for low, high in pairwise(EDGES)]
    np.testing.assert_array_equal(counts(values), expected)
    assert counts(values.reshape(2, -1)).sum() == values.size


def test_torch_bins_are_numpys() -> None:
    inner, single = EDGES[1:-1], EDGES[1:-1].astype(np.float32)
    above, below = (np.nextafter(single, np.float32(towards)) for towards in (np.inf, -np.inf))
    values = np.concatenate([single, above, below, np.array([0.0, 1e9, -1e9], np.float32)])
    counted = np.bincount(bin_numbers(torch.from_numpy(values)).numpy(), minlength=BINS)
    np.testing.assert_array_equal(counted, counts(values))
    assert ((float32_edges() >= inner) & (np.nextafter(float32_edges(), np.float32(-np.inf)) < inner)).all()


@pytest.mark.parametrize(
    ("index", "text"),
    [(0, "below -562"), (BINS // 2, "-0.01 to 0.01"), (BINS // 2 + 1, "0.01 to 0.018"), (BINS - 1, "562 and above")],
)
def test_labels_name_the_edges(index: int, text: str) -> None:
    assert label(index) == text
