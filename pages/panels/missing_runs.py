"""What the overview's pairs still lack, and a button that computes it."""

from __future__ import annotations

import math

import streamlit as st

from pages.panels.findings import Cell
from pages.shared import job_queue, widgets

SECONDS_A_RUN = 20  # until a run of this cache says better


def offer_missing(cells: list[Cell]) -> None:
    """One button for everything that is missing; none while that is under way."""
    missing = [spec for cell in cells for spec in cell.missing]
    possible = len(missing) + sum(len(cell.runs) for cell in cells if not cell.problem)
    widgets.submit_error()
    busy = any(job.is_open for job in job_queue.queue().jobs())
    if not missing or busy:
        return
    known = [run.seconds for cell in cells for run in cell.runs if not run.imported]
    minutes = max(1, math.ceil(len(missing) * (sum(known) / len(known) if known else SECONDS_A_RUN) / 60))
    runs = f"{len(missing)} run" + ("s" if len(missing) > 1 else "")
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{runs} of {possible} not computed yet.** That takes about {minutes} min on a small machine.")
        st.button(
            f"Compute what is missing ({runs})",
            type="primary",
            icon=":material/play_arrow:",
            key="compute missing",
            on_click=widgets.submit,
            args=(missing, f"Missing runs of the overview ({runs})"),
        )
