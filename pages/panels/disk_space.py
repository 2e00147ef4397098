"""What stored runs take on disk, by artifact, and how to free space of old ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import streamlit as st

from engine.errors import UserError
from engine.runs import stored
from engine.runs.records import Run, short_key, size_text
from engine.schema.artifacts import ALL_KINDS, AnyKind
from pages.shared.availability import title_of_task
from pages.shared.glossary import meaning
from pages.shared.words import ARTIFACTS, counted

DAYS, KEEP = "prune days", "prune keep"  # in the session
FREED = "freed"  # in the session: the sentence about what was deleted last
USUAL_DAYS, MOST_DAYS = 30, 3650


def sizes_by_artifact(runs: Sequence[Run], sizes: Sequence[Mapping[AnyKind, int]]) -> None:
    """Which artifacts of every run are there, and how large they are; `sizes`: bytes, run by run."""
    with st.expander("Sizes by artifact", icon=":material/straighten:"):
        totals = [f"{ARTIFACTS[kind]} {size_text(size)}" for kind, size in stored.sizes().items()]
        st.markdown(f"In all: {', '.join(totals)}.", help=meaning("artifact"))
        columns = {
            ARTIFACTS[kind].capitalize(): st.column_config.NumberColumn(format="%.2f MiB", help="empty: not computed")
            for kind in ALL_KINDS
        }
        st.dataframe(
            list(map(size_row, runs, sizes)), hide_index=True, column_config=columns, key="artifact sizes",
            placeholder="",
            alt="Sizes of the artifacts of every run",
        )  # fmt: skip
        st.caption("What several runs share (all but the circuit may be) stands in each row, and is on disk once.")


def size_row(run: Run, sizes: Mapping[AnyKind, int]) -> dict[str, str | float | None]:
    row: dict[str, str | float | None] = {
        "Run": short_key(run.key),
        "Pair": run.spec.pair,
        "Model": run.spec.model,
        "Task": title_of_task(run.spec.task),
    }
    return row | {ARTIFACTS[kind].capitalize(): sizes[kind] / 2**20 if kind in sizes else None for kind in ALL_KINDS}


def free_space() -> None:
    """Delete what is older than some days, once it is confirmed how much that is."""
    with st.popover("Free space", icon=":material/cleaning_services:"):
        st.markdown("Delete runs that were computed a while ago.")
        days = st.number_input("Older than so many days", 0, MOST_DAYS, USUAL_DAYS, key=DAYS)
        keep = st.checkbox("Keep runs that a bundle brought", value=True, key=KEEP)
        runs, size = stored.prunable(timedelta(days=int(days)), keep)
        if not size:
            st.caption("There is nothing so old.")
            return
        what = counted(runs, "run") if runs else "what belongs to no run"
        st.markdown(f"That deletes **{what}** and frees about **{size_text(size)}**.")
        st.button("Delete for good", key="prune", type="primary", on_click=_prune, args=(int(days), keep))


def note_freed(runs: int, size: int) -> None:
    """Remember what to say of a deletion."""
    st.session_state[FREED] = f"Deleted {counted(runs, 'run')}: {size_text(size)} freed."


def freed_note() -> None:
    """What the last deletion freed, once."""
    sentence = st.session_state.pop(FREED, None)
    if sentence:
        st.success(sentence, icon=":material/check:")


def _prune(days: int, keep: bool) -> None:
    try:
        note_freed(*stored.prune(timedelta(days=days), keep))
    except UserError as error:
        st.session_state["submit error"] = str(error)
