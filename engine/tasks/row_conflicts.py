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


class ComparedRow(Protocol):
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


def repeats(rows: Sequence[ComparedRow]) -> list[int | None]:
    """Of every row the place of the first one that says the same, if that is another; candidates in any order."""
    first: dict[Hashable, int] = {}
    earlier = []
    for place, row in enumerate(rows):
        before = first.setdefault((row.clean, row.corrupted, frozenset(row.answers), frozenset(row.foils)), place)
        earlier.append(before if before != place else None)
    return earlier


def contradictions(rows: Sequence[ComparedRow]) -> dict[int, tuple[int, str]]:
    """By the place of a row: the first row that it contradicts, and why."""
    conflicts: dict[int, tuple[int, str]] = {}
    by_clean: dict[Hashable, list[int]] = {}
    for place, row in enumerate(rows):
        right, wrong = set(row.answers), set(row.foils)
        for other in by_clean.get(row.clean, ()):
            if right & set(rows[other].foils) or wrong & set(rows[other].answers):
                conflicts.setdefault(place, (other, OPPOSED))
        for other in by_clean.get(row.corrupted, ()):
            if rows[other].corrupted == row.clean != row.corrupted and set(rows[other].answers) == right:
                conflicts.setdefault(place, (other, EXCHANGED))
        by_clean.setdefault(row.clean, []).append(place)
    return conflicts


def other_answers(rows: Sequence[ComparedRow]) -> dict[int, int]:
    """By the place of a row: the first row with the same clean prompt whose answers are all others."""
    conflicts: dict[int, int] = {}
    by_clean: dict[Hashable, list[int]] = {}
    for place, row in enumerate(rows):
        for other in by_clean.setdefault(row.clean, []):
            if not set(row.answers) & set(rows[other].answers):
                conflicts.setdefault(place, other)
        by_clean[row.clean].append(place)
    return conflicts
