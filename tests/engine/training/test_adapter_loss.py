"""Losses and attention masks against others that follow the recipe to the letter."""

from __future__ import annotations

import math
import random
from itertools import combinations

import pytest
import torch
from torch import Tensor

from engine.training.adapter_loss import arm_inputs, causal, masked_counts, mdm_inputs
from engine.training.mixture import Batch

VOCABULARY, MASK = 11, 11
BATCH = Batch(torch.randint(VOCABULARY, (4, 9), generator=torch.Generator().manual_seed(0)), 5)


def logits_of(ids: Tensor, read: Tensor) -> Tensor:
    """A stand-in for a model: numbers that depend on every token of a row and on the position."""
    rows = []
    for row, place in read.nonzero().tolist():
        seed = hash((tuple(ids[row].tolist()), place)) % 2**32
        rows.append(torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(seed)))
    return torch.stack(rows)


def surprise(ids: Tensor, place: int, token: int) -> float:
    """-log p of a token at a place, read one to the left."""
    read = torch.zeros(1, len(ids), dtype=torch.bool)
    read[0, place - 1] = True
    return -float(logits_of(ids[None], read)[0].log_softmax(0)[token])


def test_arm_loss_is_the_mean_surprise_of_the_answers_tokens() -> None:
    inputs = arm_inputs(BATCH)
    expected = [surprise(row, place, int(row[place])) for row in BATCH.ids for place in range(BATCH.start, 9)]
    logits = logits_of(inputs.ids, inputs.read)
    assert float(inputs.loss(logits)) == pytest.approx(sum(expected) / len(expected), rel=1e-5)
    assert torch.equal(inputs.allowed, causal(9)) and torch.equal(inputs.ids, BATCH.ids)


def test_mdm_loss_of_a_draw_is_the_mean_over_rows_of_the_mean_surprise_of_masked_tokens() -> None:
    inputs = mdm_inputs(BATCH, MASK, 1.0, torch.Generator().manual_seed(3))
    rows = []
    for noisy, clean in zip(inputs.ids, BATCH.ids, strict=True):
        masked = [place for place in range(9) if noisy[place] != clean[place]]
        assert masked and all(place >= BATCH.start and noisy[place] == MASK for place in masked)
        rows.append(sum(surprise(noisy, place, int(clean[place])) for place in masked) / len(masked))
    assert float(inputs.loss(logits_of(inputs.ids, inputs.read))) == pytest.approx(sum(rows) / len(rows), rel=1e-5)
    assert float(inputs.weight.sum()) == pytest.approx(1)


def test_the_published_loss_has_the_same_expectation() -> None:
    """The published one, every set of masked tokens by itself, integrated over t by 2,000 midpoints."""
    row, length = BATCH.ids[0], 4
    points = [(i + 0.5) / 2000 for i in range(2000)]
    published, ours = 0.0, 0.0
    for count in range(1, length + 1):
        weight = sum(t**count * (1 - t) ** (length - count) / t for t in points) / len(points)
        for chosen in combinations(range(BATCH.start, 9), count):
            noisy = row.clone()
            noisy[list(chosen)] = MASK
            total = sum(surprise(noisy, place, int(row[place])) for place in chosen)
            published += weight * total / length
            ours += total / count / math.comb(length, count) / length
    assert ours == pytest.approx(published, rel=1e-4)


def test_every_number_of_masked_tokens_and_every_set_is_as_frequent() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = torch.stack([masked_counts(6, 4, generator) for _ in range(3000)])
    shares = torch.bincount(counts.flatten(), minlength=5) / counts.numel()
    assert shares[0] == 0 and torch.allclose(shares[1:], torch.tensor(0.25), atol=0.01)
    for column in counts.T:  # of every row, not only of a batch
        assert torch.allclose(torch.bincount(column, minlength=5)[1:] / 3000, torch.tensor(0.25), atol=0.03)
    sets = [mdm_inputs(BATCH, MASK, 1.0, generator).ids[:, 5:] == MASK for _ in range(1500)]
    twos = [tuple(mask.nonzero()[:, 0].tolist()) for masks in sets for mask in masks if mask.sum() == 2]
    assert {pair: pytest.approx(1 / 6, abs=0.03) for pair in combinations(range(4), 2)} == {
        pair: twos.count(pair) / len(twos) for pair in combinations(range(4), 2)
    }


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_attention_is_causal_or_drawn_with_the_ratio(ratio: float) -> None:
    """To the letter: query i may read key j when j <= i, or when a coin of that ratio says so, once for a batch."""
    future, opened = 0, 0
    for seed in range(200):
        allowed = mdm_inputs(BATCH, MASK, ratio, torch.Generator().manual_seed(seed)).allowed
        for i in range(9):
            for j in range(9):
                if j <= i:
                    assert allowed[i, j]
                else:
                    future += 1
                    opened += int(allowed[i, j])
    assert opened / future == pytest.approx(ratio, abs=0.02 if 0 < ratio < 1 else 0)


def test_the_additive_mask_hides_what_is_not_allowed() -> None:
    inputs = arm_inputs(BATCH)
    bias = inputs.bias(torch.bfloat16)
    assert bias.shape == (1, 1, 9, 9) and bias.dtype == torch.bfloat16
    assert torch.equal(bias[0, 0] == 0, inputs.allowed) and bias.min() == torch.finfo(torch.bfloat16).min


def test_solved_rows_have_every_asked_token_right() -> None:
    inputs = arm_inputs(BATCH)
    right = torch.nn.functional.one_hot(inputs.wanted, VOCABULARY).float()
    assert inputs.solved(right) == 1.0
    wrong = random.Random(0).randrange(4)  # any one of the first row's four tokens
    right[wrong] = right[wrong].roll(1)
    assert inputs.solved(right) == 0.75
