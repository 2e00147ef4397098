"""What an adapter is trained on: problems of the four tasks as plain text, and text that the base model wrote itself.

A batch is a function of seed, phase, task and step, so that training goes on after an interruption as it would have
without. All rows of a batch have the same prompt length and the same answer length: nothing is padded. Its first row
decides which lengths, so that every length is as frequent as among all problems.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from engine.models.encoding import Ids, spell
from engine.tasks.natural import Natural, variant_for
from engine.tasks.registry import TASKS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from engine.tasks.base import Split, Task

TEXT = "text"  # the name of the base model's own text among the tasks
ROWS = {"countdown": 8, "sudoku": 6, "ioi": 16, "greater_than": 16, TEXT: 4}  # of a batch: 200 to 300 tokens each
WEIGHTS = {  # how often a task is drawn; the base model can do much of the last two from left to right
    "arm": {"countdown": 1.0, "sudoku": 1.0, "ioi": 0.5, "greater_than": 0.125},
    "mdm": {"countdown": 1.0, "sudoku": 1.0, "ioi": 0.5, "greater_than": 0.5},
}
TEXT_EVERY = 4  # steps
POOL = 2048  # problems that are drawn together, for
POOL_STEPS = 400  # steps

Row = tuple[Ids, Ids]  # a prompt and its answer


@dataclass(frozen=True)
class Batch:
    """ids [row, pos]; the answer is everything from `start` on."""

    ids: Tensor
    start: int


@dataclass(frozen=True)
class Mixture:
    """`text` [row, pos]: text of the base model."""

    tokenizer: PreTrainedTokenizerBase
    text: Tensor
    seed: int

    def batch(self, name: str, phase: str, step: int) -> Batch:
        rng = random.Random(f"{self.seed}/{phase}/{name}/{step}")
        if name == TEXT:
            return Batch(self.text[rng.sample(range(len(self.text)), min(ROWS[TEXT], len(self.text)))], 1)
        pool = problems(name, self.tokenizer, f"{self.seed}/{phase}/{step // POOL_STEPS}")
        prompt, answer = rng.choice(pool)
        alike = [row for row in pool if (len(row[0]), len(row[1])) == (len(prompt), len(answer))]
        rows = rng.sample(alike, min(ROWS[name], len(alike)))
        return Batch(torch.tensor([[*prompt, *answer] for prompt, answer in rows]), len(prompt))


def chosen_tasks(seed: int, phase: str, step: int) -> list[str]:
    """What a step is made of: a batch of each of two tasks, and at times one of text."""
    rng = random.Random(f"{seed}/{phase}/{step}")
    weights = dict(WEIGHTS[phase])
    first = rng.choices(list(weights), list(weights.values()))[0]
    del weights[first]
    second = rng.choices(list(weights), list(weights.values()))[0]
    return [first, second, *([TEXT] if step % TEXT_EVERY == 0 else [])]


def plain_task(name: str, tokenizer: PreTrainedTokenizerBase) -> Task:
    return variant_for(TASKS[name], "plain", tokenizer)


@lru_cache(maxsize=2 * len(ROWS))
def problems(name: str, tokenizer: PreTrainedTokenizerBase, seed: str, split: Split = "train") -> list[Row]:
    """Drawn problems in tokens; the same one may come twice. They need no corrupted examples that align."""
    task, rng = cast(Natural, plain_task(name, tokenizer)), random.Random(f"pool/{name}/{seed}")
    drawn = (task.draw(rng, split) for _ in range(POOL))
    spelled = (spell(e.prompt, e.answer, e.join, tokenizer) for e in drawn)
    return [(s.prompt, s.answer) for s in spelled]
