"""The table in which own prompts are written, and the file that fills it."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import streamlit as st

from engine.errors import UserError
from engine.exchange import prompts_csv
from engine.models.pairs import Pair
from engine.tasks.own_prompts import LONGEST_TITLE, PromptRow
from engine.tasks.prompt_checks import LONGEST_ANSWER, LONGEST_PROMPT, MOST_ROWS
from engine.tasks.registry import TASKS, examples
from pages.shared import widgets

COLUMNS = {"clean": "Clean prompt", "corrupted": "Corrupted prompt", "answer": "Answer", "foil": "Foil"}
# In the session only: the table as it was last filled, as it is now, and how often it was filled.
FILLED, NOW, TIMES = "prompts filled", "prompts now", "prompts filled times"
UPLOAD, REFUSED, TITLE, SAVED = "prompts upload", "prompts refused", "prompts title", "prompts saved"
READ, FIRST, MANY = "prompts read", "prompts first", "prompts many"  # what to know of the file; which of its rows


def upload_box(pair: Pair) -> None:
    """Where a CSV file is chosen, and which of its rows come into the table."""
    st.file_uploader(
        "Fill the table from a CSV file", "csv", key=UPLOAD, on_change=take_new_upload, args=(pair,),
        max_upload_size=1,
        help="Columns clean, corrupted, and answer and foil (text) or correct_idx and incorrect_idx (token ids, as "
        "EAP-IG has them); for years clean, corrupted and label. Several right or wrong answers are a list: "
        "[\"33\", \"34\"] or [57, 58].",
    )  # fmt: skip
    row_choice(pair)


def upload_notes() -> None:
    """What to know of the file that was chosen last, or why it was refused."""
    if st.session_state.get(REFUSED):
        st.error(widgets.plain(st.session_state[REFUSED]), icon=":material/error:")
    for note in st.session_state.get(READ) or ():
        st.info(widgets.plain(note), icon=":material/info:")


def row_choice(pair: Pair) -> None:
    """Which rows of the chosen file come into the table."""
    if st.session_state.get(UPLOAD) is None:
        return
    with st.container(horizontal=True):
        for label, key, most in (("From row", FIRST, None), ("Rows at most", MANY, MOST_ROWS)):
            st.number_input(
                label, 1, most, key=key, width=160, on_change=take_upload, args=(pair,),
                help="Rows are counted below the header." if key == FIRST else None,
            )  # fmt: skip


def table_note(positions: int | None) -> str:
    together = f" These models read {positions:,} tokens at most, prompt and answer together." if positions else ""
    return (
        "Click a cell to change it; write into the last row to add one; tick rows at their left to delete them. "
        f"At most {MOST_ROWS} rows, {LONGEST_PROMPT} tokens in a prompt, {LONGEST_ANSWER} in an answer and 1 MB in a "
        f"file.{together}"
    )


def spaces_note() -> str:
    return (
        " In this tokenizer a word within a sentence begins with a space: write the answer as “ Mary”. Only the tokens "
        "shown for an answer are measured and count as solved."
    )


def prompt_table(space: str) -> tuple[dict[int, PromptRow], list[str]]:
    """What is written, by row number, and what cannot be read as a row. It begins with a worked example."""
    times = st.session_state.setdefault(TIMES, 0)
    key = f"prompts table {times}"
    if key not in st.session_state:  # the page was left, or the table is filled anew
        st.session_state[FILLED] = st.session_state.get(NOW) or [worked_example(space)]
    texts = {
        title: pa.array([r[name] for r in st.session_state[FILLED]], pa.string()) for name, title in COLUMNS.items()
    }
    column = st.column_config.TextColumn
    several = 'Several: ["33", "34"], each one token.'
    edited = st.data_editor(
        pa.table(texts),
        num_rows="dynamic",
        key=key,
        hide_index=True,
        column_config={
            COLUMNS["clean"]: column(width=250, help="What the models read."),
            COLUMNS["corrupted"]: column(width=250, help="As many tokens, a few of them others."),
            COLUMNS["answer"]: column(width=80, help=f"What follows the clean prompt. {several}"),
            COLUMNS["foil"]: column(
                width=80, help=f"What would follow the corrupted prompt, in as many tokens. {several}"
            ),
        },
        alt="The prompts, one pair in a row",
    )
    records = [{name: r.get(title) or "" for name, title in COLUMNS.items()} for r in edited.to_pylist()]
    st.session_state[NOW] = records
    return read(records)


def worked_example(space: str) -> dict[str, str]:
    (example,) = examples(TASKS["ioi"], 1, seed=0)
    answers = ((space + example.answer,), (space + example.corrupt_answer,))
    return prompts_csv.cells_of(PromptRow(example.prompt, example.corrupt_prompt, *answers))


def read(records: Sequence[dict[str, str]]) -> tuple[dict[int, PromptRow], list[str]]:
    rows, problems = {}, []
    for number, cells in enumerate(records, 1):
        if any(cells.values()):
            try:
                rows[number] = prompts_csv.row_of_texts(number, cells)
            except UserError as error:
                problems.append(str(error))
    return rows, problems


def take_new_upload(pair: Pair) -> None:
    st.session_state[FIRST], st.session_state[MANY] = 1, MOST_ROWS
    take_upload(pair)


def take_upload(pair: Pair) -> None:
    """Fill the table from the file, or keep the sentence why not."""
    st.session_state[REFUSED] = st.session_state[READ] = None
    file = st.session_state.get(UPLOAD)
    if file is None:
        return
    first, most = int(st.session_state.get(FIRST) or 1), int(st.session_state.get(MANY) or MOST_ROWS)
    try:
        read = prompts_csv.read_csv(file.getvalue(), pair, most, first)
    except UserError as error:
        st.session_state[REFUSED] = f"{file.name}: {error}"
        return
    fill(list(read.rows.values()))
    last = first + len(read.rows) - 1
    part = [f"In the table: rows {first} to {last} of the file's {read.of}."] if len(read.rows) < read.of else []
    st.session_state[READ] = [*part, *read.notes]
    st.session_state[TITLE] = file.name.rpartition(".")[0][:LONGEST_TITLE]


def fill(rows: Sequence[PromptRow]) -> None:
    st.session_state[NOW] = [prompts_csv.cells_of(row) for row in rows]
    st.session_state[TIMES] = st.session_state.get(TIMES, 0) + 1
