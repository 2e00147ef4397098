"""Rows of own prompts against each other: the same row again, and rows that contradict each other.

A row says that after its clean prompt its answers are right and its foils wrong. Two rows contradict each other where

- after the same clean prompt one calls right what the other calls wrong, or
- one has the other's prompts exchanged, but the same right answers.

What one of them adds to a score the other takes away, so that what is left ranks nothing. That a corrupted prompt has
several answers is no contradiction: a prompt with a third name corrupts both orders of two names.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol


class Said(Protocol):
    """What a row says, in texts or in tokens."""

    @property
    def clean(self) -> Hashable: ...
    @property
    def corrupted(self) -> Hashable: ...
    @property
    def answers(self) -> Sequence[Hashable]: ...
    @property
    def foils(self) -> Sequence[Hashable]: ...


OPPOSED = "after the same clean prompt one calls right what the other calls wrong"
EXCHANGED = "one has the other's prompts exchanged, but the same answers"


def repeats(rows: Sequence[Said]) -> list[int | None]:
    """Of every row the place of the first one that says the same, if that is another; candidates in any order."""
    first: dict[Hashable, int] = {}
    found = []
    for place, row in enumerate(rows):
        before = first.setdefault((row.clean, row.corrupted, frozenset(row.answers), frozenset(row.foils)), place)
        found.append(before if before != place else None)
    return found


def contradictions(rows: Sequence[Said]) -> dict[int, tuple[int, str]]:
    """By the place of a row: the first row that it contradicts, and why."""
    found: dict[int, tuple[int, str]] = {}
    seen: dict[Hashable, list[int]] = {}  # by clean prompt
    for place, row in enumerate(rows):
        right, wrong = set(row.answers), set(row.foils)
        for other in seen.get(row.clean, ()):
            if right & set(rows[other].foils) or wrong & set(rows[other].answers):
                found.setdefault(place, (other, OPPOSED))
        for other in seen.get(row.corrupted, ()):
            if rows[other].corrupted == row.clean != row.corrupted and set(rows[other].answers) == right:
                found.setdefault(place, (other, EXCHANGED))
        seen.setdefault(row.clean, []).append(place)
    return found


def other_answers(rows: Sequence[Said]) -> dict[int, int]:
    """By the place of a row: the first row with the same clean prompt whose answers are all others."""
    found: dict[int, int] = {}
    seen: dict[Hashable, list[int]] = {}
    for place, row in enumerate(rows):
        for other in seen.setdefault(row.clean, []):
            if not set(row.answers) & set(rows[other].answers):
                found.setdefault(place, other)
        seen[row.clean].append(place)
    return found
