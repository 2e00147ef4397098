"""Share a sweep out among the tasks of a job array, each of which computes its share and nothing of the others'.

1. Runs whose circuits the same evidence needs stay together, so that no shard waits for another. Only the parts of a
   circuit of many examples are shared out each by itself; the shard that has the circuit puts them together when all
   are there.
2. In the order of the sweep, which goes pair by pair and model by model, so that a shard loads few models, runs are
   laid end to end, each as long as its estimated cost (engine/sweeps/cost.py).
3. That length is cut into equal pieces; whatever has its middle in a piece belongs to it.

All of it comes from the sweep alone, not from what is stored: every task of an array decides alike, whenever it starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from engine.errors import UserError
from engine.sweeps.plan import Wanted

SHARD = re.compile(r"(\d{1,5})/(\d{1,5})", re.ASCII)


@dataclass(frozen=True)
class Shard:
    """One of `count` shards, `number` from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def shard_named(text: str) -> Shard:
    """The shard that a text such as "3/16" names.

    Raises:
        UserError: it is no such text, or there is no such shard.
    """
    match = SHARD.fullmatch(text.strip())
    if match and 1 <= (number := int(match[1])) <= (count := int(match[2])):
        return Shard(number, count)
    raise UserError(f"The shard is {text[:40]!r}. Write which of how many, as in 3/16, counted from 1.")


def share(everything: Sequence[Wanted], shard: Shard) -> list[Wanted]:
    """What belongs to one shard, in the order of the sweep."""
    groups = [group for together in _together(everything) for group in _parts_apart(together)]
    costs = [sum(each.multiplications for each in group) for group in groups]
    total, before = sum(costs), 0.0
    own: list[Wanted] = []
    for group, cost in zip(groups, costs, strict=True):
        middle = (before + cost / 2) / total if total else 0.0
        if min(int(middle * shard.count), shard.count - 1) == shard.number - 1:
            own += group
        before += cost
    return own


def _parts_apart(group: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    """The parts of circuits in a group, each by itself, then the group without them."""
    for each in group:
        for part in each.parts:
            yield [Wanted(each.spec, parts=(part,))]
    yield [replace(each, parts=()) for each in group]


def _together(everything: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    """Groups of runs whose circuits are needed by evidence of one another, in the order of their first."""
    group_of = {each.spec: number for number, each in enumerate(everything)}
    for number, each in enumerate(everything):
        for other in each.compared:
            joined = group_of.setdefault(other, number), group_of[each.spec]
            if joined[0] != joined[1]:
                merged, gone = min(joined), max(joined)
                group_of.update({spec: merged for spec, group in group_of.items() if group == gone})
    groups: dict[int, list[Wanted]] = {}
    for each in everything:
        groups.setdefault(group_of[each.spec], []).append(each)
    for number in sorted(groups):
        yield groups[number]
