"""How models answer, and in which order an MDM reveals.

`decode` lets a model write its own answer: greedily from left to right (ARM), or one denoising step at a time, the
most confident masked positions first (MDM). `reveal_order` fixes the order of the steps that attribution explains:
the model's own confidence order on the clean prompt, with the clean tokens revealed as it goes (METHOD).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from engine.encoding import Encoded, Ids
from engine.models import Model

Order = tuple[tuple[int, ...], ...]  # per denoising step, the answer indices revealed in it


def step_sizes(length: int, steps: int) -> list[int]:
    """How many of `length` positions each of `steps` steps reveals; earlier steps take the remainder."""
    return [length // steps + (step < length % steps) for step in range(steps)]


@torch.no_grad()
def decode(model: Model, prompts: Sequence[Ids], length: int, steps: int) -> list[Ids]:
    """The `length` tokens with which a model continues each prompt; prompts of any length, `steps` used by MDMs."""
    answers: dict[int, Ids] = {}
    for rows in _same_length(prompts):
        batch = torch.tensor([prompts[i] for i in rows], device=model.device)  # [batch, prompt]
        ids = _decode_causal(model, batch, length) if model.causal else _decode_masked(model, batch, length, steps)
        answers |= {row: tuple(answer) for row, answer in zip(rows, ids[:, batch.shape[1] :].tolist(), strict=True)}
    return [answers[i] for i in range(len(prompts))]


@torch.no_grad()
def reveal_order(model: Model, examples: Sequence[Encoded], order: str, steps: int, seed: int) -> list[Order]:
    """Which answer indices each of `steps` steps reveals, per example (all answers of one length)."""
    length = len(examples[0].answer)
    if order == "confidence" and steps > 1:
        return _confidence_order(model, examples, step_sizes(length, steps))
    sequences = [list(range(length)) for _ in examples]
    if order == "random":
        for i, sequence in enumerate(sequences):
            random.Random(f"order/{seed}/{i}").shuffle(sequence)
    return [_cut(sequence, step_sizes(length, steps)) for sequence in sequences]


def _confidence_order(model: Model, examples: Sequence[Encoded], sizes: list[int]) -> list[Order]:
    orders: dict[int, Order] = {}
    for rows in _same_length([e.prompt for e in examples]):
        clean = torch.tensor([examples[i].answer for i in rows], device=model.device)  # [batch, answer]
        ids = _with_masks(model, torch.tensor([examples[i].prompt for i in rows], device=model.device), clean.shape[1])
        start = ids.shape[1] - clean.shape[1]
        steps: list[Tensor] = []
        for size in sizes:
            confidence, _ = _predict(model, ids, start)
            picked = confidence.topk(size, dim=1).indices  # [batch, size]
            ids.scatter_(1, start + picked, clean.gather(1, picked))
            steps.append(picked.sort(1).values)
        orders |= {row: tuple(tuple(step[i].tolist()) for step in steps) for i, row in enumerate(rows)}
    return [orders[i] for i in range(len(examples))]


def _decode_causal(model: Model, ids: Tensor, length: int) -> Tensor:
    for _ in range(length):
        best = model.logits(ids)[:, -1].argmax(-1, keepdim=True)  # [batch, 1]
        ids = torch.cat([ids, best], 1)
    return ids


def _decode_masked(model: Model, prompts: Tensor, length: int, steps: int) -> Tensor:
    ids = _with_masks(model, prompts, length)
    start = prompts.shape[1]
    for size in step_sizes(length, steps):
        confidence, best = _predict(model, ids, start)
        picked = confidence.topk(size, dim=1).indices
        ids.scatter_(1, start + picked, best.gather(1, picked))
    return ids


def _predict(model: Model, ids: Tensor, start: int) -> tuple[Tensor, Tensor]:
    """Top probability (-inf where already revealed) and top token of every answer position: [batch, answer]."""
    read = [model.read_position(position) for position in range(start, ids.shape[1])]
    logits = model.logits(ids)[:, read].float()
    # A model never reveals the mask itself.
    logits[..., model.mask_id] = -torch.inf
    probability, best = logits.softmax(-1).max(-1)
    revealed = torch.ne(ids[:, start:], model.mask_id)  # type: ignore[arg-type]
    return probability.masked_fill(revealed, -torch.inf), best


def _with_masks(model: Model, prompts: Tensor, length: int) -> Tensor:
    masks = torch.full((len(prompts), length), model.mask_id, device=prompts.device)  # type: ignore[arg-type]
    return torch.cat([prompts, masks], 1)


def _cut(sequence: list[int], sizes: list[int]) -> Order:
    cuts, start = [], 0
    for size in sizes:
        cuts.append(tuple(sorted(sequence[start : start + size])))
        start += size
    return tuple(cuts)


def _same_length(prompts: Sequence[Ids], most: int = 256) -> list[list[int]]:
    """Row numbers grouped by prompt length, at most `most` to a group."""
    groups: dict[int, list[int]] = {}
    for i, prompt in enumerate(prompts):
        groups.setdefault(len(prompt), []).append(i)
    return [rows[i : i + most] for rows in groups.values() for i in range(0, len(rows), most)]
