"""Own prompts from and to CSV, in the format of EAP-IG (Hanna et al. 2024).

Columns, in any order: clean, corrupted, and the answers either as text (answer and foil, or correct and incorrect) or
as token ids (correct_idx and incorrect_idx, a number or a list). Several right or wrong answers are a list: [3, 5] of
ids, ["33", "34"] of texts. A column without a name and corrupted_hard, which EAP-IG's files have, are passed over.
Cells are text and nothing else. Rows are counted as a spreadsheet counts them: the header is row 1.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence

from engine.errors import UserError
from engine.pairs import Pair
from engine.prompts import MOST_ROWS, check, row_problem
from engine.tasks.own import PromptRow
from engine.tokens import Words, words_of

MOST_BYTES = 1_000_000
PROMPTS = ("clean", "corrupted")
TEXTS = ("answer", "foil")
IDS = ("correct_idx", "incorrect_idx")
ALIASES = {"corrupt": "corrupted", "correct": "answer", "incorrect": "foil"}
PASSED_OVER = ("", "corrupted_hard")
KNOWN = (*PROMPTS, *TEXTS, *IDS)

_ID = re.compile(r"\s*(-?[0-9]{1,12})\s*")
_ID_LIST = re.compile(r"\s*\[([-0-9,\s]*)\]\s*")


def read_csv(data: bytes, pair: Pair) -> dict[int, PromptRow]:
    """The rows of a file by their row number; token ids are read with the pair's tokenizer.

    Raises:
        UserError: what is wrong, in which row.
    """
    records = _records(_text(data))
    if not records:
        raise UserError(f"The file is empty. Its first row must name the columns {', '.join((*PROMPTS, *TEXTS))}.")
    number, header = next(iter(records.items()))
    columns = _columns(header, number)
    words = words_of(pair.tokenizer("arm")) if IDS[0] in columns else None
    cells = {n: _cells(n, fields, columns) for n, fields in records.items() if n != number}
    if len(cells) > MOST_ROWS:
        raise UserError(f"The file has {len(cells)} rows. {MOST_ROWS} are the most.")
    rows = {n: _row_of_ids(n, found, words) if words else row_of_texts(n, found) for n, found in cells.items()}
    if not rows:
        raise UserError("The file has a header but no rows.")
    return rows


def checked_csv(data: bytes, pair: Pair) -> list[PromptRow]:
    """The rows of a file that can be run.

    Raises:
        UserError: what is wrong, in which row: of the file, or of its prompts for this pair.
    """
    rows = read_csv(data, pair)
    for number, checked in zip(rows, check(list(rows.values()), pair), strict=True):
        if checked.problems:
            raise UserError(row_problem(number, checked.problems[0]))
    return list(rows.values())


def row_of_texts(number: int, cells: Mapping[str, str]) -> PromptRow:
    """A row from its cells by column; an answer or a foil may be a list of texts, as write_csv writes it.

    Raises:
        UserError: a cell begins like a list but is none.
    """
    answers, foils = (_texts(number, name, cells[name]) for name in TEXTS)
    return PromptRow(cells["clean"], cells["corrupted"], answers, foils)


def cells_of(row: PromptRow) -> dict[str, str]:
    """The cells from which row_of_texts makes this row."""
    cells = (row.clean, row.corrupted, _as_text(row.answers), _as_text(row.foils))
    return dict(zip((*PROMPTS, *TEXTS), cells, strict=True))


def write_csv(rows: Sequence[PromptRow]) -> bytes:
    """Rows with their answers as text."""
    return _written(TEXTS, [list(cells_of(row).values()) for row in rows])


def write_id_csv(rows: Sequence[PromptRow], pair: Pair) -> bytes:
    """Rows with their answers as token ids, as EAP-IG wants them.

    Raises:
        UserError: an answer is not one token of the pair's tokenizer.
    """
    words = words_of(pair.tokenizer("arm"))
    return _written(IDS, [(r.clean, r.corrupted, _as_ids(r.answers, words), _as_ids(r.foils, words)) for r in rows])


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
    found: dict[int, list[str]] = {}
    number = 0
    while True:
        number += 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise UserError(_unreadable(number, str(error))) from error
        if fields is None:
            return found
        if any(fields):
            found[number] = fields


def _unreadable(number: int, said: str) -> str:
    if "unexpected end" in said:
        return f'Row {number} has a quotation mark (") that is never closed.'
    if "expected after" in said:
        return f'Row {number} has text after a closing quotation mark ("). Inside a quoted cell, write "" for one.'
    if "field limit" in said:
        return f"Row {number} has a cell of more than {csv.field_size_limit():,} characters."
    return f"Row {number} cannot be read as CSV: {said}."


def _columns(header: Sequence[str], number: int) -> list[str]:
    """The header's columns by their own names; "" for what is passed over."""
    if len(header) == 1:
        for sign, name in ((";", "semicolons"), ("\t", "tabs")):
            if sign in header[0]:
                raise UserError(f"The columns are separated by {name}. Save the file with commas.")
    columns = []
    for given in header:
        name = given.strip().lower()
        name = ALIASES.get(name, name)
        if name not in (*KNOWN, *PASSED_OVER):
            raise UserError(f"Row {number} names a column {given!r}. Known columns: {', '.join(KNOWN)}.")
        if name in KNOWN and name in columns:
            raise UserError(f"Row {number} names the column {name} twice.")
        columns.append(name if name in KNOWN else "")
    _refuse_incomplete(columns, number)
    return columns


def _refuse_incomplete(columns: Sequence[str], number: int) -> None:
    for name in PROMPTS:
        if name not in columns:
            raise UserError(f"Row {number} names no column {name}. Needed: {', '.join(PROMPTS)} and the answers.")
    texts, ids = ([name for name in names if name in columns] for names in (TEXTS, IDS))
    if texts and ids:
        raise UserError(f"Row {number} names both {texts[0]} and {ids[0]}. Give the answers as text or as token ids.")
    if not texts and not ids:
        raise UserError(
            f"Row {number} names no column with the answers. "
            f"Add {' and '.join(TEXTS)} (text), or {' and '.join(IDS)} (token ids)."
        )
    for names, found in ((TEXTS, texts), (IDS, ids)):
        if len(found) == 1:
            (lacking,) = set(names) - set(found)
            raise UserError(f"Row {number} names the column {found[0]} but not {lacking}.")


def _cells(number: int, fields: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
    if len(fields) != len(columns):
        cells = f"{len(fields)} cell" + ("s" if len(fields) != 1 else "")
        raise UserError(f'Row {number} has {cells}, the header {len(columns)}. Put a text with commas in "quotes".')
    found = {name: cell for name, cell in zip(columns, fields, strict=True) if name}
    for name, cell in found.items():
        if not cell.strip():
            raise UserError(f"Row {number} has an empty cell in the column {name}.")
    return found


def _texts(number: int, name: str, cell: str) -> tuple[str, ...]:
    """One text, or those of a list in JSON."""
    if not cell.lstrip().startswith('["'):
        return (cell,)
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(text, str) and text.strip() for text in found):
        raise UserError(
            f'Row {number}: {name} begins like a list but is none. Write ["33", "34"] with straight quotation marks.'
        )
    return tuple(found)


def _row_of_ids(number: int, cells: Mapping[str, str], words: Words) -> PromptRow:
    answers, foils = (_texts_of_ids(number, name, cells[name], words) for name in IDS)
    return PromptRow(cells["clean"], cells["corrupted"], answers, foils)


def _texts_of_ids(number: int, name: str, cell: str, words: Words) -> tuple[str, ...]:
    return tuple(_text_of_id(number, name, token, words) for token in _ids(number, name, cell))


def _ids(number: int, name: str, cell: str) -> Iterator[int]:
    listed = _ID_LIST.fullmatch(cell)
    parts = listed[1].split(",") if listed else [cell]
    if listed and not listed[1].strip():
        raise UserError(f"Row {number}: {name} is an empty list. Give at least one token id.")
    for part in parts:
        found = _ID.fullmatch(part)
        if not found:
            shown = cell if len(cell) <= 40 else cell[:39] + "…"
            raise UserError(
                f"Row {number}: {name} is {shown!r}, which is no token id. Write a whole number, as 57, or a list, "
                "as [57, 58]."
            )
        yield int(found[1])


def _text_of_id(number: int, name: str, id: int, words: Words) -> str:
    if id < 0 or not words.knows(id):
        raise UserError(
            f"Row {number}: {name} has the token id {id}. The tokenizer has ids from 0 to {words.size - 1}."
        )
    text = words.text_of(id)
    if text is None or not text.strip():
        raise UserError(
            f"Row {number}: {name} has the token id {id} ({words.shown(id)!r}), which no text of its own stands for. "
            "Choose another token."
        )
    return text


def _as_text(texts: Sequence[str]) -> str:
    is_plain = len(texts) == 1 and not texts[0].lstrip().startswith('["')
    return texts[0] if is_plain else json.dumps(list(texts), ensure_ascii=False)


def _as_ids(texts: Sequence[str], words: Words) -> str:
    ids = []
    for text in texts:
        found = words.ids(text)
        if len(found) != 1:
            raise UserError(f"The answer {text!r} is {len(found)} tokens, so it cannot be written as a token id.")
        ids.append(found[0])
    return str(ids[0]) if len(ids) == 1 else json.dumps(ids)


def _written(answers: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([*PROMPTS, *answers])
    writer.writerows(rows)
    return out.getvalue().encode()
