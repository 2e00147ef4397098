"""Own prompts: write pairs of prompts or upload them, see their tokens aligned, save them, compute their circuits."""

from __future__ import annotations

import streamlit as st

from engine.errors import UserError
from engine.models.light_tokenizer import words_of
from engine.models.pairs import pairs
from pages.panels.prompt_rows import checked_rows
from pages.panels.prompt_table import prompt_table, spaces_note, table_note, upload_box, upload_notes
from pages.panels.saved_prompts import save_box, saved_note, saved_prompts
from pages.shared import state, widgets
from pages.shared.entry import show
from pages.shared.glossary import meaning
from pages.shared.jobs_panel import watch_jobs
from pages.shared.synced import synced


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
        saved_prompts()


def write() -> None:
    """Everything up to the button that saves."""
    known = pairs()
    columns = st.columns([2, 3], gap="large")
    name = columns[0].selectbox(
        "Pair",
        list(known),
        format_func=lambda name: known[name].title,
        key=synced(state.PAIR, next(iter(known)), list(known)),
        help=f"{meaning('arm')} {meaning('mdm')}",
    )
    pair = known[name]
    try:
        words = words_of(pair.folder("arm"))
    except UserError as error:
        st.warning(widgets.plain(str(error)), icon=":material/warning:")
        return
    with columns[1]:
        upload_box(pair)
    upload_notes()
    st.caption(table_note(words.positions) + ("" if words.knows_words_only else spaces_note()))
    rows, problems = prompt_table("" if words.knows_words_only else " ")
    save_box(pair, *checked_rows(pair, rows, problems))


show(page)
