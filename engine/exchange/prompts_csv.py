"""Own prompts from and to CSV, in the format of EAP-IG (Hanna et al. 2024).

Columns, in any order: clean, corrupted, and right and wrong answers, each as text (answer, foil) or as token ids
(correct_idx, incorrect_idx: a number or a list). Several right or wrong answers are a list: [3, 5] of ids,
["33", "34"] of texts. Ids are checked against texts where a file has both. A file of years (greater-than) has the
last two digits of the year as label, or as correct_idx alone: later years are right. Other columns are passed over.
Cells are text and nothing else. Rows are counted as a spreadsheet counts them: the header is row 1.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.errors import UserError, shortened
from engine.exchange.prompt_answers import IDS, TEXTS, AnswerReader, Cells, asks_for_later_year, of_texts
from engine.files.csv_text import as_written, csv_of
from engine.models.light_tokenizer import Words, words_of
from engine.models.pairs import Pair
from engine.tasks.own_prompts import PromptRow
from engine.tasks.prompt_checks import MOST_ROWS, CheckedRow, check, distinct, row_problem

MOST_BYTES = 1_000_000
PROMPTS = ("clean", "corrupted")
LABEL = "label"
KNOWN = (*PROMPTS, *TEXTS, *IDS, LABEL)
ALIASES = {  # EAP-IG's other files call right and wrong ids by what they are about
    "corrupt": "corrupted",
    "correct": "answer",
    "incorrect": "foil",
    "country_idx": "correct_idx",
    "corrupted_country_idx": "incorrect_idx",
    "clean_answer_idx": "correct_idx",
    "corrupted_answer_idx": "incorrect_idx",
    "answers_idx": "correct_idx",
    "corrupted_answers_idx": "incorrect_idx",
}
PASSED_OVER = ("", "corrupted_hard")  # without a word
LISTED = 3  # rows, columns or remarks that a note names


@dataclass(frozen=True)
class PromptFile:
    """Rows of a file by their number in it, what to know of how they were read, and how many rows the file has."""

    rows: dict[int, PromptRow]
    notes: tuple[str, ...]
    of: int


@dataclass(frozen=True)
class CheckedFile:
    """Rows that can be run, each once; how many more said the same; what to know of them."""

    rows: list[PromptRow]
    repeated: int
    notes: tuple[str, ...]


def read_csv(data: bytes, pair: Pair, n: int | None = None, first: int = 1) -> PromptFile:
    """At most `n` rows of a file from its `first` on (all if not given); token ids are read with the pair's tokenizer.

    Raises:
        UserError: what is wrong, in which row.
    """
    records = _records(_text(data))
    if not records:
        raise UserError(f"The file is empty. Its first row must name the columns {', '.join((*PROMPTS, *TEXTS))}.")
    number, header = next(iter(records.items()))
    columns, unused = _columns(header, number)
    below = {at: fields for at, fields in records.items() if at != number}
    _refuse_without_prompts(header, columns, number)
    chosen = _chosen(below, n, first)
    cells = {at: _cells(at, fields, columns) for at, fields in chosen.items()}
    label = _label_of(header, columns, number, list(cells.values()))
    unused += [LABEL] if LABEL in columns and label is None else []
    notes = [f"Columns that are not used: {_some(unused)}."] if unused else []
    if label is None and not any(name in columns for name in IDS):
        answers = {at: of_texts(at, row_cells) for at, row_cells in cells.items()}
    else:
        reader = AnswerReader(pair, words_of(pair.tokenizer("arm")))
        answers = {
            at: reader.later_years(at, row_cells, label) if label else reader.of_ids(at, row_cells)
            for at, row_cells in cells.items()
        }
        if label is None:
            notes.append(reader.shown(answers, cells))
    rows = {at: PromptRow(cells[at]["clean"], cells[at]["corrupted"], *sides) for at, sides in answers.items()}
    return PromptFile(rows, tuple(notes), len(below))


def checked_csv(data: bytes, pair: Pair, n: int | None = None) -> CheckedFile:
    """The rows of a file that can be run, or its first `n`.

    Raises:
        UserError: what is wrong, in which row: of the file, or of its prompts for this pair.
    """
    file = read_csv(data, pair, n)
    if n is not None and n > file.of:
        count = f"{file.of} row" + ("s" if file.of != 1 else "")
        raise UserError(f"The file has {count}, but {n} were asked for. Ask for {file.of}.")
    numbers = list(file.rows)
    checked = check(list(file.rows.values()), pair, numbers)
    for number, row in zip(numbers, checked, strict=True):
        if row.problems:
            raise UserError(row_problem(number, row.problems[0]))
    rows = distinct(checked)
    return CheckedFile(rows, len(checked) - len(rows), (*file.notes, *_remarks(numbers, checked)))


def _remarks(numbers: Sequence[int], checked: Sequence[CheckedRow]) -> Iterator[str]:
    again = [f"{at} (as {row.repeats})" for at, row in zip(numbers, checked, strict=True) if row.repeats is not None]
    if again:
        yield f"Rows that say the same as another count once: {_some(again)}."
    warnings = [row_problem(at, warning) for at, row in zip(numbers, checked, strict=True) for warning in row.warnings]
    yield from warnings[:LISTED]
    if len(warnings) > LISTED:
        yield f"And {len(warnings) - LISTED} more remarks of this kind."


def row_of_texts(number: int, cells: Cells) -> PromptRow:
    """A row from its cells by column; an answer or a foil may be a list of texts, as write_csv writes it.

    Raises:
        UserError: a cell begins like a list but is none.
    """
    return PromptRow(cells["clean"], cells["corrupted"], *of_texts(number, cells))


def cells_of(row: PromptRow) -> dict[str, str]:
    """The cells from which row_of_texts makes this row."""
    cells = (row.clean, row.corrupted, _as_text(row.answers), _as_text(row.foils))
    return dict(zip((*PROMPTS, *TEXTS), cells, strict=True))


def write_csv(rows: Sequence[PromptRow]) -> bytes:
    """Rows with their answers as text."""
    return csv_of((*PROMPTS, *TEXTS), [list(cells_of(row).values()) for row in rows])


def write_id_csv(rows: Sequence[PromptRow], pair: Pair) -> bytes:
    """Rows with their answers as token ids, as EAP-IG wants them.

    Raises:
        UserError: an answer is not one token of the pair's tokenizer.
    """
    words = words_of(pair.tokenizer("arm"))
    cells = [(r.clean, r.corrupted, _as_ids(r.answers, words), _as_ids(r.foils, words)) for r in rows]
    return csv_of((*PROMPTS, *IDS), cells)


def _text(data: bytes) -> str:
    if len(data) > MOST_BYTES:
        raise UserError(f"The file has more than {MOST_BYTES // 1_000_000} MB, the most that is read.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"The file is not UTF-8 text (byte {error.start + 1}). Save it as CSV in UTF-8.") from error
    if "\0" in text:
        raise UserError("The file holds a NUL character, so it is not a CSV file.")
    return text


def _records(text: str) -> dict[int, list[str]]:
    """The fields of every row that has any, by row number."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records: dict[int, list[str]] = {}
    number = 0
    while True:
        number += 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise UserError(_unreadable(number, str(error))) from error
        if fields is None:
            return records
        if any(fields):
            records[number] = fields


def _unreadable(number: int, message: str) -> str:
    if "unexpected end" in message:
        return f'Row {number} has a quotation mark (") that is never closed.'
    if "expected after" in message:
        return f'Row {number} has text after a closing quotation mark ("). Inside a quoted cell, write "" for one.'
    if "field limit" in message:
        return f"Row {number} has a cell of more than {csv.field_size_limit():,} characters."
    return f"Row {number} cannot be read as CSV: {message}."


def _columns(header: Sequence[str], number: int) -> tuple[list[str], list[str]]:
    """The header's columns by our names, "" for what is passed over; and what is so although somebody may miss it."""
    if len(header) == 1:
        for sign, name in ((";", "semicolons"), ("\t", "tabs")):
            if sign in header[0]:
                raise UserError(f"The columns are separated by {name}. Save the file with commas.")
    columns: list[str] = []
    unused: list[str] = []
    for given in header:
        name = as_written(given).strip().lower()
        name = ALIASES.get(name, name)
        if name in KNOWN and name in columns:
            raise UserError(f"Row {number} names the column {name} twice.")
        if name not in (*KNOWN, *PASSED_OVER):
            unused.append(shortened(given.strip(), 40))
        columns.append(name if name in KNOWN else "")
    return columns, unused


def _refuse_without_prompts(header: Sequence[str], columns: Sequence[str], number: int) -> None:
    lacking = next((name for name in PROMPTS if name not in columns), None)
    if lacking:
        raise UserError(f"Row {number} names no column {lacking}, only {_named(header)}. {_would_do()}")


def _named(header: Sequence[str]) -> str:
    return _some([shortened(name.strip(), 40) for name in header if name.strip()], len(KNOWN))


def _chosen(records: Mapping[int, list[str]], n: int | None, first: int) -> dict[int, list[str]]:
    if not records:
        raise UserError("The file has a header but no rows.")
    of = f"The file has {len(records)} row" + ("s" if len(records) != 1 else "")
    if n is None and len(records) - first + 1 > MOST_ROWS:
        raise UserError(f"{of}. {MOST_ROWS} are the most: choose how many of them (--n {MOST_ROWS} for the first).")
    if n is not None and n > MOST_ROWS:
        raise UserError(f"{n} rows were asked for. {MOST_ROWS} are the most.")
    if first > len(records):
        raise UserError(f"{of}, so none from row {first} on.")
    return dict(list(records.items())[first - 1 : None if n is None else first - 1 + n])


def _label_of(header: Sequence[str], columns: Sequence[str], number: int, cells: Sequence[Cells]) -> str | None:
    """The column that stands for all later years; None where answers are given as texts or ids.

    Raises:
        UserError: a column is missing; it says which, and shows lines that would do.
    """
    named = _named(header)
    roles = [[name for name in names if name in columns] for names in zip(TEXTS, IDS, strict=True)]
    if all(roles):
        return None
    label = LABEL if LABEL in columns and not any(roles) else IDS[0] if roles == [[IDS[0]], []] else None
    if label and all(asks_for_later_year(row["clean"]) for row in cells):
        return label
    lacking = [
        f"{of[0]} (or {of[1]})" for of, given in zip(zip(TEXTS, IDS, strict=True), roles, strict=True) if not given
    ]
    raise UserError(f"Row {number} names no column {' and no column '.join(lacking)}, only {named}. {_would_do(cells)}")


def _would_do(cells: Sequence[Cells] = ()) -> str:
    """Lines that would do, with the prompts of the file's own first row where they are not too long to show."""
    own = [row[name] for row in cells[:1] for name in PROMPTS]
    fits = bool(own) and all(len(text) <= 100 and text.isprintable() for text in own)
    prompts = own if fits else ["The capital of France is", "The capital of Italy is"]
    answers = ["...", "..."] if fits else [" Paris", " Rome"]
    header, line = csv_of((*PROMPTS, *TEXTS), [(*prompts, *answers)]).decode().splitlines()
    return f"Lines that would do: {header} and below it {line}"


def _cells(number: int, fields: Sequence[str], columns: Sequence[str]) -> Cells:
    if len(fields) != len(columns):
        cells = f"{len(fields)} cell" + ("s" if len(fields) != 1 else "")
        raise UserError(f'Row {number} has {cells}, the header {len(columns)}. Put a text with commas in "quotes".')
    by_column = {name: as_written(cell) for name, cell in zip(columns, fields, strict=True) if name}
    for name, cell in by_column.items():
        if not cell.strip():
            raise UserError(f"Row {number} has an empty cell in the column {name}.")
    return by_column


def _some(names: Sequence[str], most: int = LISTED) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _as_text(texts: Sequence[str]) -> str:
    is_plain = len(texts) == 1 and not texts[0].lstrip().startswith('["')
    return texts[0] if is_plain else json.dumps(list(texts), ensure_ascii=False)


def _as_ids(texts: Sequence[str], words: Words) -> str:
    ids = []
    for text in texts:
        token_ids = words.ids(text)
        if len(token_ids) != 1:
            raise UserError(f"The answer {text!r} is {len(token_ids)} tokens, so it cannot be written as a token id.")
        ids.append(token_ids[0])
    return str(ids[0]) if len(ids) == 1 else json.dumps(ids)
