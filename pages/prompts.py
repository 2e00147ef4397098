"""Own prompts: write pairs of prompts or upload them, see their tokens aligned, save them, compute their circuits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import streamlit as st

from engine.errors import UserError
from engine.exchange import prompts_csv
from engine.models.light_tokenizer import words_of
from engine.models.pair import CONTROL
from engine.models.pairs import Pair, pair_named, pairs
from engine.runs import lifecycle
from engine.runs.spec import RunSpec
from engine.tasks import TASKS, OwnPrompts, examples, own_prompts
from engine.tasks.own_prompts import LONGEST_TITLE, PromptRow
from engine.tasks.prompt_checks import LONGEST_ANSWER, LONGEST_PROMPT, MOST_ROWS, CheckedRow, check, distinct
from pages.shared import availability, state, token_text, widgets
from pages.shared.entry import show
from pages.shared.jobs_panel import watch_jobs

COLUMNS = {"clean": "Clean prompt", "corrupted": "Corrupted prompt", "answer": "Answer", "foil": "Foil"}
SHOWN = 20  # rows whose tokens are drawn

# In the session only: the table as it was last filled, as it is now, and how often it was filled.
FILLED, NOW, TIMES = "prompts filled", "prompts now", "prompts filled times"
UPLOAD, REFUSED, TITLE, SAVED = "prompts upload", "prompts refused", "prompts title", "prompts saved"
READ, FIRST, MANY = "prompts read", "prompts first", "prompts many"  # what to know of the file; which of its rows


def page() -> None:
    st.title("Own prompts")
    st.markdown(
        "Find the circuits behind a question of your own. Each row has a **clean** prompt with its **answer**, and a "
        "**corrupted** prompt, where a few words are others and another answer, the **foil**, is right. The circuit "
        "is what turns the difference between the prompts into the difference between the answers."
    )
    with widgets.user_errors():
        write()
        widgets.submit_error()
        saved_note()
        watch_jobs()
        saved()


def write() -> None:
    """Everything up to the button that saves."""
    known = pairs()
    columns = st.columns([2, 3], gap="large")
    name = columns[0].selectbox("Pair", list(known), key=state.PAIR, bind=state.URL)
    pair = known[name]
    try:
        words = words_of(pair.folder("arm"))
    except UserError as error:
        st.warning(widgets.plain(str(error)), icon=":material/warning:")
        return
    columns[1].file_uploader(
        "Fill the table from a CSV file", "csv", key=UPLOAD, on_change=take_new_upload, args=(pair,),
        max_upload_size=1,
        help="Columns clean, corrupted, and answer and foil (text) or correct_idx and incorrect_idx (token ids, as "
        "EAP-IG has them); for years clean, corrupted and label. Several right or wrong answers are a list: "
        "[\"33\", \"34\"] or [57, 58].",
    )  # fmt: skip
    with columns[1]:
        row_choice(pair)
    if st.session_state.get(REFUSED):
        st.error(widgets.plain(st.session_state[REFUSED]), icon=":material/error:")
    for note in st.session_state.get(READ) or ():
        st.info(widgets.plain(note), icon=":material/info:")
    st.caption(table_note(words.positions) + ("" if words.knows_words_only else spaces_note()))
    rows, problems = table("" if words.knows_words_only else " ")
    save_box(pair, *judge(pair, rows, problems))


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


def table(space: str) -> tuple[dict[int, PromptRow], list[str]]:
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


def judge(pair: Pair, rows: dict[int, PromptRow], problems: list[str]) -> tuple[list[CheckedRow], bool]:
    """Show every row's tokens and what is wrong; the rows, and whether nothing is."""
    st.header("What the models read", divider="gray")
    for problem in problems:
        st.error(widgets.plain(problem), icon=":material/error:")
    if not rows:
        st.info("Write a row in the table above, or fill it from a file.", icon=":material/edit_note:")
        return [], False
    try:
        checked = dict(zip(rows, check(list(rows.values()), pair, list(rows)), strict=True))
    except UserError as error:
        st.error(widgets.plain(str(error)), icon=":material/error:")
        return [], False
    wrong = [number for number, row in checked.items() if row.problems]
    noted = [number for number, row in checked.items() if row.warnings or row.repeats is not None]
    tell(len(checked), len(wrong))
    first = [*wrong, *noted, *checked]
    for number in sorted(list(dict.fromkeys(first))[:SHOWN]):
        show_row(number, checked[number])
    return list(checked.values()), not wrong and not problems


def tell(rows: int, wrong: int) -> None:
    if wrong:
        st.warning(
            f"{wrong} of {rows} row{'s' if rows != 1 else ''} cannot be computed yet: see below what to put right.",
            icon=":material/rule:",
        )
    left_out = f" Shown: {SHOWN} of {rows} rows, those to be put right first." if rows > SHOWN else ""
    st.caption(
        "Bold and underlined: the prompts differ here. In a dashed frame, opposite a ✕: no counterpart. With a ?: "
        "unknown to the tokenizer. ␣ is a space. A sign that the tokenizer puts before a prompt is shown with it."
        + left_out
    )


def show_row(number: int, checked: CheckedRow) -> None:
    look = widgets.look()
    with st.container(border=True):
        st.markdown(f"**Row {number}**")
        st.html(token_text.aligned(checked.prompt, ("clean", "corrupted"), look))
        st.html(token_text.aligned(checked.answer, ("answer", "foil"), look))
        for what, texts in (("right", checked.row.answers), ("wrong", checked.row.foils)):
            if len(texts) > 1:
                st.caption(widgets.plain(f"Also {what}: {', '.join(map(repr, texts[1:]))}"))
        if checked.repeats is not None:
            said = f"It says the same as row {checked.repeats} and is left out: each counts once."
            st.info(said, icon=":material/content_copy:")
        if checked.warnings:
            st.warning("\n\n".join(map(widgets.plain, checked.warnings)), icon=":material/warning:")
        if checked.problems:
            st.error("\n\n".join(map(widgets.plain, checked.problems)), icon=":material/error:")


def save_box(pair: Pair, checked: list[CheckedRow], ready: bool) -> None:
    st.header("Compute", divider="gray")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Name", max_chars=LONGEST_TITLE, key=TITLE, placeholder="Own prompts", width=320)
        st.button(
            "Save and compute",
            type="primary",
            icon=":material/play_arrow:",
            key="save prompts",
            disabled=not ready,
            on_click=save_and_compute,
            args=(pair, distinct(checked), sum(row.repeats is not None for row in checked)),
        )
    if not ready:
        st.caption("Every row has to be right first.")


def save_and_compute(pair: Pair, rows: list[PromptRow], repeated: int) -> None:
    try:
        kept = own_prompts.save(rows, st.session_state.get(TITLE) or "", pair.name, repeated)
    except UserError as error:
        st.session_state["submit error"] = str(error)
        return
    st.session_state[SAVED] = kept.name
    dtype = availability.dtype_of(pair, lifecycle.list_runs())
    models = ("arm", "mdm", CONTROL)
    specs = [RunSpec(pair=pair.name, model=m, task=kept.name, n=len(kept), dtype=dtype) for m in models]
    widgets.submit(specs, f"{pair.title}, {kept.title}")


def saved_note() -> None:
    """After saving: where the circuits will be."""
    kept = next((one for one in own_prompts.saved_sets() if one.name == st.session_state.get(SAVED)), None)
    if kept:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.success(f"Saved as {widgets.plain(kept.title)}.", icon=":material/check:", width=420)
            link(kept, "Look at its circuits")


def link(kept: OwnPrompts, label: str) -> None:
    chosen = {state.PAIR: kept.pair, state.TASK: kept.name, state.N: str(len(kept))}
    st.page_link("pages/circuits.py", label=label, icon=":material/hub:", query_params=chosen)


def saved() -> None:
    st.header("Saved", divider="gray")
    found = own_prompts.saved_sets()
    if not found:
        st.caption("No prompts are saved yet. They are kept on this machine, beside the cache.")
        return
    st.caption("Kept on this machine, beside the cache. Under a link are the circuits, computed or to be computed.")
    for kept in reversed(found):
        show_saved(kept)


def show_saved(kept: OwnPrompts) -> None:
    count = f"{len(kept)} row" + ("s" if len(kept) != 1 else "")
    about = " ".join((f"{count}, {kept.pair}, {kept.saved[:16].replace('T', ' ')}.", *kept.remarks))
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{widgets.plain(kept.title)}**  \n:gray[{widgets.plain(about)}]", width="stretch")
        link(kept, "Circuits")
        st.button("Edit", icon=":material/edit:", key=f"edit {kept.name}", on_click=edit, args=(kept,))
        with st.popover("CSV", icon=":material/download:"):
            downloads(kept)
        with st.popover("Delete", icon=":material/delete:"):
            st.markdown("What was computed stays in the cache, but opens only when the same rows are saved again.")
            st.button("Delete for good", key=f"delete {kept.name}", type="primary", on_click=delete, args=(kept,))


def downloads(kept: OwnPrompts) -> None:
    """The rows with their answers as text, and as EAP-IG has them where every answer is one token of the pair."""
    files = {"Answers as text": (prompts_csv.write_csv(kept.rows), f"{kept.name}.csv")}
    try:
        ids = prompts_csv.write_id_csv(kept.rows, pair_named(kept.pair))
        files["Answers as token ids (EAP-IG)"] = (ids, f"{kept.name}-ids.csv")
    except UserError:
        st.caption("The answers are not one token each, so there is no file with token ids.")
    for label, (content, file) in files.items():
        st.download_button(label, content, file, "text/csv", key=f"{kept.name} {label}", on_click="ignore")


def edit(kept: OwnPrompts) -> None:
    """Put a saved set into the table."""
    fill(kept.rows)
    changed: dict[str, Any] = {TITLE: kept.title, REFUSED: None, READ: None, SAVED: None}
    if kept.pair in pairs():
        changed[state.PAIR] = kept.pair
    st.session_state.update(changed)


def delete(kept: OwnPrompts) -> None:
    own_prompts.delete(kept.name)


show(page)
