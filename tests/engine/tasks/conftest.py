"""Ten thousand drawn examples of every task and split, drawn once."""

from __future__ import annotations

import random
from functools import cache

import pytest

from engine.models.example import Example
from engine.tasks.base import Split, Task
from engine.tasks.registry import TASKS

DRAWN = 10_000


@cache
def drawn(name: str, split: Split, seed: int = 0) -> list[Example]:
    """What training or an evaluation may meet: repeats allowed."""
    rng = random.Random(f"{name}/{split}/{seed}")
    return [TASKS[name].sample(rng, split) for _ in range(DRAWN)]


@pytest.fixture(params=list(TASKS))
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS[request.param]


@pytest.fixture(params=["train", "heldout"])
def split(request: pytest.FixtureRequest) -> Split:
    return request.param


@pytest.fixture
def sampled(task: Task, split: Split) -> list[Example]:
    return drawn(task.name, split)
