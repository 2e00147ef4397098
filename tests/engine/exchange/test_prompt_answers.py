"""Answers from the cells of a prompt file: texts, lists of texts, token ids, and a year's last two digits."""

# ruff: noqa: E501  (a file and the sentence that it is answered with are on one line)

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.exchange.prompt_answers import AnswerReader, asks_for_later_year, of_texts
from engine.exchange.prompts_csv import checked_csv, read_csv, write_id_csv
from engine.models.light_tokenizer import words_of
from engine.models.pairs import Pair, pair_named
from engine.tasks.greater_than import YEARS
from engine.tasks.own_prompts import PromptRow

FILES = Path(__file__).parent / "prompt_files"
EMBEDDED = pair_named("embedded")
MARY, JOHN = words_of(EMBEDDED.folder("arm")).ids("Mary John")
HEAD = "clean,corrupted,answer,foil"
IDS = "clean,corrupted,correct_idx,incorrect_idx"
CLEAN = "When Mary and John went to the store , John gave a drink to"
CORRUPTED = "When Mary and John went to the store , Mary gave a drink to"
ROW = PromptRow(CLEAN, CORRUPTED, ("Mary",), ("John",))


def file(name: str) -> bytes:
    return (FILES / name).read_bytes()


def lines(*rows: str) -> bytes:
    return "\n".join(rows).encode()


def one_token(words: Any) -> Iterator[str]:
    texts = (words.text_of(token) for token in range(words.size))
    return (text for text in texts if text and text.strip())


@pytest.mark.parametrize("which", ["embedded", "bytes"])
def test_token_ids_go_there_and_back(which: str, byte_pair: Pair) -> None:
    pair = EMBEDDED if which == "embedded" else byte_pair
    known = list(one_token(words_of(pair.folder("arm"))))
    rows = [
        PromptRow("to a", "to the", (known[i],), tuple(known[i + 1 : i + 1 + size]))
        for i, size in zip(range(0, len(known) - 6, 6), [1, 2, 5] * 100, strict=False)
    ]
    assert len(rows) > 20
    data = write_id_csv(rows, pair)
    assert data.splitlines()[0] == IDS.encode()
    assert list(read_csv(data, pair).rows.values()) == rows


def test_an_answer_of_two_tokens_has_no_id() -> None:
    with pytest.raises(
        UserError, match=r"^The answer 'Mary John' is 2 tokens, so it cannot be written as a token id\.$"
    ):
        write_id_csv([replace(ROW, answers=("Mary John",))], EMBEDDED)


def test_an_id_without_a_text_of_its_own_is_refused(byte_pair: Pair) -> None:
    words = words_of(byte_pair.folder("arm"))
    part = next(token for token in range(words.size) if words.text_of(token) is None)
    data = lines(IDS, f"to a,to the,{part},1")
    with pytest.raises(
        UserError, match=rf"^Row 2: correct_idx has the token id {part} .* no text of its own stands for"
    ):
        read_csv(data, byte_pair)


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


def test_a_cell_is_one_text_unless_it_is_a_list_of_texts() -> None:
    cells = {"answer": '["33", " 34"]', "foil": "[32]"}
    assert of_texts(2, cells) == (("33", " 34"), ("[32]",))
    for broken in ('["33", 34]', '["33"', '["33", " "]'):
        with pytest.raises(UserError, match=r"^Row 2: answer begins like a list but is none\."):
            of_texts(2, {**cells, "answer": broken})


@pytest.mark.parametrize(
    ("prompt", "asks"),
    [
        ("from the year 1732 to the year 17", True),
        ("from 17 32 to 17", True),
        ("from the year 1732 to the year 18", False),
        ("from the year 1732 to the year 17 and", False),
    ],
)
def test_a_prompt_asks_for_a_later_year_where_it_ends_with_the_century(prompt: str, asks: bool) -> None:
    assert asks_for_later_year(prompt) == asks


def test_later_years_come_nearest_first_on_both_sides() -> None:
    reader = AnswerReader(EMBEDDED, words_of(EMBEDDED.folder("arm")))
    right, wrong = reader.later_years(2, {"clean": "from 17 96 to 17", "label": "96"}, "label")
    assert right == ("97", "98", "99")[: len(right)] and wrong[:2] == ("96", "95")
    assert len(right) + len(wrong) == len(YEARS)


def test_what_ids_mean_is_shown_for_three_rows() -> None:
    reader = AnswerReader(EMBEDDED, words_of(EMBEDDED.folder("arm")))
    cells = {row: {"clean": "to a", "correct_idx": str(MARY), "incorrect_idx": str(JOHN)} for row in range(2, 7)}
    answers = {row: reader.of_ids(row, row_cells) for row, row_cells in cells.items()}
    assert set(answers.values()) == {(("Mary",), ("John",))}
    shown = reader.shown(answers, cells)
    assert f"row 4: '{MARY}' is 'Mary', '{JOHN}' is 'John'; and 2 more rows." in shown and "row 5" not in shown
