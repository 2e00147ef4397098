"""Two texts aligned token by token, for prompts and answers that are to have as many tokens as their corrupted ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Literal

from engine.errors import shortened
from engine.models.light_tokenizer import Token

LONGEST_ALIGNED = 512  # tokens; longer texts are refused anyway, and common runs take the square of the length

Kind = Literal["same", "changed", "alone"]


@dataclass(frozen=True)
class Column:
    """One place of two aligned texts. A token without a counterpart stands alone, beside None."""

    clean: Token | None
    corrupted: Token | None

    @property
    def kind(self) -> Kind:
        if self.clean is None or self.corrupted is None:
            return "alone"
        unknown = not (self.clean.known and self.corrupted.known)  # all unknown words are one token
        same = self.clean.id == self.corrupted.id and (not unknown or self.clean.text == self.corrupted.text)
        return "same" if same else "changed"


def align(clean: Sequence[Token], corrupted: Sequence[Token]) -> tuple[Column, ...]:
    """Token by token when there are as many; else the longest common runs, with what has no counterpart alone."""
    if len(clean) == len(corrupted):
        return tuple(map(Column, clean, corrupted))
    if max(len(clean), len(corrupted)) > LONGEST_ALIGNED:
        return tuple(Column(*both) for both in zip_longest(clean, corrupted))
    matcher = SequenceMatcher(a=[t.id for t in clean], b=[t.id for t in corrupted], autojunk=False)
    columns: list[Column] = []
    for _, a, a_end, b, b_end in matcher.get_opcodes():
        columns += [Column(*both) for both in zip_longest(clean[a:a_end], corrupted[b:b_end])]
    return tuple(columns)


def unaligned(prompt: Sequence[Column], answer: Sequence[Column]) -> Iterator[str]:
    for names, columns in ((("clean prompt", "corrupted prompt"), prompt), (("answer", "foil"), answer)):
        clean, corrupted = (
            [t for t in side if t is not None and not t.added] for side in zip(*_sides(columns), strict=True)
        )
        if len(clean) != len(corrupted):
            yield _lonely(names, columns, (len(clean), len(corrupted)))
        elif all(column.kind == "same" for column in columns):
            nothing = "nothing is corrupted" if columns is prompt else "there is nothing to compare"
            yield f"The {names[0]} and the {names[1]} are the same: {nothing}."


def _sides(columns: Sequence[Column]) -> list[tuple[Token | None, Token | None]]:
    return [(column.clean, column.corrupted) for column in columns] or [(None, None)]


def _lonely(names: tuple[str, str], columns: Sequence[Column], lengths: tuple[int, int]) -> str:
    """Which tokens of the longer text have no counterpart in the shorter one."""
    longer = int(lengths[1] > lengths[0])
    place, lonely = 0, []
    for column in columns:
        token, other = (column.clean, column.corrupted)[:: 1 - 2 * longer]
        place += token is not None and not token.added
        if token is not None and other is None:
            lonely.append((place, token.text))
    first, more = lonely[0], len(lonely) - 1
    others = f" and {more} more have" if more else " has"
    return (
        f"The {names[longer]} has {lengths[longer]} tokens, the {names[1 - longer]} {lengths[1 - longer]}: "
        f"token {first[0]} of the {names[longer]}, {shortened(first[1])},{others} no counterpart."
    )
