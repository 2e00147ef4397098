"""Files of prompts as others write them: each is read rightly, or refused in a sentence that says what would do."""

# ruff: noqa: E501  (a file and the sentence that it is answered with stand on one line)

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
from tests import tiny_tokenizers as tiny

FILES = Path(__file__).parent / "prompt_files"
EMBEDDED = pair_named("embedded")
MARY, JOHN = words_of(EMBEDDED.folder("arm")).ids("Mary John")
HEAD = "clean,corrupted,answer,foil"
GOOD = "to Mary and,to John and,John,Mary"


@pytest.fixture(scope="module")
def pair_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    base = tmp_path_factory.mktemp("tokenizers")
    makers = {
        "gpt2": lambda: tiny.tokenizer_like("gpt2"),
        "qwen": lambda: tiny.tokenizer_like("qwen"),
        "capitals": tiny.capitals,
    }

    def made(kind: str) -> Pair:
        if not (base / kind).is_dir():
            makers[kind]().save_pretrained(base / kind)
            (base / kind / "config.json").write_text("{}")
        return Pair(kind, kind, kind, kind, base=base)

    return made


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


def test_a_year_as_label_has_all_later_years_for_answers(pair_of: Callable[[str], Pair]) -> None:
    rows = checked_csv(file("label_column.csv"), pair_of("gpt2")).rows
    assert [(len(row.answers), len(row.foils)) for row in rows] == [(51, 49), (68, 32)]
    assert rows[1].answers[:2] == ("32", "33") and rows[1].foils[:2] == ("31", "30")
    for row in rows:
        assert {*row.answers, *row.foils} == {f"{year:02d}" for year in range(100)}
        assert min(row.answers) > max(row.foils)


def test_a_year_as_the_only_id_is_the_same(pair_of: Callable[[str], Pair]) -> None:
    by_label = file("label_column.csv")
    by_id = by_label.replace(b"corrupted,label", b"corrupted,correct_idx")
    assert read_csv(by_id, pair_of("gpt2")) == read_csv(by_label, pair_of("gpt2"))


@pytest.mark.parametrize("label", ["32", "99", "1731", "31.0", "-31", "", "٣١", "=31"])
def test_a_label_that_is_not_the_prompts_year_is_refused(label: str, pair_of: Callable[[str], Pair]) -> None:
    row = f"in the year 1731 to the year 17,in the year 1701 to the year 17,{label}"
    with pytest.raises(UserError, match=r"^Row 2( has an empty cell in the column label|: label is .*last two digits)"):
        read_csv(lines("clean,corrupted,label", row), pair_of("gpt2"))


def test_years_that_a_tokenizer_cuts_name_the_task_that_would_do(pair_of: Callable[[str], Pair]) -> None:
    with pytest.raises(
        UserError,
        match=r"^Row 2: label stands for all later years, but '00' is 2 tokens in the pair qwen\. The task greater_than",
    ):
        read_csv(file("label_column.csv"), pair_of("qwen"))


def test_a_label_without_a_year_shows_lines_that_would_do() -> None:
    with pytest.raises(UserError) as refused:
        read_csv(lines("clean,corrupted,label", "to Mary and,to John and,1"), EMBEDDED)
    assert str(refused.value) == (
        "Row 1 names no column answer (or correct_idx) and no column foil (or incorrect_idx), only 'clean', 'corrupted', 'label'. "
        "Lines that would do: clean,corrupted,answer,foil and below it to Mary and,to John and,...,..."
    )


def test_ids_of_another_tokenizer_are_refused_by_what_they_mean_here(pair_of: Callable[[str], Pair]) -> None:
    foreign = file("index_only.csv").replace(b"47764,26757", b"300,301")
    with pytest.raises(
        UserError,
        match=r"^Row 2: correct_idx 300 is .* to the tokenizer of the pair gpt2, but the prompt asks for 'Karen or Mark': the ids belong to another tokenizer\.",
    ):
        read_csv(foreign, pair_of("gpt2"))
    with pytest.raises(
        UserError, match=r"^Row 2: correct_idx has the token id 47764\. The tokenizer has ids from 0 to "
    ):
        read_csv(file("index_only.csv"), pair_of("gpt2"))


def test_ids_of_this_tokenizer_are_read_and_shown(pair_of: Callable[[str], Pair]) -> None:
    mark, john = words_of(pair_of("gpt2").folder("arm")).ids(" Mark John")
    own = file("index_only.csv").replace(b"Karen", b"John").replace(b"47764,26757", f"{mark},{john}".encode())
    prompts = read_csv(own, pair_of("gpt2"))
    assert (prompts.rows[2].answers, prompts.rows[2].foils) == ((" Mark",), (" John",))
    assert prompts.notes == (
        f"Token ids as the pair gpt2 reads them: row 2: '{mark}' is ' Mark', '{john}' is ' John'.",
    )


def test_ids_beside_texts_are_held_against_them() -> None:
    head, row = f"{HEAD},correct_idx,incorrect_idx", "to a,to the,{},{},{},{}"
    assert read_csv(lines(head, row.format(" Mary", "John", MARY, JOHN)), EMBEDDED).rows[2] == PromptRow(
        "to a", "to the", ("Mary",), ("John",)
    )
    with pytest.raises(
        UserError,
        match=f"^Row 2: incorrect_idx {MARY} is 'Mary' .* but foil is 'John': the ids belong to another tokenizer",
    ):
        read_csv(lines(head, row.format("Mary", "John", MARY, MARY)), EMBEDDED)


@pytest.mark.parametrize(
    "names",
    ["country_idx,corrupted_country_idx", "clean_answer_idx,corrupted_answer_idx", "answers_idx,corrupted_answers_idx"],
)
def test_other_names_of_ids_in_eap_igs_files(names: str) -> None:
    prompts = read_csv(lines(f"clean,corrupted,{names},country", f"to a,to the,[{MARY}],{JOHN},France"), EMBEDDED)
    assert prompts.rows[2] == PromptRow("to a", "to the", ("Mary",), ("John",))
    assert prompts.notes[0] == "Columns that are not used: 'country'."


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


@pytest.mark.parametrize(
    "ids",
    [
        "4294967296",
        "4294967295",
        "2147483648",
        "99999999999",
        "-1",
        "1e9",
        "1.0",
        "0x5",
        "1_000",
        "+5",
        "²",
        "NaN",
        "True",
        "9" * 5000,
        "[4294967296]",
    ],
)
@pytest.mark.parametrize("column", ["correct_idx", "incorrect_idx"])
def test_numbers_that_are_no_ids_are_a_sentence(ids: str, column: str) -> None:
    other = "incorrect_idx" if column == "correct_idx" else "correct_idx"
    with pytest.raises(
        UserError,
        match=rf"^Row 2: {column} (is .*, which is no token id|has the token id -?\d+\. The tokenizer has ids from 0 to 238)",
    ) as refused:
        read_csv(lines(f"clean,corrupted,{column},{other}", f"to a,to the,{ids},{MARY}"), EMBEDDED)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("cell", ['"[' + ",".join(["5"] * 60_000) + ']"', '"[' + ",".join(["5"] * 5_000) + ']"'])
def test_tens_of_thousands_of_ids_in_a_cell_are_a_sentence(cell: str) -> None:
    with pytest.raises(
        UserError,
        match=r"^Row 2: correct_idx lists \d+ answers\. 500 are the most|Row 2 has a cell of more than 131,072",
    ):
        read_csv(lines("clean,corrupted,correct_idx,incorrect_idx", f"to a,to the,{cell},5"), EMBEDDED)


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
