"""How an MDM fills in an answer, step by step, under the samplers that are in use.

A sampler says which masked positions each step reveals. It sees how sure the model is of every position, the step's
number and a seeded generator; the tokens themselves are always the model's most probable ones (temperature 0). What
is equally sure goes from left to right; scores are in double precision, as many probabilities near 1 are equal in less.

confidence      one token a step, the position whose top token has the highest probability
left-to-right   one token a step
random          one token a step, any masked position
dream-maskgit   Dream (Ye et al. 2025): over timesteps t from 1 to 0.001, int(masked * (1 - s/t)) positions on the way
                from t to s and the rest at the last step, by top probability
dream-margin    the same by the difference between the two largest probabilities
dream-entropy   the same by negative entropy
dream-origin    each masked position by chance, with probability 1 - s/t
diffullama      DiffuLLaMA (Gong et al. 2025): each masked position by chance, with probability 1/(t + 1) while t counts
                down to 0

Every sampler has as many steps as the answer has tokens, and the last step reveals whatever is left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from engine.files.reading import Json
from engine.models.decoding import Order, Prediction, grouped, highest_scoring, masked, predict, reveal
from engine.models.encoding import Encoded
from engine.models.model import Model
from engine.tasks import Example, Task
from engine.tasks.accuracy import solves, tokens_of

TRAJECTORY_EXAMPLES = 6
LAST_TIME = 1e-3  # Dream's last timestep

Score = Callable[[Prediction], Tensor]
"""[batch, answer]: how sure the model is of every position, in any unit; the larger the surer."""

Choose = Callable[[Tensor, Tensor, int, torch.Generator], Tensor]
"""(scores, hidden, step, generator) -> revealed, all [answer]. `hidden` and the result are bool."""


def top_probability(seen: Prediction) -> Tensor:
    return seen.log_odds


def margin(seen: Prediction) -> Tensor:
    """Less 1: what all but the top token have, and the second once more, which are exact where the margin is near 1."""
    return -((-seen.log_odds).sigmoid() + torch.stack([others.amax(-1) for others in _others(seen)]))


def negative_entropy(seen: Prediction) -> Tensor:
    top = seen.log_odds.sigmoid() * logsigmoid(seen.log_odds)  # p log p of the top token
    return top - torch.stack([torch.special.entr(others).sum(-1) for others in _others(seen)])


def _others(seen: Prediction) -> Iterator[Tensor]:
    """Row by row [answer, vocab]: the probabilities of all but the top token, in double precision; 0 for that."""
    for logits, best, odds in zip(seen.logits, seen.best, seen.log_odds, strict=True):
        total = logits.gather(-1, best[:, None]).double() - logsigmoid(odds)[:, None]
        yield (logits.double() - total).exp_().scatter_(-1, best[:, None], 0.0)


def one_surest(scores: Tensor, hidden: Tensor, step: int, rng: torch.Generator) -> Tensor:
    return highest_scoring(scores, hidden, 1)


def leftmost(scores: Tensor, hidden: Tensor, step: int, rng: torch.Generator) -> Tensor:
    return highest_scoring(-torch.arange(len(hidden)).float(), hidden, 1)


def any_one(scores: Tensor, hidden: Tensor, step: int, rng: torch.Generator) -> Tensor:
    places = hidden.nonzero()[:, 0]
    return torch.zeros_like(hidden).scatter_(0, places[torch.randint(len(places), (1,), generator=rng)], value=True)


def scheduled(scores: Tensor, hidden: Tensor, step: int, rng: torch.Generator) -> Tensor:
    """Dream's schedule, the surest first; a step may reveal nothing."""
    return highest_scoring(scores, hidden, int(hidden.sum() * _dream_share(step, len(hidden))))


def scheduled_by_chance(scores: Tensor, hidden: Tensor, step: int, rng: torch.Generator) -> Tensor:
    return hidden & (torch.rand(len(hidden), generator=rng) < _dream_share(step, len(hidden)))


def by_chance(scores: Tensor, hidden: Tensor, step: int, rng: torch.Generator) -> Tensor:
    t = len(hidden) - 1 - step
    return hidden & (torch.rand(len(hidden), generator=rng) < 1 / (t + 1))


def _dream_share(step: int, steps: int) -> Tensor:
    """1 - s/t from timestep `step` to the next; 1 at the last step."""
    times = torch.linspace(1, LAST_TIME, steps + 1)
    return 1 - times[step + 1] / times[step] if step < steps - 1 else torch.ones(())


SAMPLERS: dict[str, tuple[Score, Choose]] = {
    "confidence": (top_probability, one_surest),
    "left-to-right": (top_probability, leftmost),
    "random": (top_probability, any_one),
    "dream-maskgit": (top_probability, scheduled),
    "dream-margin": (margin, scheduled),
    "dream-entropy": (negative_entropy, scheduled),
    "dream-origin": (top_probability, scheduled_by_chance),
    "diffullama": (top_probability, by_chance),
}


@dataclass(frozen=True)
class Step:
    """One step of a batch of answers: [batch, answer] each."""

    tokens: Tensor  # the most probable token; at a visible position what stands there
    confidences: Tensor  # its probability; at a visible position as it was when it was revealed
    visible: Tensor  # bool: revealed before this step
    revealed: Tensor  # bool: revealed at this step


@torch.no_grad()
def trajectories(
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
        seen = predict(model, ids, start)
        hidden, scores = seen.hidden.cpu(), score(seen).cpu()
        chosen = [choose(scores[i], hidden[i], step, rng) for i, rng in enumerate(generators)]
        revealed = torch.stack(chosen).to(model.device)  # [batch, answer]
        tokens = torch.where(seen.hidden, seen.best, ids[:, start:])
        confidences = torch.where(seen.hidden, seen.top, committed)
        yield Step(tokens, confidences, ~seen.hidden, revealed)
        committed = torch.where(revealed, seen.top, committed)
        ids = reveal(ids, revealed, seen.best)


def generator(sampler: str, seed: int, example: int) -> torch.Generator:
    """The randomness of one example under one sampler."""
    digest = hashlib.sha256(f"{sampler}/{seed}/{example}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def trajectory_table(
    model: Model,
    task: Task,
    drawn: Sequence[Example],
    encoded: Sequence[Encoded],
    seed: int,
    on_samplers: Callable[[int, int], None] = lambda done, total: None,
) -> pa.Table:
    """`trajectories` of engine/runs/records.py: every sampler on the first examples; nothing for an ARM.

    `on_samplers` is told before every sampler how many are done, and of how many.
    """
    few = [] if model.causal else encoded[:TRAJECTORY_EXAMPLES]
    found: list[Json] = []
    for done, sampler in enumerate(SAMPLERS):
        on_samplers(done, len(SAMPLERS))
        mine: list[Json] = []
        for rows in grouped([(len(e.prompt), len(e.answer)) for e in few]):
            mine += _records(model, task, drawn, encoded, sampler, seed, rows)
        found += sorted(mine, key=lambda row: (row["example"], row["step"]))
    return pa.Table.from_pylist(found, TRAJECTORIES)


TRAJECTORIES = pa.schema(
    {
        "sampler": pa.string(),
        "example": pa.int32(),
        "step": pa.int32(),
        "tokens": pa.list_(pa.string()),
        "confidences": pa.list_(pa.float32()),
        "revealed": pa.list_(pa.bool_()),
        "visible": pa.list_(pa.bool_()),
        "correct": pa.bool_(),
    }
)


def _records(
    model: Model,
    task: Task,
    drawn: Sequence[Example],
    encoded: Sequence[Encoded],
    sampler: str,
    seed: int,
    rows: Sequence[int],
) -> list[Json]:
    """Rows of the table for the examples at `rows`, whose prompts and answers are of one length."""
    prompts = torch.tensor([encoded[i].prompt for i in rows], device=model.device)
    generators = [generator(sampler, seed, i) for i in rows]
    steps = list(trajectories(model, prompts, len(encoded[rows[0]].answer), sampler, generators))
    found: list[Json] = []
    for i, row in enumerate(rows):
        answer = tokens_of(model, steps[-1].tokens[i].tolist())
        correct = solves(task, drawn[row], answer, model.tokenizer)
        found += [
            {
                "sampler": sampler,
                "example": row,
                "step": number,
                "tokens": tokens_of(model, step.tokens[i].tolist()),
                "confidences": step.confidences[i].tolist(),
                "revealed": step.revealed[i].tolist(),
                "visible": step.visible[i].tolist(),
                "correct": correct,
            }
            for number, step in enumerate(steps)
        ]
    return found


def reveal_table(orders: Sequence[Order]) -> pa.Table:
    """`reveals` of engine/runs/records.py: the order of a run's own denoising steps, by example; nothing for an ARM."""
    found = [(i, step, t) for i, order in enumerate(orders) for step, revealed in enumerate(order) for t in revealed]
    columns = zip(*found, strict=True) if found else ((), (), ())
    names = ("example", "step", "index")
    return pa.table({name: pa.array(column, pa.int32()) for name, column in zip(names, columns, strict=True)})
