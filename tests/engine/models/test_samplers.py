"""Samplers: scores against decimal arithmetic, schedules against their formulas, and what holds for every one.

That each is its definition step by step is held by tests/engine/inspection/test_trajectories.py.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
import torch
from torch import Tensor

from engine.models.decoding import Prediction, highest_scoring
from engine.models.samplers import (
    SAMPLERS,
    by_chance,
    denoise,
    example_generator,
    margin,
    negative_entropy,
    scheduled,
    top_probability,
)
from tests import tiny
from tests.engine.models.predictions import POSITIONS, VOCAB, certain, exact, prediction

LENGTH = 8
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)


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


@every_sampler
def test_the_last_step_reveals_whatever_is_left(sampler: str) -> None:
    _, choose = SAMPLERS[sampler]
    hidden = torch.arange(LENGTH) == 3
    revealed = choose(torch.randn(LENGTH), hidden, LENGTH - 1, example_generator(sampler, 0, 0))
    assert torch.equal(revealed, hidden)


@every_sampler
def test_only_hidden_positions_are_revealed(sampler: str) -> None:
    _, choose = SAMPLERS[sampler]
    hidden = torch.arange(LENGTH) % 2 == 0
    for step in range(LENGTH):
        revealed = choose(torch.randn(LENGTH), hidden, step, example_generator(sampler, 1, step))
        assert not (revealed & ~hidden).any()


@every_sampler
def test_a_step_shows_what_was_revealed_before_it(sampler: str) -> None:
    model = tiny.model("llama", causal=False)
    prompts = torch.tensor([(5, 9, 11), (30, 7, 12)])
    steps = list(denoise(model, prompts, LENGTH, sampler, [example_generator(sampler, 0, i) for i in range(2)]))
    assert len(steps) == LENGTH
    visible = torch.zeros(2, LENGTH, dtype=torch.bool)
    for step in steps:
        assert torch.equal(step.visible, visible) and not (step.revealed & visible).any()
        visible = visible | step.revealed
    assert visible.all()
    assert ((steps[-1].confidences > 0) & (steps[-1].confidences <= 1)).all()


def test_dreams_schedule_reveals_by_the_share_of_time_that_passes() -> None:
    """int(masked * (1 - s / t)) over timesteps from 1 to 0.001."""
    times = [1 - i * 0.999 / LENGTH for i in range(LENGTH + 1)]
    for step in range(LENGTH - 1):
        expected = int(LENGTH * (1 - times[step + 1] / times[step]))
        hidden = torch.ones(LENGTH, dtype=torch.bool)
        assert int(scheduled(torch.randn(LENGTH), hidden, step, torch.Generator()).sum()) == expected


def test_diffullama_reveals_a_position_at_any_step_equally_often() -> None:
    """With probability 1 / (t + 1) at t steps before the last, each of the steps is as likely."""
    trials, rng = 4000, torch.Generator().manual_seed(0)
    counts = torch.zeros(LENGTH)
    for _ in range(trials):
        hidden = torch.ones(LENGTH, dtype=torch.bool)
        for step in range(LENGTH):
            revealed = by_chance(torch.zeros(LENGTH), hidden, step, rng)
            counts[step] += revealed.sum()
            hidden &= ~revealed
    assert (counts / counts.sum()).tolist() == pytest.approx([1 / LENGTH] * LENGTH, abs=0.01)


def test_the_randomness_of_an_example_is_its_own() -> None:
    draws = {
        (sampler, seed, example): torch.rand(1, generator=example_generator(sampler, seed, example)).item()
        for sampler in ("random", "diffullama")
        for seed in (0, 1)
        for example in (0, 1)
    }
    assert len(set(draws.values())) == len(draws)
    assert torch.rand(1, generator=example_generator("random", 1, 0)).item() == draws["random", 1, 0]
