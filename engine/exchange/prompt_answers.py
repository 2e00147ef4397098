"""Right and wrong answers from the cells of a prompt file: texts, token ids, or a year's last two digits.

Nothing in a file says to which tokenizer its ids belong. They are held against the texts that the file has: its own
answers, or the two people of whom its prompt asks for one (IOI); and what they mean here is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.errors import UserError, shortened
from engine.files.reading import read_json
from engine.models.light_tokenizer import Words
from engine.models.pairs import Pair
from engine.tasks.greater_than import YEARS
from engine.tasks.prompt_checks import MOST_CANDIDATES

TEXTS = ("answer", "foil")
IDS = ("correct_idx", "incorrect_idx")
SHOWN = 3  # rows and ids that a sentence shows

Answers = tuple[tuple[str, ...], tuple[str, ...]]  # right and wrong ones
Cells = Mapping[str, str]  # of a row, by column

_ID = re.compile(r"\s*(-?[0-9]{1,12})\s*")
_ID_LIST = re.compile(r"\s*\[([-0-9,\s]*)\]\s*")
_YEAR = re.compile(r"\b(\d\d) ?(\d\d)\b.*\b\1\s*$", re.DOTALL)  # a year, and at the end its century again
_TWO_NAMES = re.compile(r"\b([A-Z]\w+) and ([A-Z]\w+)\b(?=.*\b(?:\1|\2)\b.* to\s*$)", re.DOTALL)


def of_texts(number: int, cells: Cells) -> Answers:
    """Answers that are texts; several are a list in JSON.

    Raises:
        UserError: a cell begins like a list but is none, or lists too many.
    """
    answers, foils = (_texts(number, name, cells[name]) for name in TEXTS)
    return answers, foils


def asks_for_later_year(prompt: str) -> bool:
    """Whether a prompt has a year and ends with its century, as greater-than does."""
    return _YEAR.search(prompt) is not None


@dataclass(frozen=True)
class AnswerReader:
    """Answers that need the tokenizer of a pair to be read."""

    pair: Pair
    words: Words

    def of_ids(self, number: int, cells: Cells) -> Answers:
        """Right and wrong answers, at least one side given as token ids.

        Raises:
            UserError: an id is none of this tokenizer's, or is another answer than the texts say.
        """
        right, wrong = (self._side(number, cells, *names) for names in zip(TEXTS, IDS, strict=True))
        return right, wrong

    def later_years(self, number: int, cells: Cells, column: str) -> Answers:
        """Of a year's last two digits those that are later, the next first, and the others, the nearest first.

        Raises:
            UserError: the prompt has no such year, or the tokenizer cuts two digits.
        """
        match, label = _YEAR.search(cells["clean"]), cells[column].strip()
        year = match[2] if match else ""
        if not (label.isascii() and label.isdigit() and label.zfill(2) == year and year < YEARS[-1]):
            raise UserError(
                f"Row {number}: {column} is {shortened(label)}. It must be the last two digits of the clean prompt's "
                "year, from 00 to 98, and the prompt must end with the century, as in: from the year 1731 to the "
                "year 17."
            )
        cut = next((ending for ending in YEARS if len(self.words.ids(ending)) != 1), None)
        if cut is not None:
            raise UserError(
                f"Row {number}: {column} stands for all later years, but {cut!r} is {len(self.words.ids(cut))} tokens "
                f"in the pair {self.pair.name}. The task greater_than asks for such years digit by digit."
            )
        return tuple(YEARS[int(year) + 1 :]), tuple(reversed(YEARS[: int(year) + 1]))

    def shown(self, answers: Mapping[int, Answers], cells: Mapping[int, Cells]) -> str:
        """What the ids of rows mean here."""
        told = []
        for number, sides in list(answers.items())[:SHOWN]:
            named = [
                (cells[number][name], texts) for name, texts in zip(IDS, sides, strict=True) if name in cells[number]
            ]
            told += [
                f"row {number}: "
                + ", ".join(f"{shortened(cell.strip(), 40)} is {_some(texts)}" for cell, texts in named)
            ]
        more = f"; and {len(answers) - SHOWN} more rows" if len(answers) > SHOWN else ""
        return f"Token ids as the pair {self.pair.name} reads them: {'; '.join(told)}{more}."

    def _side(self, number: int, cells: Cells, text: str, id: str) -> tuple[str, ...]:
        if id not in cells:
            return _texts(number, text, cells[text])
        ids = list(_ids(number, id, cells[id]))
        read = tuple(self._text_of(number, id, token_id) for token_id in ids)
        if text in cells:
            texts = _texts(number, text, cells[text])
            if [answer.strip() for answer in read] != [answer.strip() for answer in texts]:
                raise UserError(self._foreign(number, id, ids[0], read[0], f"{text} is {shortened(texts[0])}"))
        elif id == IDS[0]:
            names = _TWO_NAMES.search(cells["clean"])
            if names and not any(name.startswith(read[0].strip()) for name in names.groups()):
                asked = shortened(" or ".join(names.groups()))
                raise UserError(self._foreign(number, id, ids[0], read[0], f"the prompt asks for {asked}"))
        return read

    def _foreign(self, number: int, name: str, id: int, read: str, instead: str) -> str:
        return (
            f"Row {number}: {name} {id} is {shortened(read)} to the tokenizer of the pair {self.pair.name}, but "
            f"{instead}: the ids belong to another tokenizer. Give the answers as text, in the columns "
            f"{' and '.join(TEXTS)} alone."
        )

    def _text_of(self, number: int, name: str, id: int) -> str:
        if not self.words.knows(id):
            raise UserError(
                f"Row {number}: {name} has the token id {id}. The tokenizer has ids from 0 to {self.words.size - 1}."
            )
        text = self.words.text_of(id)
        if text is None or not text.strip():
            raise UserError(
                f"Row {number}: {name} has the token id {id} ({shortened(self.words.shown(id))}), which no text of its "
                "own stands for. Choose another token."
            )
        return text


def _texts(number: int, name: str, cell: str) -> tuple[str, ...]:
    if not cell.lstrip().startswith('["'):
        return (cell,)
    try:
        listed = read_json(cell, name)
    except UserError:
        listed = None
    if not isinstance(listed, list) or not all(isinstance(text, str) and text.strip() for text in listed):
        raise UserError(
            f'Row {number}: {name} begins like a list but is none. Write ["33", "34"] with straight quotation marks.'
        )
    _refuse_many(number, name, len(listed))
    return tuple(listed)


def _ids(number: int, name: str, cell: str) -> Iterator[int]:
    listed = _ID_LIST.fullmatch(cell)
    parts = listed[1].split(",") if listed else [cell]
    if listed and not listed[1].strip():
        raise UserError(f"Row {number}: {name} is an empty list. Give at least one token id.")
    _refuse_many(number, name, len(parts))
    for part in parts:
        match = _ID.fullmatch(part)
        if not match:
            raise UserError(
                f"Row {number}: {name} is {shortened(cell, 40)}, which is no token id. Write a whole number, as 57, or "
                "a list, as [57, 58]."
            )
        yield int(match[1])


def _refuse_many(number: int, name: str, answers: int) -> None:
    if answers > MOST_CANDIDATES:
        raise UserError(f"Row {number}: {name} lists {answers} answers. {MOST_CANDIDATES} are the most.")


def _some(texts: tuple[str, ...]) -> str:
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(map(shortened, texts[:SHOWN])) + more
