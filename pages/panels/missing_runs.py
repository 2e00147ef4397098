"""What the overview's pairs still lack, and a button that computes it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from engine.runs.durations import duration
from engine.runs.spec import RunSpec
from engine.sweeps import cost
from pages.panels.findings import Cell
from pages.shared import job_queue, widgets
from pages.shared.words import counted

STARTING = 20  # seconds of a run that depend on no size: loading, storing, many small passes
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
    time = duration(max(60, seconds_of(missing, in_part)))
    runs = counted(len(missing) + len(in_part), "run")
    lacking = "not computed yet" if not in_part else "not computed in full yet"
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{runs} of {possible} {lacking}.** That takes about {time} on a small machine.")
        st.button(
            f"Compute what is missing ({runs})",
            type="primary",
            icon=":material/play_arrow:",
            key="compute missing",
            on_click=widgets.submit,
            args=([*missing, *in_part], f"Missing runs of the overview ({runs})"),
        )


def seconds_of(missing: Sequence[RunSpec], in_part: Sequence[RunSpec]) -> float:
    """About how long runs take on a few cores: of a real pair by far the longest, so that sizes decide."""
    return sum(map(_seconds, missing)) + PART_SHARE * sum(map(_seconds, in_part))


def _seconds(spec: RunSpec) -> float:
    return STARTING + cost.multiplications(spec, "circuit") / cost.RATES["cpu"]
