"""What other processes compute into the same cache; shown only while one does, and refreshed by itself."""

from __future__ import annotations

import time

import streamlit as st

from engine.errors import UserError
from engine.runs.durations import MINUTE, duration
from engine.runs.elsewhere import OtherProcess, by_process, computed_elsewhere, stored_since
from engine.runs.records import short_key
from pages.shared.artifacts import EVERY
from pages.shared.html_table import html_table
from pages.shared.widgets import plain
from pages.shared.words import counted

MOST_PROCESSES = 8  # that have a line of their own
MOST_ROWS = 50
COLUMNS = ("Artifact", "Progress", "Computed by", "For")
PROGRESS = COLUMNS.index("Progress")
WHAT_THIS_IS = (
    "Other programs compute into the same cache: a command in a terminal, a sweep, or another machine that shares the "
    "folder. What they finish appears here by itself. Cancel them where they were started."
)


def watch_elsewhere() -> None:
    """A section about what is computed elsewhere, which comes and goes without a click."""
    st.fragment(_panel, run_every=EVERY)()


def lasting(seconds: float) -> str:
    """How long something has been going on; without seconds, so that it is seldom another text."""
    return "under 1 min" if seconds < MINUTE else duration(seconds)


def sentence(process: OtherProcess, now: float) -> str:
    """Which process it is, since when it computes, and how much at the moment."""
    since = f"has been computing for {lasting(now - process.began)}" if process.began else "is computing"
    return f"Process {_named(process)} {since}: {counted(len(process.computing), 'artifact')} at the moment."


def rows(processes: list[OtherProcess], now: float) -> list[list[str]]:
    """Of the table: what is computed, how far it is, by whom and for how long."""
    shown = []
    for process in processes:
        for lease in process.computing:
            holder = lease.holder
            by = f"{holder.worker}, process {process.pid}" if holder.worker else f"process {_named(process)}"
            since = lasting(now - holder.since) if holder.since else ""
            shown.append([holder.what or f"artifact {short_key(lease.key)}", holder.state, by, since])
    return shown


def _panel() -> None:
    try:
        processes = by_process(computed_elsewhere())
        began = min((process.began for process in processes if process.began), default=0.0)
        stored = stored_since(began) if began else 0
    except UserError:  # the page says so when it is drawn again
        return
    if not processes:
        return
    now = time.time()
    st.header("Computed elsewhere", divider="gray")
    st.caption(WHAT_THIS_IS)
    lines = [sentence(process, now) for process in processes[:MOST_PROCESSES]]
    if len(processes) > MOST_PROCESSES:
        lines.append(f"And {len(processes) - MOST_PROCESSES:,} more.")
    if stored:
        which = "it began" if len(processes) == 1 else "the first of them began"
        lines.append(f"Stored in this cache since {which}: {counted(stored, 'artifact')}.")
    st.markdown("  \n".join(map(plain, lines)))
    table = rows(processes, now)
    columns = [index for index in range(len(COLUMNS)) if index != PROGRESS or any(row[PROGRESS] for row in table)]
    shown = html_table(
        "Artifacts that are computed elsewhere",
        [COLUMNS[index] for index in columns],
        [[row[index] for index in columns] for row in table[:MOST_ROWS]],
        texts=range(len(columns)),
    )
    st.html(f'<div style="overflow-x:auto">{shown}</div>')  # for words that do not fit a narrow window
    if len(table) > MOST_ROWS:
        st.caption(f"And {len(table) - MOST_ROWS:,} more.")


def _named(process: OtherProcess) -> str:
    """As in "4711 on this machine"."""
    return f"{process.pid} on {'this machine' if process.is_here else process.host or 'another machine'}"
