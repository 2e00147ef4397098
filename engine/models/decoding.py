"""How models answer, and in which order an MDM reveals.

`decode` lets a model write its own answer: greedily from left to right with a key-value cache (ARM), or one denoising
step at a time, the most confident masked positions first (MDM). `reveal_order` fixes the order of the steps that
attribution explains: the model's own confidence order on the clean prompt, with the clean tokens revealed as it goes
(METHOD).

Denoising is built of four parts: `masked` inputs, for which `predict` gives the model's token for every position,
a choice of positions such as `most_confident`, and `reveal`, which puts tokens there.

A probability near 1 is the same float32 number for many positions, so confidence is compared as log odds in double
precision, which keep them apart; what is truly equal goes from left to right (METHOD, "Denoising").
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from engine.models.batching import Capacity, in_batches
from engine.models.encoding import Encoded, Ids
from engine.models.model import Model

Order = tuple[tuple[int, ...], ...]  # per denoising step, the answer indices revealed in it

R = TypeVar("R")

MOST_INPUTS = 256  # denoised together
MOST_TOKENS = 2**14  # of all of them
MOST_LOGITS = 2**27  # numbers in the logits of all of them: half a GiB in float32
MOST_CACHED = 2**30  # bytes of the keys and values of all of them
DOUBLES = 2**23  # logits in double precision at once


def step_sizes(length: int, steps: int) -> list[int]:
    """How many of `length` positions each of `steps` steps reveals; earlier steps take the remainder."""
    return [length // steps + (step < length % steps) for step in range(steps)]


@torch.no_grad()
def decode(model: Model, prompts: Sequence[Ids], length: int, steps: int) -> list[Ids]:
    """The `length` tokens with which a model continues each prompt; prompts of any length, `steps` used by MDMs."""
    answers: dict[int, Ids] = {}

    def work(rows: Sequence[int]) -> list[Ids]:
        batch = torch.tensor([prompts[i] for i in rows], device=model.device)  # [batch, prompt]
        ids = _decode_causal(model, batch, length) if model.causal else _decode_masked(model, batch, length, steps)
        return [tuple(answer) for answer in ids[:, batch.shape[1] :].tolist()]

    for rows, decoded in run_in_batches(batches(model, [(len(prompt), length) for prompt in prompts]), work):
        answers |= zip(rows, decoded, strict=True)
    return [answers[i] for i in range(len(prompts))]


@torch.no_grad()
def reveal_order(
    model: Model, examples: Sequence[Encoded], order: str, steps: int, seed: int, first: int = 0
) -> list[Order]:
    """Which answer indices each step reveals, per example: `steps` steps, or one a token of a shorter answer.

    `first`: the number of the first of `examples` in its run, by which random orders are drawn.
    """
    sizes = [step_sizes(len(e.answer), min(steps, len(e.answer))) for e in examples]
    if order == "confidence" and steps > 1:
        return _confidence_order(model, examples, sizes)
    sequences = [list(range(len(e.answer))) for e in examples]
    if order == "random":
        for i, sequence in enumerate(sequences, first):
            random.Random(f"order/{seed}/{i}").shuffle(sequence)
    return [_cut(sequence, cuts) for sequence, cuts in zip(sequences, sizes, strict=True)]


@dataclass(frozen=True)
class Prediction:
    """What a model would put at every answer position."""

    logits: Tensor  # [batch, answer, vocab]; -inf for the mask, which a model never reveals
    best: Tensor  # [batch, answer] the most probable token, the first of equals
    hidden: Tensor  # [batch, answer] whether the position is still masked

    @cached_property
    def log_odds(self) -> Tensor:
        """[batch, answer]: log p / (1 - p) of the probability p of the most probable token, in double precision.

        Computed where it is needed first: the last step of a denoising reveals whatever is left.
        """
        return log_odds(self.logits, self.best)

    @property
    def top(self) -> Tensor:
        """[batch, answer]: the largest probability."""
        return self.log_odds.sigmoid().float()


def masked(model: Model, prompts: Tensor, length: int) -> Tensor:
    """[batch, prompt + length]: prompts [batch, prompt] followed by masks."""
    masks = torch.full((len(prompts), length), model.mask_id, device=prompts.device)  # type: ignore[arg-type]
    return torch.cat([prompts, masks], 1)


def predict(model: Model, ids: Tensor, start: int) -> Prediction:
    """The model's prediction for ids [batch, pos] whose answer begins at position `start`."""
    read = [model.read_position(position) for position in range(start, ids.shape[1])]
    logits = model.logits(ids, at=read).float()
    logits[..., model.mask_id] = -torch.inf
    best = logits.argmax(-1)
    return Prediction(logits, best, torch.eq(ids[:, start:], model.mask_id))  # type: ignore[arg-type]


def log_odds(logits: Tensor, tokens: Tensor) -> Tensor:
    """[...]: log p / (1 - p) of the probability p of `tokens` [...] in the softmax of `logits` [..., vocab].

    In double precision, from the sum of all other tokens, so that nothing is lost where p is near 1.
    """
    size, parts = max(1, DOUBLES // logits.shape[-1]), []
    for part, own in zip(logits.flatten(0, -2).split(size), tokens.reshape(-1, 1).split(size), strict=True):
        doubles = part.to(torch.float64, copy=True)
        own_logits = doubles.gather(-1, own)[:, 0]
        parts.append(own_logits - doubles.scatter_(-1, own, -torch.inf).logsumexp(-1))
    return torch.cat(parts).view(tokens.shape)


def most_confident(prediction: Prediction, size: int) -> Tensor:
    """[batch, answer]: the `size` hidden positions of every row whose top token has the highest probability."""
    if bool((prediction.hidden.sum(-1) == size).all()):
        return prediction.hidden
    return highest_scoring(prediction.log_odds, prediction.hidden, size)


def highest_scoring(scores: Tensor, hidden: Tensor, count: int) -> Tensor:
    """[..., answer]: the `count` hidden positions with the largest scores; of equals the leftmost, on every device."""
    order = scores.masked_fill(~hidden, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    return torch.zeros_like(hidden).scatter_(-1, order[..., :count], value=True)


def reveal(ids: Tensor, picked: Tensor, tokens: Tensor) -> Tensor:
    """ids [batch, pos] with `tokens` at the `picked` answer positions, both [batch, answer]."""
    start = ids.shape[1] - picked.shape[1]
    return torch.cat([ids[:, :start], torch.where(picked, tokens, ids[:, start:])], 1)


def batches(model: Model, lengths: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Places of inputs to decode together, given the lengths of their prompts and answers; each group has one of each.

    Long inputs and answers in a large vocabulary go a few at a time.
    """
    together = []
    for rows in grouped(lengths):
        prompt, answer = lengths[rows[0]]
        most = _inputs_together(model, prompt + answer, 1 if model.causal else answer)
        together += [rows[i : i + most] for i in range(0, len(rows), most)]
    return together


def run_in_batches(
    groups: Sequence[Sequence[int]], work: Callable[[Sequence[int]], R]
) -> Iterator[tuple[Sequence[int], R]]:
    """Every group with what `work` made of it, in pieces where memory runs out."""
    capacity = Capacity(MOST_INPUTS)
    for rows in groups:
        yield from in_batches(rows, lambda row: 1, capacity, work)


def _inputs_together(model: Model, tokens: int, read: int) -> int:
    """How many inputs of `tokens` tokens go together, of which `read` positions have logits at a time."""
    limits = [MOST_INPUTS, MOST_TOKENS // tokens, MOST_LOGITS // (read * model.bridge.W_U.shape[-1])]
    if model.causal:
        limits.append(MOST_CACHED // (tokens * model.cached_bytes))
    return max(1, min(limits))


def grouped(keys: Sequence[Hashable]) -> list[list[int]]:
    """Places of equal keys together, in the order in which keys first appear."""
    groups: dict[Hashable, list[int]] = {}
    for i, key in enumerate(keys):
        groups.setdefault(key, []).append(i)
    return list(groups.values())


def _confidence_order(model: Model, examples: Sequence[Encoded], sizes: Sequence[Sequence[int]]) -> list[Order]:
    orders: dict[int, Order] = {}

    def work(rows: Sequence[int]) -> list[Order]:
        clean = torch.tensor([examples[i].answer for i in rows], device=model.device)  # [batch, answer]
        prompts = torch.tensor([examples[i].prompt for i in rows], device=model.device)
        ids = masked(model, prompts, clean.shape[1])
        steps: list[list[list[bool]]] = []
        for size in sizes[rows[0]]:
            picked = most_confident(predict(model, ids, prompts.shape[1]), size)
            ids = reveal(ids, picked, clean)
            steps.append(picked.tolist())
        chosen = [[step[i] for step in steps] for i in range(len(rows))]  # [batch][step][answer]
        return [tuple(tuple(t for t, picked in enumerate(step) if picked) for step in by_step) for by_step in chosen]

    for rows, batch_orders in run_in_batches(batches(model, [(len(e.prompt), len(e.answer)) for e in examples]), work):
        orders |= zip(rows, batch_orders, strict=True)
    return [orders[i] for i in range(len(examples))]


def _decode_causal(model: Model, ids: Tensor, length: int) -> Tensor:
    from transformers import DynamicCache

    cache = DynamicCache()
    for _ in range(length):
        best = model.next_logits(ids, cache).argmax(-1, keepdim=True)  # [batch, 1]
        ids = torch.cat([ids, best], 1)
    return ids


def _decode_masked(model: Model, prompts: Tensor, length: int, steps: int) -> Tensor:
    ids = masked(model, prompts, length)
    for size in step_sizes(length, steps):
        prediction = predict(model, ids, prompts.shape[1])
        ids = reveal(ids, most_confident(prediction, size), prediction.best)
    return ids


def _cut(sequence: list[int], sizes: Sequence[int]) -> Order:
    cuts, start = [], 0
    for size in sizes:
        cuts.append(tuple(sorted(sequence[start : start + size])))
        start += size
    return tuple(cuts)
