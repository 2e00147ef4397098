"""What the overview's pairs still lack, and a button that computes it."""

from __future__ import annotations

import math

import streamlit as st

from pages.panels.findings import Cell
from pages.shared import job_queue, widgets
from pages.shared.words import counted

SECONDS_A_RUN = 20  # until a run of this cache says better
WHOLE = 2.0  # a whole run takes about so many times as long as its circuit
PART_SHARE = 0.5  # of a run, what one that lacks something takes about


def offer_missing(cells: list[Cell]) -> None:
    """One button for everything that is missing; none while that is under way."""
    missing = [spec for cell in cells for spec in cell.missing]
    in_part = [spec for cell in cells for spec in cell.in_part]
    possible = len(missing) + sum(len(cell.runs) for cell in cells if not cell.problem)
    widgets.submit_error()
    busy = any(job.is_open for job in job_queue.queue().jobs())
    if not (missing or in_part) or busy:
        return
    known = [run.seconds for cell in cells for run in cell.runs if not run.imported]
    seconds = WHOLE * sum(known) / len(known) if known else SECONDS_A_RUN
    minutes = max(1, math.ceil((len(missing) + PART_SHARE * len(in_part)) * seconds / 60))
    runs = counted(len(missing) + len(in_part), "run")
    lacking = "not computed yet" if not in_part else "not computed in full yet"
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{runs} of {possible} {lacking}.** That takes about {minutes} min on a small machine.")
        st.button(
            f"Compute what is missing ({runs})",
            type="primary",
            icon=":material/play_arrow:",
            key="compute missing",
            on_click=widgets.submit,
            args=([*missing, *in_part], f"Missing runs of the overview ({runs})"),
        )
