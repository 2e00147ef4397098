"""Own prompts before they are saved: their tokens, aligned, and what is wrong with them, in sentences.

What passes here is what engine/models/encoding.py takes, for both models of the pair; the reader is told before a run
is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from engine.errors import UserError, shortened
from engine.models.light_tokenizer import Token, Words, words_of
from engine.models.pairs import Pair
from engine.models.scorable import mask_of, reader_of
from engine.tasks import row_conflicts
from engine.tasks.alignment import Column, align, unaligned
from engine.tasks.own_prompts import PromptRow
from engine.tasks.whole_text import remarks

MOST_ROWS = 200
LONGEST_PROMPT = 256  # tokens
LONGEST_ANSWER = 16  # tokens
LONGEST_TEXT = 20_000  # characters, so that a page of a book is refused before it is tokenised
MOST_CANDIDATES = 500  # right or wrong answers of a row
LISTED = 5  # unknown words that a sentence shows


@dataclass(frozen=True)
class CheckedRow:
    """A row, its prompts and its answers aligned token by token; a sentence for everything to be put right
    (`problems`), and for everything to be known (`warnings`). `repeats`: the number of an earlier row that says the
    same.
    """

    row: PromptRow
    prompt: tuple[Column, ...]
    answer: tuple[Column, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    repeats: int | None = None


def check(rows: Sequence[PromptRow], pair: Pair, numbers: Sequence[int] = ()) -> list[CheckedRow]:
    """Every row with its tokens (the ARM's) and what is wrong with it for either model.

    `numbers`: what rows are called where a sentence names another row; counted from 1 if not given.

    Raises:
        UserError: there are too many rows, or the pair's tokenizers are not here.
    """
    if len(rows) > MOST_ROWS:
        raise UserError(f"There are {len(rows)} rows. {MOST_ROWS} are the most.")
    mask = _mask_of(pair)
    readers = [
        _Reader(words, pair, mask) for words in dict.fromkeys(words_of(pair.tokenizer(m)) for m in ("arm", "mdm"))
    ]
    lengths = [[_answer_length(row, reader.words) for row in rows] for reader in readers]
    checked = []
    for index, row in enumerate(rows):
        results = [reader.checked(row) for reader in readers]
        uneven = (_uneven(of[0], of[index]) for of in lengths)
        problems = dict.fromkeys(p for each in (*(result.problems for result in results), *uneven) for p in each)
        warnings = dict.fromkeys(warning for result in results for warning in result.warnings)
        checked.append(CheckedRow(row, results[0].prompt, results[0].answer, tuple(problems), tuple(warnings)))
    return _compared(checked, readers[0].words, numbers or range(1, len(rows) + 1))


def distinct(checked: Sequence[CheckedRow]) -> list[PromptRow]:
    """The rows without those that repeat another."""
    return [result.row for result in checked if result.repeats is None]


@dataclass(frozen=True)
class _InTokens:
    """What a row says to a model, as engine/tasks/row_conflicts.py compares it."""

    clean: tuple[int, ...]
    corrupted: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    foils: tuple[tuple[int, ...], ...]


def _compared(checked: Sequence[CheckedRow], words: Words, numbers: Sequence[int]) -> list[CheckedRow]:
    """The rows with what is to be said of two of them: those that can be read, as what is unknown is all one token."""
    places = [place for place, result in enumerate(checked) if not result.problems]
    tokens = [_in_tokens(checked[place].row, words) for place in places]
    again, against = row_conflicts.repeats(tokens), row_conflicts.contradictions(tokens)
    other = row_conflicts.other_answers(tokens)
    compared = list(checked)
    for i, place in enumerate(places):
        result = compared[place]
        before = again[i]
        if before is not None:
            compared[place] = replace(result, repeats=numbers[places[before]])
        elif i in against:
            row, why = against[i]
            problem = (
                f"It contradicts row {numbers[places[row]]}: {why}, so that what one adds to a score the other takes "
                "away. Remove one of the two."
            )
            compared[place] = replace(result, problems=(problem,))
        elif i in other:
            warning = (
                f"Row {numbers[places[other[i]]]} gives the same clean prompt another answer: no more than one of the "
                "two can be solved. Answers that are all right are one row's list."
            )
            compared[place] = replace(result, warnings=(*result.warnings, warning))
    return compared


def _in_tokens(row: PromptRow, words: Words) -> _InTokens:
    answers, foils = (tuple(words.ids(text) for text in texts) for texts in (row.answers, row.foils))
    return _InTokens(words.prompt_ids(row.clean), words.prompt_ids(row.corrupted), answers, foils)


def row_problem(number: int, problem: str) -> str:
    return f"Row {number}: {problem}"


@dataclass(frozen=True)
class _Reader:
    """The checks of one model's tokenizer."""

    words: Words
    pair: Pair
    mask: str | int | None  # as the pair or the MDM's files name it; None: not known

    def checked(self, row: PromptRow) -> CheckedRow:
        unreadable = tuple(_unreadable(row))
        if unreadable:
            return CheckedRow(row, (), (), unreadable)
        prompt = align(self.words.prompt_tokens(row.clean), self.words.prompt_tokens(row.corrupted))
        answer = align(self.words.tokens(row.answers[0]), self.words.tokens(row.foils[0]))
        problems = list(_empty(row))
        if problems:
            return CheckedRow(row, prompt, answer, tuple(problems))
        problems += self._unknown(row)
        problems += unaligned(prompt, answer)
        problems += self._too_long(row)
        problems += self._candidates(row)
        problems += self._masked(row)
        return CheckedRow(row, prompt, answer, tuple(problems), tuple(remarks(row, self.words)))

    def _unknown(self, row: PromptRow) -> Iterator[str]:
        prompts = [("the clean prompt", row.clean), ("the corrupted prompt", row.corrupted)]
        named = [(what, self._own(text)) for what, text in prompts]
        named += [("the answer", self.words.tokens(text)) for text in row.answers]
        named += [("the foil", self.words.tokens(text)) for text in row.foils]
        for what, tokens in named:
            unknown = [(place, token.text) for place, token in enumerate(tokens, 1) if not token.known]
            if unknown:
                place, word = unknown[0]
                listed = [f"{shortened(word)} (token {place} of {what})"]
                listed += [f"{shortened(word)} (token {place})" for place, word in unknown[1:LISTED]]
                more = f" and {len(unknown) - LISTED} more of its tokens" if len(unknown) > LISTED else ""
                yield f"The tokenizer of the pair {self.pair.name} doesn't know {', '.join(listed)}{more}."

    def _own(self, prompt: str) -> list[Token]:
        """A prompt's tokens but those that the tokenizer put before them."""
        return [token for token in self.words.prompt_tokens(prompt) if not token.added]

    def _too_long(self, row: PromptRow) -> Iterator[str]:
        for what, text in (("clean", row.clean), ("corrupted", row.corrupted)):
            length = len(self._own(text))
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
                several = "Where several answers are right or wrong, each must be one token."
                yield f"{several} {shortened(text)} is {length}."
                return
        right, wrong = ([self.words.ids(text) for text in texts] for texts in (row.answers, row.foils))
        wrong_ids = set(wrong)
        for text, ids in zip(row.answers, right, strict=True):
            if ids in wrong_ids:
                yield f"{text!r} is both right and wrong."
        for what, texts, all_ids in (("right", row.answers, right), ("wrong", row.foils, wrong)):
            first = {ids: place for place, ids in reversed(list(enumerate(all_ids)))}
            twice = next((text for place, text in enumerate(texts) if first[all_ids[place]] != place), None)
            if twice is not None:
                yield f"{twice!r} is listed twice among the {what} answers."

    def _masked(self, row: PromptRow) -> Iterator[str]:
        mask = self.words.id_of(self.mask) if isinstance(self.mask, str) else self.mask
        sides = (("clean prompt", (row.clean,)), ("corrupted prompt", (row.corrupted,)))
        for what, texts in (*sides, ("answer", row.answers), ("foil", row.foils)):
            if any(mask in self.words.ids(text) for text in texts):
                yield f"The {what} contains the mask {self.mask!r}, which stands for what is not known yet."


def _mask_of(pair: Pair) -> str | int | None:
    """The mask of a pair's MDM; None where its files are not here or name none, which a run is refused for."""
    try:
        return mask_of(pair, reader_of(pair, "mdm"))
    except UserError:
        return None


def _unreadable(row: PromptRow) -> Iterator[str]:
    """What keeps a row from being tokenised at all."""
    texts = (row.clean, row.corrupted, *row.answers, *row.foils)
    if any(not _is_text(text) for text in texts):
        yield "It holds a NUL or half a character, which is no text."
    longest = max(map(len, texts))
    if longest > LONGEST_TEXT:
        yield f"It holds a text of {longest} characters. {LONGEST_TEXT} are the most."
    most = max(len(row.answers), len(row.foils))
    if most > MOST_CANDIDATES:
        yield f"It lists {most} right or wrong answers. {MOST_CANDIDATES} are the most."


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


def _answer_length(row: PromptRow, words: Words) -> int:
    return 0 if any(_unreadable(row)) else len(words.ids(row.answers[0]))


def _uneven(first: int, own: int) -> Iterator[str]:
    """All answers of a set have as many tokens, as a step of denoising is the same step for every row."""
    if first and own and own != first:
        yield f"The answer has {own} tokens and that of the first row {first}. All rows need as many."
