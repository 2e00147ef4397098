"""Confidence where float32 cannot tell probabilities apart, against decimal arithmetic, and what is truly equal."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, getcontext
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from engine.models.decoding import Prediction, highest_scoring, log_odds, most_confident, predict
from engine.models.samplers import margin, negative_entropy, top_probability

MASK = 0
POSITIONS, VOCAB = 12, 9


def prediction(logits: Tensor) -> Prediction:
    """Of logits [batch, answer, vocab], every position still masked."""
    batch, answer, _ = logits.shape
    model = SimpleNamespace(
        logits=lambda ids, at: logits.clone(), mask_id=MASK, read_position=lambda position: position
    )
    ids = torch.cat([torch.full((batch, 2), 5), torch.full((batch, answer), MASK)], 1)
    return predict(model, ids, 2)  # type: ignore[arg-type]


def certain(seed: int = 0) -> Tensor:
    """[1, POSITIONS, VOCAB]: logits whose top probability is 1 in float32, and often in double precision too."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, POSITIONS, VOCAB, generator=rng)
    places = torch.randint(1, VOCAB, (POSITIONS,), generator=rng)
    logits[0, range(POSITIONS), places] += torch.linspace(22, 60, POSITIONS)[torch.randperm(POSITIONS, generator=rng)]
    return logits


def exact(logits: Tensor) -> list[list[Decimal]]:
    """[position][token] probabilities, with the mask at 0."""
    getcontext().prec = 400
    weights = [[Decimal(0), *(Decimal(x).exp() for x in row[1:])] for row in logits[0].tolist()]
    return [[weight / sum(row) for weight in row] for row in weights]


def _margin(p: list[Decimal]) -> Decimal:
    first, second = sorted(p, reverse=True)[:2]
    return first - second


def _negative_entropy(p: list[Decimal]) -> Decimal:
    return sum((x * x.ln() for x in p if x), Decimal(0))


@pytest.mark.parametrize(
    ("score", "literal"),
    [(top_probability, max), (margin, _margin), (negative_entropy, _negative_entropy)],
    ids=["top probability", "margin", "entropy"],
)
@pytest.mark.parametrize("seed", range(5))
def test_certain_positions_are_in_their_exact_order(
    score: Callable[[Prediction], Tensor], literal: Callable[[list[Decimal]], Decimal], seed: int
) -> None:
    logits = certain(seed)
    assert len(set(logits[..., 1:].softmax(-1).amax(-1).flatten().tolist())) < POSITIONS  # they tie in float32
    measured = [literal(p) for p in exact(logits)]
    expected = sorted(range(POSITIONS), key=lambda t: -measured[t])
    assert score(prediction(logits))[0].argsort(descending=True, stable=True).tolist() == expected


@pytest.mark.parametrize("advantage", [-5.0, 0.0, 1.0, 30.0, 700.0])
def test_log_odds_are_exact(advantage: float) -> None:
    logits = torch.tensor([[[0.0, 0.5, 0.25 + advantage, 0.125]]])
    p = exact(logits)[0][2]
    computed = log_odds(logits[..., 1:], torch.tensor([[1]])).item()
    assert computed == pytest.approx(float((p / (1 - p)).ln()), rel=1e-14)


def test_a_step_reveals_the_surest_of_many_that_are_1_in_float32() -> None:
    logits = certain()
    order = sorted(range(POSITIONS), key=lambda t: 1 - max(exact(logits)[t]))
    for size in range(1, POSITIONS + 1):
        picked = most_confident(prediction(logits), size)
        assert picked[0].nonzero()[:, 0].tolist() == sorted(order[:size])


@pytest.mark.parametrize("top", [0.0, 3.0, 50.0], ids=["all tokens alike", "some", "certain"])
@pytest.mark.parametrize("score", [top_probability, margin, negative_entropy])
def test_equals_go_from_left_to_right(score: Callable[[Prediction], Tensor], top: float) -> None:
    logits = torch.zeros(2, 40, VOCAB)
    logits[..., 3] = top
    predicted = prediction(logits)
    for size in (1, 2, 17, 39):
        picked = highest_scoring(score(predicted), predicted.hidden, size)
        assert picked.tolist() == [[t < size for t in range(40)]] * 2
    predicted.hidden[:, ::2] = False
    assert highest_scoring(score(predicted), predicted.hidden, 3)[0].nonzero()[:, 0].tolist() == [1, 3, 5]


def test_of_equal_tokens_the_first_is_said_and_never_the_mask() -> None:
    predicted = prediction(torch.zeros(1, 3, VOCAB))
    assert predicted.best.tolist() == [[1, 1, 1]]
    assert predicted.top[0].tolist() == pytest.approx([1 / (VOCAB - 1)] * 3)


def test_many_logits_go_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = certain()
    whole = prediction(logits).log_odds
    monkeypatch.setattr("engine.models.decoding.DOUBLES", 2 * VOCAB + 1)
    assert torch.equal(prediction(logits).log_odds, whole)
