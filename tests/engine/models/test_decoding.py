"""Confidence where float32 cannot tell probabilities apart, against decimal arithmetic, and what is truly equal."""

from __future__ import annotations

import pytest
import torch

from engine.models.decoding import log_odds, most_confident
from tests.engine.models.predictions import POSITIONS, VOCAB, certain, exact, prediction


@pytest.mark.parametrize("advantage", [-5.0, 0.0, 1.0, 30.0, 700.0])
def test_log_odds_are_exact(advantage: float) -> None:
    logits = torch.tensor([[[0.0, 0.5, 0.25 + advantage, 0.125]]])
    p = exact(logits)[0][2]
    computed = log_odds(logits[..., 1:], torch.tensor([[1]])).item()
    assert computed == pytest.approx(float((p / (1 - p)).ln()), rel=1e-14)


def test_a_step_reveals_the_most_confident_of_many_that_are_1_in_float32() -> None:
    logits = certain()
    order = sorted(range(POSITIONS), key=lambda t: 1 - max(exact(logits)[t]))
    for size in range(1, POSITIONS + 1):
        picked = most_confident(prediction(logits), size)
        assert picked[0].nonzero()[:, 0].tolist() == sorted(order[:size])


def test_of_equal_tokens_the_first_is_predicted_and_never_the_mask() -> None:
    predicted = prediction(torch.zeros(1, 3, VOCAB))
    assert predicted.best.tolist() == [[1, 1, 1]]
    assert predicted.top[0].tolist() == pytest.approx([1 / (VOCAB - 1)] * 3)


def test_many_logits_go_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = certain()
    whole = prediction(logits).log_odds
    monkeypatch.setattr("engine.models.decoding.DOUBLES", 2 * VOCAB + 1)
    assert torch.equal(prediction(logits).log_odds, whole)
