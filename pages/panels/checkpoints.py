"""How the circuit left the ARM's along the checkpoints of post-training."""

from __future__ import annotations

import streamlit as st

from engine.models.pairs import Pair
from engine.runs import lifecycle
from engine.runs.solvable import can_do
from engine.tasks.registry import task_named
from pages.figures.overlap import drift_figure
from pages.shared import cached_reads, job_queue, widgets
from pages.shared.glossary import meaning
from pages.shared.provenance import origin
from pages.shared.sides import Sides
from pages.shared.state import TOTAL, Question
from pages.shared.words import listed


def checkpoint_drift(sides: Sides, asked: Question, pair: Pair) -> None:
    """How the circuit left the ARM's along post-training, where at least two checkpoints are computed."""
    checkpoints = [(step, cached_reads.run_of(asked.spec(f"step:{step}"))) for step in pair.steps]
    points = [(step, run) for step, run in checkpoints if run]
    missing = [asked.spec(f"step:{step}") for step, run in checkpoints if run is None]
    if not pair.steps:
        return
    st.subheader(f"Along post-training, K = {sides.k:,}", help=f"{meaning('checkpoint')} {meaning('split_half')}")
    if len(points) > 1:
        overlap = [cached_reads.overlap(sides.arm.run.key, run.key, TOTAL, TOTAL, sides.k) for _, run in points]
        halves = [cached_reads.split_half(sides.arm.run, run, sides.k) for _, run in points]
        solved = [run.accuracy.accuracy if run.accuracy else None for _, run in points]
        figure = drift_figure([step for step, _ in points], overlap, halves, solved, widgets.palette())
        runs = origin([sides.arm.run, *(run for _, run in points)], sides.k)
        widgets.chart(figure, "drift", "Overlap with the ARM along post-training", "drift", runs)
        unable = [f"{step:,}" for step, run in points if not can_do(task_named(asked.task), run.accuracy).can]
        if unable:
            st.caption(
                f"Checkpoints that cannot do this task, so that their circuits are not informative: after "
                f"{listed(unable)} steps."
            )
    open_specs = {spec for job in job_queue.queue().jobs() if job.is_open for spec in job.specs}
    if missing and not set(missing) <= open_specs and not lifecycle.obstacle(missing[0]):
        st.button(
            f"Compute the missing checkpoints ({len(missing)})",
            icon=":material/play_arrow:",
            key="compute checkpoints",
            on_click=widgets.submit,
            args=(missing, f"{pair.title}, {task_named(asked.task).title}: checkpoints"),
            help="Then a chart here shows the overlap with the ARM after every checkpoint.",
        )
