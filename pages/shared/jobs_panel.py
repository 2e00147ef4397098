"""Jobs as they go: stage, progress, time left, cancel. Refreshes itself while the rest of the page stays usable."""

from __future__ import annotations

import time

import streamlit as st

from engine.runs.jobs import JobView
from pages.figures.palette import NAME
from pages.shared import job_queue, state
from pages.shared.availability import title_of_pair, title_of_task
from pages.shared.state import Question
from pages.shared.widgets import attempt, plain

EVERY = 1.0  # seconds
MOST_LINKS = 8  # of one job
RECENT = 600.0  # seconds for which a failure stays on other pages than Runs


def watch_jobs(failures: bool = True) -> None:
    """Show open jobs, and the latest when it failed; rerun the page when a run ends, as its numbers are there then."""
    busy = any(job.is_open for job in job_queue.queue().jobs())
    st.session_state["runs done"] = _ended(job_queue.queue().jobs())
    st.fragment(_panel, run_every=EVERY if busy else None)(failures)


def job_card(job: JobView) -> None:
    """One job: what it is, how far, how long still, and a button to cancel it while that is possible."""
    with st.container(border=True):
        text, button = st.columns([5, 1], vertical_alignment="center")
        with text:
            st.markdown(f"**{plain(job.title)}**  {plain(headline(job))}")
            if job.state == "running":
                st.progress(overall(job, time.time()), text=plain(doing(job)))
        if job.is_open:
            button.button(
                "Cancel" if job.state != "cancelling" else "Cancelling",
                key=f"cancel {job.id}",
                on_click=attempt,
                args=(job_queue.queue().cancel, job.id),
                disabled=job.state == "cancelling",
                width="stretch",
            )
        else:
            dismiss = job_queue.queue().dismiss
            button.button("Dismiss", key=f"dismiss {job.id}", on_click=dismiss, args=(job.id,), width="stretch")
            links(job)
        if job.error:
            st.error(plain(job.error), icon=":material/error:")


def links(job: JobView) -> None:
    """Where to look at what a job made."""
    targets = made(job)
    if not targets:
        return
    with st.container(horizontal=True, gap="medium"):
        for label, chosen in targets[:MOST_LINKS]:
            st.page_link("pages/circuits.py", label=plain(label), icon=":material/hub:", query_params=chosen)
        if len(targets) > MOST_LINKS:
            st.markdown(f"and {len(targets) - MOST_LINKS} more")


def made(job: JobView) -> list[tuple[str, dict[str, str]]]:
    """A label and an address for every question that a job's runs answer; its last checkpoint where it has no MDM."""
    models: dict[Question, list[str]] = {}
    for spec in job.made:
        models.setdefault(Question.of(spec), []).append(spec.model)
    targets = []
    for question, made in models.items():
        steps = [model.removeprefix("step:") for model in made if model.startswith("step:")]
        step = {state.STEP: steps[-1]} if steps and "mdm" not in made else {}
        targets.append((f"{title_of_pair(question.pair)}: {title_of_task(question.task)}", question.address | step))
    return targets


def headline(job: JobView) -> str:
    if job.state == "cancelling":
        return "cancelling: it stops when it reports next, or is ended after a few seconds"
    if job.state == "running":
        return f"run {job.run_index + 1} of {job.n_runs}{time_left(job.eta_seconds)}"
    runs = f"{job.n_runs} run" + ("s" if job.n_runs != 1 else "")
    return f"{job.state}, {runs}"


def doing(job: JobView) -> str:
    spec, progress = job.specs[job.run_index], job.progress
    counted = f" {progress.done} of {progress.total}" if progress.total else ""
    return f"{NAME.get(spec.model, spec.model)} on {title_of_task(spec.task)}: {progress.stage}{counted}"


def overall(job: JobView, now: float) -> float:
    """0 .. 1 of the job's time; of its runs while the time left isn't known. Stages vary too much to be counted."""
    if job.eta_seconds is None or job.started is None:
        return job.run_index / job.n_runs
    spent = max(0.0, now - job.started)
    return spent / (spent + job.eta_seconds) if spent else 0.0


def time_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f", about {max(1, round(seconds))} s left"
    return f", about {round(seconds / 60)} min left"


def _panel(failures: bool) -> None:
    jobs = job_queue.queue().jobs()
    for job in jobs:
        recently = job.finished is not None and time.time() - job.finished < RECENT
        latest = job.id == jobs[-1].id
        if job.is_open or (failures and job.state == "failed" and recently and latest):
            job_card(job)
    if _ended(jobs) != st.session_state.get("runs done"):
        st.rerun(scope="app")


def _ended(jobs: list[JobView]) -> list[tuple[str, str, int]]:
    return [(job.id, job.state, job.run_index) for job in jobs]
