"""Own prompts that are saved: save and compute, edit, download, delete."""

from __future__ import annotations

from typing import Any

import streamlit as st

from engine.errors import UserError
from engine.exchange import prompts_csv
from engine.models.pair import CONTROL
from engine.models.pairs import Pair, pair_named, pairs
from engine.runs import stored
from engine.runs.spec import RunSpec
from engine.tasks import own_prompts
from engine.tasks.own_prompts import LONGEST_TITLE, OwnPrompts, PromptRow
from engine.tasks.prompt_checks import CheckedRow, distinct
from pages.panels.prompt_table import (
    READ,
    REFUSED,
    SAVED,
    TITLE,
    fill,
)
from pages.shared import availability, state, widgets
from pages.shared.downloads import file_button


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
    dtype = availability.dtype_of(pair, stored.list_runs())
    models = ("arm", "mdm", CONTROL)
    specs = [RunSpec(pair=pair.name, model=m, task=kept.name, n=len(kept), dtype=dtype) for m in models]
    widgets.submit(specs, f"{pair.title}, {kept.title}")


def saved_note() -> None:
    """After saving: where the circuits will be."""
    kept = next((prompts for prompts in own_prompts.saved_sets() if prompts.name == st.session_state.get(SAVED)), None)
    if kept:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.success(f"Saved as {widgets.plain(kept.title)}.", icon=":material/check:", width=420)
            link(kept, "Look at its circuits")


def link(kept: OwnPrompts, label: str) -> None:
    chosen = {state.PAIR: kept.pair, state.TASK: kept.name, state.N: str(len(kept))}
    st.page_link("pages/circuits.py", label=label, icon=":material/hub:", query_params=chosen)


def saved_prompts() -> None:
    st.header("Saved", divider="gray")
    sets = own_prompts.saved_sets()
    if not sets:
        st.caption("No prompts are saved yet. They are kept on this machine, beside the cache.")
        return
    st.caption("Kept on this machine, beside the cache. Under a link are the circuits, computed or to be computed.")
    for kept in reversed(sets):
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
        file_button(label, content, file, key=f"{kept.name} {label}")


def edit(kept: OwnPrompts) -> None:
    """Put a saved set into the table."""
    fill(kept.rows)
    changed: dict[str, Any] = {TITLE: kept.title, REFUSED: None, READ: None, SAVED: None}
    if kept.pair in pairs():
        changed[state.PAIR] = kept.pair
    st.session_state.update(changed)


def delete(kept: OwnPrompts) -> None:
    own_prompts.delete(kept.name)
