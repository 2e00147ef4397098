"""Metrics of rows, against sums written out token by token."""

from __future__ import annotations

import math

import pytest
import torch

from engine.attribution.metrics import at_sites, row_metrics
from engine.attribution.sites import AttributionInput, Site

VOCAB = 7


def row(example: int, sites: tuple[Site, ...], weight: float) -> AttributionInput:
    return AttributionInput(example, "step-00", (1,) * 5, (2,) * 5, sites, weight)


ROWS = [
    row(0, (Site(1, 2, (3,), (4,)), Site(3, 4, (5,), (6,))), 0.5),
    row(1, (Site(2, 2, (1, 2), (0, 4, 6)),), 1.0),
]


def logits(seed: int = 0) -> torch.Tensor:
    """[site, vocab] of the three sites of ROWS."""
    return torch.randn(3, VOCAB, generator=torch.Generator().manual_seed(seed))


def literal(values: torch.Tensor, metric: str, clean: torch.Tensor) -> list[float]:
    """[row]: METHOD's metric in double precision, one site after the other."""
    sums, site_number = [], 0
    for r in ROWS:
        total = 0.0
        for site in r.sites:
            p, q = ([math.exp(x) for x in rows[site_number].tolist()] for rows in (values, clean))
            p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
            right, wrong = sum(p[i] for i in site.right), sum(p[i] for i in site.wrong)
            total += {
                "logit_diff": math.log(right) - math.log(wrong),
                "log_prob": math.log(right),
                "kl": -sum(b * (math.log(b) - math.log(a)) for a, b in zip(p, q, strict=True)),
            }[metric]
            site_number += 1
        sums.append(r.weight * total)
    return sums


@pytest.mark.parametrize("metric", ["logit_diff", "log_prob", "kl"])
def test_metrics_equal_sums_over_tokens(metric: str) -> None:
    values, clean = logits(), logits(1)
    assert row_metrics(metric, values, ROWS, clean).tolist() == pytest.approx(literal(values, metric, clean), rel=1e-5)


def test_the_logit_difference_of_single_tokens_is_their_difference() -> None:
    values = logits()
    expected = 0.5 * (values[0, 3] - values[0, 4] + values[1, 5] - values[1, 6])
    assert float(row_metrics("logit_diff", values, ROWS)[0]) == pytest.approx(float(expected), rel=1e-5)


def test_kl_is_largest_at_the_clean_output() -> None:
    clean = logits(1)
    assert row_metrics("kl", clean, ROWS, clean).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert (row_metrics("kl", logits(), ROWS, clean) < 0).all()


@pytest.mark.parametrize("metric", ["logit_diff", "log_prob", "kl"])
def test_a_constant_added_to_all_logits_changes_nothing(metric: str) -> None:
    values, clean = logits(), logits(1)
    moved = row_metrics(metric, values + 3, ROWS, clean + 5)
    assert moved.tolist() == pytest.approx(row_metrics(metric, values, ROWS, clean).tolist(), rel=1e-4, abs=1e-6)


def test_half_precision_is_summed_in_single_precision() -> None:
    assert row_metrics("logit_diff", logits().bfloat16(), ROWS).dtype == torch.float32


def test_sites_are_read_row_by_row() -> None:
    values = torch.arange(2 * 5 * 3).view(2, 5, 3)  # [row, pos, ...]
    assert torch.equal(at_sites(values, ROWS), torch.stack([values[0, 1], values[0, 3], values[1, 2]]))


def test_unknown_metrics_and_missing_clean_logits_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown metric 'accuracy'"):
        row_metrics("accuracy", logits(), ROWS)
    with pytest.raises(ValueError, match="no clean logits"):
        row_metrics("kl", logits(), ROWS)
