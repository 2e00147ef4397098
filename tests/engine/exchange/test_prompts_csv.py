"""Files of prompts as others write them: each is read rightly, or refused in a sentence that says what would do."""

# ruff: noqa: E501  (a file and the sentence that it is answered with are on one line)

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.exchange.prompts_csv import MOST_BYTES, checked_csv, read_csv, write_csv
from engine.models.light_tokenizer import words_of
from engine.models.pairs import Pair, pair_named
from engine.tasks.own_prompts import PromptRow
from engine.tasks.prompt_checks import MOST_ROWS

FILES = Path(__file__).parent / "prompt_files"
EMBEDDED = pair_named("embedded")
MARY, JOHN = words_of(EMBEDDED.folder("arm")).ids("Mary John")
HEAD = "clean,corrupted,answer,foil"
GOOD = "to Mary and,to John and,John,Mary"


def file(name: str) -> bytes:
    return (FILES / name).read_bytes()


def lines(*rows: str) -> bytes:
    return "\n".join(rows).encode()


def test_one_row_four_times_counts_once_and_is_noted() -> None:
    checked = checked_csv(file("duplicate_rows.csv"), EMBEDDED)
    assert (len(checked.rows), checked.repeated) == (1, 3)
    assert checked.notes == ("Rows that say the same as another count once: 3 (as 2), 4 (as 2), 5 (as 2).",)


def test_what_the_tokenizer_reads_alike_is_the_same_row() -> None:
    checked = checked_csv(lines(HEAD, GOOD, GOOD.replace("Mary and", "Mary  and"), GOOD), EMBEDDED)
    assert (len(checked.rows), checked.repeated) == (1, 2)


def test_a_row_with_answer_and_foil_exchanged_is_refused() -> None:
    with pytest.raises(
        UserError,
        match=r"^Row 3: It contradicts row 2: after the same clean prompt one calls right what the other calls wrong",
    ):
        checked_csv(file("contradictory_rows.csv"), EMBEDDED)


@pytest.mark.parametrize(
    "row",
    [
        "to Mary and,to John and,Mary,John",
        "to John and,to Mary and,John,Mary",
        "to  Mary and,to the and,Mary,John",
        'to Mary and,to John and,"[""Mary"", ""a""]","[""John"", ""the""]"',
    ],
)
def test_contradictions_name_both_rows(row: str) -> None:
    with pytest.raises(UserError, match=r"^Row 5: It contradicts row 2: "):
        checked_csv(lines(HEAD, GOOD, "from a to,from the to,a,the", "", row), EMBEDDED)


def test_other_answers_to_the_same_prompt_are_told() -> None:
    (note,) = checked_csv(lines(HEAD, GOOD, "to Mary and,to John and,a,the"), EMBEDDED).notes
    assert note.startswith(
        "Row 3: Row 2 gives the same clean prompt another answer: no more than one of the two can be solved."
    )


def test_an_answer_without_its_space_is_told_with_what_the_text_would_be(pair_of: Callable[[str], Pair]) -> None:
    (note,) = checked_csv(file("missing_space.csv"), pair_of("capitals")).notes
    assert note.startswith("Row 2: ") and "Only 'Paris' is measured and counts as solved." in note
    assert note.endswith("If a new word is meant, begin the answer with a space: ' Paris' is ' Paris'.")


MANY = lines(HEAD, *[f"{'a ' * (i % 50)}to Mary,{'a ' * (i % 50)}to John,John,Mary" for i in range(1000)])


def test_of_a_long_file_rows_are_chosen() -> None:
    prompts = read_csv(MANY, EMBEDDED, 5, 990)
    assert (list(prompts.rows), prompts.of) == ([991, 992, 993, 994, 995], 1000)
    assert list(read_csv(MANY, EMBEDDED, MOST_ROWS, 990).rows) == list(range(991, 1002))
    assert len(checked_csv(MANY, EMBEDDED, 50).rows) == 50
    with pytest.raises(
        UserError,
        match=r"^The file has 1000 rows\. 200 are the most: choose how many of them \(--n 200 for the first\)\.$",
    ):
        read_csv(MANY, EMBEDDED)
    with pytest.raises(UserError, match=r"^The file has 1000 rows, so none from row 1001 on\.$"):
        read_csv(MANY, EMBEDDED, 5, 1001)


def test_what_is_not_chosen_is_not_judged() -> None:
    assert len(checked_csv(lines(HEAD, GOOD, "a,b,c", "x,y,z,Zebra"), EMBEDDED, 1).rows) == 1


UTF16 = "The file is not UTF-8 text"
ODD = {
    "byte order mark": ("\ufeff" + f"{HEAD}\n{GOOD}", None),
    "CRLF": (f"{HEAD}\r\n{GOOD}\r\n", None),
    "CR": (f"{HEAD}\r{GOOD}", None),
    "white space in the header": (f" Clean , corrupted,\tAnswer,foil \n{GOOD}", None),
    "quoted header": (f'"clean","corrupted","answer","foil"\n{GOOD}', None),
    "a formula for a header": (f"'=clean,{HEAD}\nx,{GOOD}", None),
    "columns without names": (f",,{HEAD},\n1,2,{GOOD},3", None),
    "two unknown columns of one name": (f"x,x,{HEAD}\n1,2,{GOOD}", None),
    "blank lines": (f"\n\n{HEAD}\n\n\n{GOOD}\n\n,,,\n", None),
    "UTF-16": (f"{HEAD}\n{GOOD}".encode("utf-16"), UTF16),
    "UTF-16 without a mark": (f"{HEAD}\n{GOOD}".encode("utf-16-le"), "holds a NUL"),
    "UTF-32": (f"{HEAD}\n{GOOD}".encode("utf-32"), UTF16),
    "Latin-1": (f"{HEAD}\ncafé,b,c,d".encode("latin-1"), UTF16),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00", UTF16),
    "a spreadsheet": (b"PK\x03\x04\x14\x00\x00", "holds a NUL"),
    "NUL": (f"{HEAD}\na\0,b,c,d", "holds a NUL"),
    "empty": ("", "The file is empty"),
    "white space": (" \n \n", "Row 1 names no column clean"),
    "header": (HEAD, "The file has a header but no rows"),
    "header twice": (f"{HEAD}\n{HEAD}", "Row 2: The tokenizer of the pair embedded doesn't know 'clean'"),
    "tabs": (f"{HEAD}\n{GOOD}".replace(",", "\t"), "separated by tabs"),
    "semicolons": (f"{HEAD}\n{GOOD}".replace(",", ";"), "separated by semicolons"),
    "pipes": (f"{HEAD}\n{GOOD}".replace(",", "|"), "Row 1 names no column clean"),
    "JSON": ('{"clean": "a"}', "Row 1 names no column clean"),
    "a column twice": (f"clean,{HEAD}\na,{GOOD}", "Row 1 names the column clean twice"),
    "a shorter row": (f"{HEAD}\n{GOOD}\na,b", "Row 3 has 2 cells, the header 4"),
    "a longer row": (f"{HEAD}\n{GOOD},x", "Row 2 has 5 cells, the header 4"),
    "a comma too many": (f"{HEAD}\n{GOOD},", "Row 2 has 5 cells, the header 4"),
    "an open quotation": (f'{HEAD}\n"{GOOD}', "Row 2 has a quotation mark"),
    "curly quotation marks": (f"{HEAD}\n“a, b”,c,d,e", "Row 2 has 5 cells, the header 4"),
    "a huge cell": (f"{HEAD}\n{'x' * 140_000},b,c,d", "Row 2 has a cell of more than 131,072 characters"),
    "a long text": (f"{HEAD}\n{'to ' * 30_000},b,c,d", "Row 2: It holds a text of 90000 characters. 20000 are the most"),
    "a long word": (f"{HEAD}\n{'x' * 19_000} to,to to,Mary,John", "Row 2: The tokenizer of the pair embedded doesn't know 'xxx"),
    "a long header": (f"{'x' * 100_000},{HEAD}\n1,{GOOD}", None),
    "a thousand columns": (",".join(["x"] * 1000) + f",{HEAD}\n" + "," * 1000 + GOOD, None),
    "too large": ("x" * (MOST_BYTES + 1), "The file has more than 1 MB"),
    "right to left": (f"{HEAD}\n\u202eto Mary,to John,John,Mary", r"doesn't know '\\u202eto'"),
    "emoji": (f"{HEAD}\nto 👩‍🔬,to John,John,Mary", "doesn't know '👩\\\\u200d🔬'"),
    "a list that nests": (f'{HEAD}\nto a,to the,"[""a"", {"[" * 50_000}",Mary', "Row 2: answer begins like a list but is none"),
    "a list of thousands": (f'{HEAD}\nto a,to the,"{json.dumps(["a"] * 9_000)}",Mary'.replace('"a"', '""a""'), "Row 2: answer lists 9000 answers"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), ODD.values(), ids=ODD)
def test_odd_files_are_read_rightly_or_a_sentence(text: str | bytes, sentence: str | None) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    if sentence is None:
        assert checked_csv(data, EMBEDDED).rows == [PromptRow("to Mary and", "to John and", ("John",), ("Mary",))]
        return
    with pytest.raises(UserError, match=sentence) as refused:
        checked_csv(data, EMBEDDED)
    assert len(str(refused.value)) < 900


def test_what_spreadsheets_would_calculate_comes_back_as_it_was() -> None:
    rows = [
        PromptRow("=cmd|'/c calc'!A1", "+1+1", ("-5",), ("@SUM(A1)",)),
        PromptRow("'=x", "''-x", ("=1", "-2"), ("\t=1",)),
        PromptRow("'quoted'", "=", ("+",), ("-",)),
    ]
    data = write_csv(rows)
    assert list(read_csv(data, EMBEDDED).rows.values()) == rows
    assert not any(
        cell.lstrip('"').startswith(("=c", "+1", "-5", "@"))
        for line in data.decode().splitlines()
        for cell in line.split(",")
    )


@pytest.mark.parametrize("seed", range(20))
def test_bytes_changed_at_random_are_read_or_a_sentence(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(30):
        data = bytearray(lines(HEAD, GOOD, 'to "a",b,"[""a"", ""b""]",c', GOOD))
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.choice(b"\0\r\n\t,;\"[]='\xff\xc3\xe2 aZ0")
        with suppress(UserError):
            checked_csv(bytes(data), EMBEDDED)


def test_old_rows_are_still_read_by_their_name() -> None:
    row = PromptRow("to a", "to the", ("Mary",), ("John",))
    assert list(read_csv(write_csv([row, replace(row, clean="a")]), EMBEDDED).rows.values()) == [
        row,
        replace(row, clean="a"),
    ]
