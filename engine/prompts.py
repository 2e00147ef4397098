"""Own prompts before they are saved: their tokens, aligned, and what is wrong with them, in sentences.

What passes here is what engine/encoding.py takes, for both models of the pair; the reader is told before a run is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Literal

from engine.errors import UserError
from engine.pairs import Pair
from engine.tasks.own import PromptRow
from engine.tokens import Token, Words, words_of

MOST_ROWS = 200
LONGEST_PROMPT = 256  # tokens
LONGEST_ANSWER = 16  # tokens

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
        return "same" if self.clean.id == self.corrupted.id else "changed"


@dataclass(frozen=True)
class CheckedRow:
    """A row, its prompts and its answers aligned token by token, and a sentence for everything to be put right."""

    row: PromptRow
    prompt: tuple[Column, ...]
    answer: tuple[Column, ...]
    problems: tuple[str, ...]


def check(rows: Sequence[PromptRow], pair: Pair) -> list[CheckedRow]:
    """Every row with its tokens (the ARM's) and what is wrong with it for either model.

    Raises:
        UserError: there are too many rows, or the pair's tokenizers are not here.
    """
    if len(rows) > MOST_ROWS:
        raise UserError(f"There are {len(rows)} rows. {MOST_ROWS} are the most.")
    readers = [_Reader(words, pair) for words in dict.fromkeys(words_of(pair.tokenizer(m)) for m in ("arm", "mdm"))]
    lengths = [[_answer_length(row, reader.words) for row in rows] for reader in readers]
    checked = []
    for index, row in enumerate(rows):
        found = [reader.checked(row) for reader in readers]
        uneven = (_uneven(of[0], of[index]) for of in lengths)
        problems = dict.fromkeys(p for each in (*(one.problems for one in found), *uneven) for p in each)
        checked.append(CheckedRow(row, found[0].prompt, found[0].answer, tuple(problems)))
    return checked


def align(clean: Sequence[Token], corrupted: Sequence[Token]) -> tuple[Column, ...]:
    """Token by token when there are as many; else the longest common runs, with what has no counterpart alone."""
    if len(clean) == len(corrupted):
        return tuple(map(Column, clean, corrupted))
    matcher = SequenceMatcher(a=[t.id for t in clean], b=[t.id for t in corrupted], autojunk=False)
    columns: list[Column] = []
    for _, a, a_end, b, b_end in matcher.get_opcodes():
        columns += [Column(*both) for both in zip_longest(clean[a:a_end], corrupted[b:b_end])]
    return tuple(columns)


def row_problem(number: int, problem: str) -> str:
    return f"Row {number}: {problem}"


@dataclass(frozen=True)
class _Reader:
    """The checks of one model's tokenizer."""

    words: Words
    pair: Pair

    def checked(self, row: PromptRow) -> CheckedRow:
        texts = (row.clean, row.corrupted, *row.answers, *row.foils)
        if any(not _is_text(text) for text in texts):
            return CheckedRow(row, (), (), ("It holds a NUL or half a character, which is no text.",))
        sides = ((row.clean, row.corrupted), (row.answers[0], row.foils[0]))
        prompt, answer = (align(self.words.tokens(clean), self.words.tokens(other)) for clean, other in sides)
        problems = list(_empty(row))
        if not problems:
            problems += self._unknown(row)
            problems += _unaligned(prompt, answer)
            problems += self._too_long(row)
            problems += self._candidates(row)
            problems += self._masked(row)
        return CheckedRow(row, prompt, answer, tuple(problems))

    def _unknown(self, row: PromptRow) -> Iterator[str]:
        named = [("the clean prompt", row.clean), ("the corrupted prompt", row.corrupted)]
        named += [("the answer", text) for text in row.answers] + [("the foil", text) for text in row.foils]
        for what, text in named:
            found = [(place, t.text) for place, t in enumerate(self.words.tokens(text), 1) if not t.known]
            if found:
                (place, word), more = found[0], len(found) - 1
                rest = f" and {more} more of its tokens" if more else ""
                where = f"(token {place} of {what})"
                yield f"The tokenizer of the pair {self.pair.name} doesn't know {word!r} {where}{rest}."

    def _too_long(self, row: PromptRow) -> Iterator[str]:
        for what, text in (("clean", row.clean), ("corrupted", row.corrupted)):
            length = len(self.words.tokens(text))
            if length > LONGEST_PROMPT:
                yield f"The {what} prompt has {length} tokens. {LONGEST_PROMPT} are the most."
        for what, texts in (("answer", row.answers), ("foil", row.foils)):
            length = len(self.words.ids(texts[0]))
            if length > LONGEST_ANSWER:
                yield f"The {what} has {length} tokens. {LONGEST_ANSWER} are the most."
        whole = max(len(self.words.prompt_ids(text)) for text in (row.clean, row.corrupted))
        whole += len(self.words.ids(row.answers[0]))
        if self.words.positions is not None and whole > self.words.positions:
            yield (
                f"Prompt and answer have {whole} tokens together. "
                f"The models of the pair {self.pair.name} read {self.words.positions} at most."
            )

    def _candidates(self, row: PromptRow) -> Iterator[str]:
        if not row.has_candidates:
            return
        for text in (*row.answers, *row.foils):
            length = len(self.words.ids(text))
            if length != 1:
                yield f"Where several answers are right or wrong, each must be one token. {text!r} is {length}."
        right, wrong = ([self.words.ids(text) for text in texts] for texts in (row.answers, row.foils))
        for text, ids in zip(row.answers, right, strict=True):
            if ids in wrong:
                yield f"{text!r} is both right and wrong."
        for what, texts, found in (("right", row.answers, right), ("wrong", row.foils, wrong)):
            twice = next((text for i, text in enumerate(texts) if found[i] in found[:i]), None)
            if twice is not None:
                yield f"{twice!r} is listed twice among the {what} answers."

    def _masked(self, row: PromptRow) -> Iterator[str]:
        named = self.pair.mask
        mask = self.words.id_of(named) if isinstance(named, str) else named
        for what, texts in (("answer", row.answers), ("foil", row.foils)):
            if any(mask in self.words.ids(text) for text in texts):
                yield f"The {what} contains the mask {named!r}, which stands for what is not known yet."


def _is_text(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _empty(row: PromptRow) -> Iterator[str]:
    for what, texts in (
        ("clean prompt", (row.clean,)),
        ("corrupted prompt", (row.corrupted,)),
        ("answer", row.answers),
        ("foil", row.foils),
    ):
        if any(not text.strip() for text in texts):
            yield f"The {what} is empty."


def _unaligned(prompt: Sequence[Column], answer: Sequence[Column]) -> Iterator[str]:
    for names, columns in ((("clean prompt", "corrupted prompt"), prompt), (("answer", "foil"), answer)):
        clean, corrupted = ([t for t in side if t is not None] for side in zip(*_sides(columns), strict=True))
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
        place += token is not None
        if token is not None and other is None:
            lonely.append((place, token.text))
    first, more = lonely[0], len(lonely) - 1
    others = f" and {more} more have" if more else " has"
    return (
        f"The {names[longer]} has {lengths[longer]} tokens, the {names[1 - longer]} {lengths[1 - longer]}: "
        f"token {first[0]} of the {names[longer]}, {first[1]!r},{others} no counterpart."
    )


def _answer_length(row: PromptRow, words: Words) -> int:
    return len(words.ids(row.answers[0])) if _is_text(row.answers[0]) else 0


def _uneven(first: int, own: int) -> Iterator[str]:
    """All answers of a set have as many tokens, as a step of denoising is the same step for every row."""
    if first and own and own != first:
        yield f"The answer has {own} tokens and that of the first row {first}. All rows need as many."
