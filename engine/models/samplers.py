"""The samplers that an MDM can fill in an answer with: which masked positions every denoising step reveals.

A sampler is given a score for every position (how confident the model is of it), the step's number and a seeded
generator; the tokens themselves are always the model's most probable ones (temperature 0). Of equal scores the leftmost
position comes first; scores are in double precision, as many probabilities near 1 are equal in less.

confidence      one token a step, the position whose top token has the highest probability
left-to-right   one token a step
random          one token a step, any masked position
dream-maskgit   Dream (Ye et al. 2025, arXiv 2508.15487): over timesteps t from 1 to 0.001, int(masked * (1 - s/t))
                positions on the way from t to s and the rest at the last step, by top probability
dream-margin    the same by the difference between the two largest probabilities
dream-entropy   the same by negative entropy
dream-origin    each masked position by chance, with probability 1 - s/t
diffullama      DiffuLLaMA (Gong et al. 2025, arXiv 2410.17891): each masked position by chance, with probability
                1/(t + 1) while t counts down to 0

Every sampler has as many steps as the answer has tokens, and the last step reveals whatever is left (METHOD,
"Denoising").
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from engine.models.decoding import Prediction, highest_scoring, masked, predict, reveal
from engine.models.model import Model

LAST_TIME = 1e-3  # Dream's last timestep

Score = Callable[[Prediction], Tensor]
"""[batch, answer]: how confident the model is of every position, in any unit; larger is more confident."""

Choose = Callable[[Tensor, Tensor, int, torch.Generator], Tensor]
"""(scores, hidden, step, generator) -> revealed, all [answer]. `hidden` and the result are bool."""


def top_probability(prediction: Prediction) -> Tensor:
    """[batch, answer]: log odds of the most probable token, which order positions as its probability does."""
    return prediction.log_odds


def margin(prediction: Prediction) -> Tensor:
    """[batch, answer]: the two largest probabilities' difference, less 1.

    It is summed from what all but the top token have and the second once more, which are exact where it is near 0.
    """
    return -((-prediction.log_odds).sigmoid() + torch.stack([others.amax(-1) for others in _others(prediction)]))


def negative_entropy(prediction: Prediction) -> Tensor:
    """[batch, answer]: minus the entropy, in nats, of the distribution over tokens."""
    top = prediction.log_odds.sigmoid() * logsigmoid(prediction.log_odds)  # p log p of the top token
    return top - torch.stack([torch.special.entr(others).sum(-1) for others in _others(prediction)])


def _others(prediction: Prediction) -> Iterator[Tensor]:
    """Row by row [answer, vocab]: the probabilities of all but the top token, in double precision; 0 for that."""
    for logits, best, odds in zip(prediction.logits, prediction.best, prediction.log_odds, strict=True):
        total = logits.gather(-1, best[:, None]).double() - logsigmoid(odds)[:, None]
        yield (logits.double() - total).exp_().scatter_(-1, best[:, None], 0.0)


def one_by_score(scores: Tensor, hidden: Tensor, step: int, rng: torch.Generator) -> Tensor:
    """The position with the largest score: revealed [answer], as all choices of a sampler."""
    return highest_scoring(scores, hidden, 1)


def leftmost(scores: Tensor, hidden: Tensor, step: int, rng: torch.Generator) -> Tensor:
    """The first hidden position: revealed [answer]."""
    return highest_scoring(-torch.arange(len(hidden)).float(), hidden, 1)


def any_position(scores: Tensor, hidden: Tensor, step: int, rng: torch.Generator) -> Tensor:
    """One hidden position, all equally likely: revealed [answer]."""
    places = hidden.nonzero()[:, 0]
    return torch.zeros_like(hidden).scatter_(0, places[torch.randint(len(places), (1,), generator=rng)], value=True)


def scheduled(scores: Tensor, hidden: Tensor, step: int, rng: torch.Generator) -> Tensor:
    """Dream's schedule, the largest scores first; a step may reveal nothing: revealed [answer]."""
    return highest_scoring(scores, hidden, int(hidden.sum() * _dream_share(step, len(hidden))))


def scheduled_by_chance(scores: Tensor, hidden: Tensor, step: int, rng: torch.Generator) -> Tensor:
    """Dream's schedule as a probability, each hidden position by itself: revealed [answer]."""
    return hidden & (torch.rand(len(hidden), generator=rng) < _dream_share(step, len(hidden)))


def by_chance(scores: Tensor, hidden: Tensor, step: int, rng: torch.Generator) -> Tensor:
    """DiffuLLaMA's schedule, whose probability grows to 1 at the last step: revealed [answer]."""
    t = len(hidden) - 1 - step
    return hidden & (torch.rand(len(hidden), generator=rng) < 1 / (t + 1))


def _dream_share(step: int, steps: int) -> Tensor:
    """1 - s/t from timestep `step` to the next; 1 at the last step."""
    times = torch.linspace(1, LAST_TIME, steps + 1)
    return 1 - times[step + 1] / times[step] if step < steps - 1 else torch.ones(())


SAMPLERS: dict[str, tuple[Score, Choose]] = {
    "confidence": (top_probability, one_by_score),
    "left-to-right": (top_probability, leftmost),
    "random": (top_probability, any_position),
    "dream-maskgit": (top_probability, scheduled),
    "dream-margin": (margin, scheduled),
    "dream-entropy": (negative_entropy, scheduled),
    "dream-origin": (top_probability, scheduled_by_chance),
    "diffullama": (top_probability, by_chance),
}


@dataclass(frozen=True)
class Step:
    """One step of a batch of answers: [batch, answer] each."""

    tokens: Tensor  # the most probable token; at a visible position the token there
    confidences: Tensor  # its probability; at a visible position as it was when it was revealed
    visible: Tensor  # bool: revealed before this step
    revealed: Tensor  # bool: revealed at this step


@torch.no_grad()
def denoise(
    model: Model, prompts: Tensor, length: int, sampler: str, generators: Sequence[torch.Generator]
) -> Iterator[Step]:
    """The steps in which a sampler fills in answers of `length` tokens to prompts [batch, prompt].

    `generators`: one for each prompt, so that an answer does not depend on the others.
    """
    score, choose = SAMPLERS[sampler]
    start = prompts.shape[1]
    ids = masked(model, prompts, length)
    committed = torch.zeros(len(prompts), length, device=model.device)
    for step in range(length):
        prediction = predict(model, ids, start)
        hidden, scores = prediction.hidden.cpu(), score(prediction).cpu()
        chosen = [choose(scores[i], hidden[i], step, rng) for i, rng in enumerate(generators)]
        revealed = torch.stack(chosen).to(model.device)  # [batch, answer]
        tokens = torch.where(prediction.hidden, prediction.best, ids[:, start:])
        confidences = torch.where(prediction.hidden, prediction.top, committed)
        yield Step(tokens, confidences, ~prediction.hidden, revealed)
        committed = torch.where(revealed, prediction.top, committed)
        ids = reveal(ids, revealed, prediction.best)


def example_generator(sampler: str, seed: int, example: int) -> torch.Generator:
    """The randomness of one example under one sampler."""
    digest = hashlib.sha256(f"{sampler}/{seed}/{example}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
