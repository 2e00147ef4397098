"""Prompt files that are refused, each in a sentence of its own, and what is read beside: order and names of columns."""

# ruff: noqa: E501  (a file and the sentence that it is answered with are on one line)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UserError
from engine.exchange import prompts_csv
from engine.exchange.prompts_csv import checked_csv, read_csv, write_csv
from engine.models.light_tokenizer import words_of
from engine.models.pairs import pair_named
from engine.tasks.own_prompts import PromptRow

CLEAN = "When Mary and John went to the store , John gave a drink to"
CORRUPTED = "When Mary and John went to the store , Mary gave a drink to"
ROW = PromptRow(CLEAN, CORRUPTED, ("Mary",), ("John",))
EMBEDDED = pair_named("embedded")
MANY = " the" * 17


def csv_of(*lines: str) -> bytes:
    return "\n".join(lines).encode()


HEAD = "clean,corrupted,answer,foil"
GOOD = f'"{CLEAN}","{CORRUPTED}",Mary,John'
IDS = "clean,corrupted,correct_idx,incorrect_idx"
PAIR_OF = f'"{CLEAN}","{CORRUPTED}"'
NOT_AN_ID = "which is no token id. Write a whole number, as 57, or a list, as [57, 58]."
WOULD_DO = "Lines that would do: clean,corrupted,answer,foil and below it The capital of France is,The capital of Italy is, Paris, Rome"
OWN_LINE = "Lines that would do: clean,corrupted,answer,foil and below it a,b,...,..."
MARY, JOHN = words_of(EMBEDDED.folder("arm")).ids("Mary John")
REFUSED = {
    "empty file": (b"", "The file is empty. Its first row must name the columns clean, corrupted, answer, foil."),
    "blank lines": (b"\n\r\n,,\n", "The file is empty. Its first row must name the columns clean, corrupted, answer, foil."),
    "header only": (csv_of(HEAD), "The file has a header but no rows."),
    "header and blanks": (csv_of(HEAD, "", ",,,", ""), "The file has a header but no rows."),
    "too large": (b"x" * 1_000_001, "The file has more than 1 MB, the most that is read."),
    "not UTF-8": (csv_of(HEAD) + b"\n\xff\xfe", "The file is not UTF-8 text (byte 29). Save it as CSV in UTF-8."),
    "UTF-16": (f"{HEAD}\n{GOOD}".encode("utf-16"), "The file is not UTF-8 text (byte 1). Save it as CSV in UTF-8."),
    "NUL": (csv_of(HEAD, "a\0,b,c,d"), "The file holds a NUL character, so it is not a CSV file."),
    "semicolons": (csv_of(HEAD.replace(",", ";"), "a;b;c;d"), "The columns are separated by semicolons. Save the file with commas."),
    "tabs": (csv_of(HEAD.replace(",", "\t"), "a\tb\tc\td"), "The columns are separated by tabs. Save the file with commas."),
    "unknown column": (csv_of("clean,corupted,answer,foil", GOOD), f"Row 1 names no column corrupted, only 'clean', 'corupted', 'answer', 'foil'. {WOULD_DO}"),
    "no header": (csv_of(GOOD), f"Row 1 names no column clean, only 'When Mary and John w'...'a drink to', 'When Mary and John w'...'a drink to', 'Mary', 'John'. {WOULD_DO}"),
    "HTML for a column": (csv_of("clean,corrupted,<b>x</b>", "a,b,c"), f"Row 1 names no column answer (or correct_idx) and no column foil (or incorrect_idx), only 'clean', 'corrupted', '<b>x</b>'. {OWN_LINE}"),
    "duplicate column": (csv_of("clean,corrupted,answer,foil,Answer", GOOD), "Row 1 names the column answer twice."),
    "duplicate by another name": (csv_of("clean,corrupted,answer,foil,correct", GOOD), "Row 1 names the column answer twice."),
    "no clean": (csv_of("corrupted,answer,foil", "a,b,c"), f"Row 1 names no column clean, only 'corrupted', 'answer', 'foil'. {WOULD_DO}"),
    "no corrupted": (csv_of("clean,answer,foil", "a,b,c"), f"Row 1 names no column corrupted, only 'clean', 'answer', 'foil'. {WOULD_DO}"),
    "no answers": (csv_of("clean,corrupted", "a,b"), f"Row 1 names no column answer (or correct_idx) and no column foil (or incorrect_idx), only 'clean', 'corrupted'. {OWN_LINE}"),
    "no foil": (csv_of("clean,corrupted,answer", "a,b,c"), f"Row 1 names no column foil (or incorrect_idx), only 'clean', 'corrupted', 'answer'. {OWN_LINE}"),
    "no answer": (csv_of("clean,corrupted,foil", "a,b,c"), f"Row 1 names no column answer (or correct_idx), only 'clean', 'corrupted', 'foil'. {OWN_LINE}"),
    "no incorrect_idx": (csv_of("clean,corrupted,correct_idx", "a,b,4"), f"Row 1 names no column foil (or incorrect_idx), only 'clean', 'corrupted', 'correct_idx'. {OWN_LINE}"),
    "ids that are not the texts": (csv_of("clean,corrupted,answer,foil,correct_idx", f"{PAIR_OF},Mary,John,{JOHN}"), f"Row 2: correct_idx {JOHN} is 'John' to the tokenizer of the pair embedded, but answer is 'Mary': the ids belong to another tokenizer. Give the answers as text, in the columns answer and foil alone."),
    "ids that are not the names": (csv_of(IDS, f"{PAIR_OF},4,5"), "Row 2: correct_idx 4 is 'When' to the tokenizer of the pair embedded, but the prompt asks for 'Mary or John': the ids belong to another tokenizer. Give the answers as text, in the columns answer and foil alone."),
    "header after a blank line": (csv_of("", "clean,answer,foil", "a,b,c"), f"Row 2 names no column corrupted, only 'clean', 'answer', 'foil'. {WOULD_DO}"),
    "too few cells in row 3": (csv_of(HEAD, GOOD, "a,b,c"), 'Row 3 has 3 cells, the header 4. Put a text with commas in "quotes".'),
    "too many cells": (csv_of(HEAD, CLEAN + ",a,b,c,d"), 'Row 2 has 6 cells, the header 4. Put a text with commas in "quotes".'),
    "one cell": (csv_of(HEAD, "a"), 'Row 2 has 1 cell, the header 4. Put a text with commas in "quotes".'),
    "quotation never closed": (csv_of(HEAD, GOOD, '"a,b,c,d', "e,f,g,h"), 'Row 3 has a quotation mark (") that is never closed.'),
    "text after a quotation": (csv_of(HEAD, '"a"b,c,d,e'), 'Row 2 has text after a closing quotation mark ("). Inside a quoted cell, write "" for one.'),
    "huge cell": (csv_of(HEAD, "x" * 200_000 + ",b,c,d"), "Row 2 has a cell of more than 131,072 characters."),
    "empty cell": (csv_of(HEAD, GOOD, "", "a,,c,d"), "Row 4 has an empty cell in the column corrupted."),
    "blank cell": (csv_of(HEAD, 'a,b," ",d'), "Row 2 has an empty cell in the column answer."),
    "row after a cell of two lines": (csv_of(HEAD, '"a\nb",c,d,e', "f,g,h,"), "Row 3 has an empty cell in the column foil."),
    "id is a word": (csv_of(IDS, f"{PAIR_OF},Mary,4"), f"Row 2: correct_idx is 'Mary', {NOT_AN_ID}"),
    "id is a fraction": (csv_of(IDS, f"{PAIR_OF},{MARY},4.0"), f"Row 2: incorrect_idx is '4.0', {NOT_AN_ID}"),
    "id is a formula": (csv_of(IDS, f"{PAIR_OF},=1+3,4"), f"Row 2: correct_idx is '=1+3', {NOT_AN_ID}"),
    "id is endless": (csv_of(IDS, f"{PAIR_OF},{'9' * 5000},4"), f"Row 2: correct_idx is '{'9' * 20}'...'{'9' * 10}', {NOT_AN_ID}"),
    "id in other digits": (csv_of(IDS, f"{PAIR_OF},٣٣,4"), f"Row 2: correct_idx is '٣٣', {NOT_AN_ID}"),
    "id out of the vocabulary": (csv_of(IDS, f"{PAIR_OF},239,4"), "Row 2: correct_idx has the token id 239. The tokenizer has ids from 0 to 238."),
    "id is negative": (csv_of(IDS, f"{PAIR_OF},{MARY},-1"), "Row 2: incorrect_idx has the token id -1. The tokenizer has ids from 0 to 238."),
    "empty list of ids": (csv_of(IDS, f"{PAIR_OF},[],4"), "Row 2: correct_idx is an empty list. Give at least one token id."),
    "list with a gap": (csv_of(IDS, f'{PAIR_OF},"[4,,5]",6'), f"Row 2: correct_idx is '[4,,5]', {NOT_AN_ID}"),
    "list of words": (csv_of(IDS, f'{PAIR_OF},"[Mary, John]",4'), f"Row 2: correct_idx is '[Mary, John]', {NOT_AN_ID}"),
    "list in a list": (csv_of(IDS, f"{PAIR_OF},[[4]],4"), f"Row 2: correct_idx is '[[4]]', {NOT_AN_ID}"),
    "list never closed": (csv_of(IDS, f'{PAIR_OF},"[4, 5",4'), f"Row 2: correct_idx is '[4, 5', {NOT_AN_ID}"),
    "list of texts is broken": (csv_of(HEAD, f'{PAIR_OF},"[""33"", 34]",30'), 'Row 2: answer begins like a list but is none. Write ["33", "34"] with straight quotation marks.'),
    "list of texts is endless": (csv_of(HEAD, f'{PAIR_OF},John,"[""a"",{"[" * 50_000}"'), 'Row 2: foil begins like a list but is none. Write ["33", "34"] with straight quotation marks.'),
    "too many rows": (csv_of(HEAD, *[GOOD] * 201), "The file has 201 rows. 200 are the most: choose how many of them (--n 200 for the first)."),
    # What the file says is clear, but the prompts cannot be run.
    "misaligned": (csv_of(HEAD, GOOD, f'"{CLEAN}","{CORRUPTED} the",Mary,John'), "Row 3: The corrupted prompt has 15 tokens, the clean prompt 14: token 15 of the corrupted prompt, 'the', has no counterpart."),
    "unknown word": (csv_of(HEAD, f"{PAIR_OF},Zebra,John"), "Row 2: The tokenizer of the pair embedded doesn't know 'Zebra' (token 1 of the answer)."),
    "equal answers": (csv_of(HEAD, f"{PAIR_OF},John,John"), "Row 2: The answer and the foil are the same: there is nothing to compare."),
    "equal ids": (csv_of(IDS, f"{PAIR_OF},{MARY},{MARY}"), "Row 2: The answer and the foil are the same: there is nothing to compare."),
    "id right and wrong": (csv_of(IDS, f'{PAIR_OF},"[{MARY}, {JOHN}]",{JOHN}'), "Row 2: 'John' is both right and wrong."),
    "id twice": (csv_of(IDS, f'{PAIR_OF},"[{MARY}, {MARY}]",{JOHN}'), "Row 2: 'Mary' is listed twice among the right answers."),
    "too long a prompt": (csv_of(HEAD, GOOD, f"{'the ' * 257},{'the ' * 256}a,Mary,John"), "Row 3: The clean prompt has 257 tokens. 256 are the most."),
    "too long an answer": (csv_of(HEAD, f"{PAIR_OF},Mary{MANY},John{MANY}"), "Row 2: The answer has 18 tokens. 16 are the most."),
    "a formula is text": (csv_of(HEAD, f"{PAIR_OF},=SUM(A1:A9),John"), "Row 2: The tokenizer of the pair embedded doesn't know '=SUM(A1:A9)' (token 1 of the answer)."),
    "HTML is text": (csv_of(HEAD, f"{PAIR_OF},Mary,<img src=x onerror=alert(1)>"), "Row 2: The tokenizer of the pair embedded doesn't know '<img' (token 1 of the foil), 'src=x' (token 2), 'onerror=alert(1)>' (token 3)."),
}  # fmt: skip


@pytest.mark.parametrize(("data", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_bad_file_is_refused_with_its_own_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        checked_csv(data, EMBEDDED)
    assert str(refused.value) == sentence


def test_columns_come_in_any_order_and_by_their_other_names() -> None:
    for data in (
        csv_of("foil,clean,answer,corrupted", f'John,"{CLEAN}",Mary,"{CORRUPTED}"'),
        csv_of(" Incorrect ,CLEAN,correct,corrupt", f'John,"{CLEAN}",Mary,"{CORRUPTED}"'),
        b"\xef\xbb\xbf" + csv_of(HEAD, "", GOOD, ""),
        csv_of(HEAD, GOOD).replace(b"\n", b"\r\n"),
        csv_of(HEAD, GOOD).replace(b"\n", b"\r"),
        csv_of(IDS, f"{PAIR_OF},{MARY},{JOHN}"),
        csv_of(IDS, f'{PAIR_OF},"[{MARY}]",[ {JOHN} ]'),
    ):
        assert checked_csv(data, EMBEDDED).rows == [ROW]


def test_a_file_of_eap_ig_is_read() -> None:
    """Its first column has no name, and it has one that we don't use."""
    data = csv_of(
        ",clean,corrupted,corrupted_hard,correct_idx,incorrect_idx",
        f'470,"{CLEAN}","{CORRUPTED}","{CORRUPTED}",{MARY},{JOHN}',
    )
    assert read_csv(data, EMBEDDED).rows == {2: ROW}


def test_rows_are_counted_as_in_the_file() -> None:
    assert list(read_csv(csv_of(HEAD, "", GOOD, ",,,", GOOD), EMBEDDED).rows) == [3, 5]


def test_cells_are_text_whatever_they_begin_with(tmp_path: Path) -> None:
    data = csv_of(HEAD, '=1+1,@cmd,"<script>alert(1)</script>","a ""quoted"", word"')
    (row,) = read_csv(data, EMBEDDED).rows.values()
    assert row == PromptRow("=1+1", "@cmd", ("<script>alert(1)</script>",), ('a "quoted", word',))


cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
filled = cell.filter(str.strip)
cells = st.lists(filled, min_size=1, max_size=3).map(tuple)


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(st.builds(PromptRow, filled, filled, cells, cells), min_size=1, max_size=4))
def test_text_goes_there_and_back(rows: list[PromptRow]) -> None:
    assert list(read_csv(write_csv(rows), EMBEDDED).rows.values()) == rows
    assert [prompts_csv.row_of_texts(1, prompts_csv.cells_of(row)) for row in rows] == rows


def test_a_single_answer_written_like_a_list_stays_one() -> None:
    row = replace(ROW, answers=('["33", "34"]',), foils=("[33]",))
    assert list(read_csv(write_csv([row]), EMBEDDED).rows.values()) == [row]
