"""Rows of own prompts token by token, with what is wrong with them."""

from __future__ import annotations

import streamlit as st

from engine.errors import UserError
from engine.models.pairs import Pair
from engine.tasks.own_prompts import PromptRow
from engine.tasks.prompt_checks import CheckedRow, check
from pages.shared import token_text, widgets

SHOWN = 20  # rows whose tokens are drawn


def checked_rows(pair: Pair, rows: dict[int, PromptRow], problems: list[str]) -> tuple[list[CheckedRow], bool]:
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
    palette = widgets.palette()
    with st.container(border=True):
        st.markdown(f"**Row {number}**")
        st.html(token_text.aligned(checked.prompt, ("clean", "corrupted"), palette))
        st.html(token_text.aligned(checked.answer, ("answer", "foil"), palette))
        for what, texts in (("right", checked.row.answers), ("wrong", checked.row.foils)):
            if len(texts) > 1:
                st.caption(widgets.plain(f"Also {what}: {', '.join(map(repr, texts[1:]))}"))
        if checked.repeats is not None:
            sentence = f"It says the same as row {checked.repeats} and is left out: each counts once."
            st.info(sentence, icon=":material/content_copy:")
        if checked.warnings:
            st.warning("\n\n".join(map(widgets.plain, checked.warnings)), icon=":material/warning:")
        if checked.problems:
            st.error("\n\n".join(map(widgets.plain, checked.problems)), icon=":material/error:")
