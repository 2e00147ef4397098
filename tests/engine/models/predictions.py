"""Predictions of made-up logits whose probabilities float32 cannot tell apart, and the same in decimal arithmetic."""

from __future__ import annotations

from decimal import Decimal, getcontext
from types import SimpleNamespace

import torch
from torch import Tensor

from engine.models.decoding import Prediction, predict

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
