"""Jobs as they go: artifact, progress, time left, cancel. Refreshes itself while the rest of the page stays usable."""

from __future__ import annotations

import time
from dataclasses import replace

import streamlit as st

from engine.runs.durations import duration
from engine.runs.jobs import JobView
from engine.runs.records import Progress
from engine.runs.steps import Step
from engine.schema.artifacts import EVIDENCE_KINDS
from pages.shared import job_queue, state
from pages.shared.availability import title_of_pair, title_of_task
from pages.shared.state import Question
from pages.shared.widgets import attempt, plain
from pages.shared.words import artifact_name, counted

EVERY = 1.0  # seconds
MOST_LINKS = 8  # of one job
RECENT = 600.0  # seconds for which a failure stays on other pages than Runs


def watch_jobs(failures: bool = True) -> None:
    """Show open jobs, and the latest when it failed; rerun the page when a job ends or has stored a circuit."""
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
                several = places(job)
                st.progress(overall(job, time.time()), text=None if several else plain(doing(job)))
                for line in several:
                    st.caption(plain(line))
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
        for reason in reasons(job):
            st.error(plain(reason), icon=":material/error:")
        if job.state == "failed":
            again = st.button("Try again", icon=":material/refresh:", key=f"again {job.id}")
            if again:
                dismiss(job.id)
                attempt(job_queue.queue().submit, job.specs, job.title, job.plan, job.kinds)
                st.rerun()


def links(job: JobView) -> None:
    """Where to look at what a job made."""
    targets = made(job)
    if not targets:
        return
    page, icon = "pages/circuits.py", ":material/hub:"
    if not set(job.kinds).isdisjoint(EVIDENCE_KINDS):
        page, icon = "pages/evidence.py", ":material/fact_check:"
    with st.container(horizontal=True, gap="medium"):
        for label, chosen in targets[:MOST_LINKS]:
            st.page_link(page, label=plain(label), icon=icon, query_params=chosen)
        if len(targets) > MOST_LINKS:
            st.markdown(f"and {len(targets) - MOST_LINKS} more")


def made(job: JobView) -> list[tuple[str, dict[str, str]]]:
    """A label and an address for every question that a job's runs answer; its last checkpoint where it has no MDM."""
    models: dict[Question, list[str]] = {}
    with_mdm = {replace(spec, model="arm") for spec in job.made if not spec.is_arm}
    for spec in job.made:
        if spec in with_mdm:
            continue  # the MDM's question is this one too, and also says its number of denoising steps
        models.setdefault(Question.of(spec), []).append(spec.model)
    targets = []
    for question, made in models.items():
        steps = [model.removeprefix("step:") for model in made if model.startswith("step:")]
        step = {state.STEP: steps[-1]} if steps and "mdm" not in made else {}
        targets.append((f"{title_of_pair(question.pair)}: {title_of_task(question.task)}", question.address | step))
    return targets


def reasons(job: JobView) -> list[str]:
    """Why a job failed, by artifact where it is known of which; artifacts with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for failed in job.failures:
        spec = failed.step.spec
        name = f"{artifact_name(failed.step.kind, spec.model)} on {title_of_task(spec.task)}"
        by_reason.setdefault(failed.reason, []).append(name)
    if by_reason:
        return [f"The {', the '.join(names)}: {reason}" for reason, names in by_reason.items()]
    return [job.error] if job.error else []


def headline(job: JobView) -> str:
    if job.state == "cancelling":
        return "cancelling: it stops when it reports next, or is ended after a few seconds"
    if job.state == "running":
        if job.step is None:
            return "it begins"
        at = min(job.step_index + 1, job.n_steps)
        return f"{artifact_name(job.step.kind, job.step.spec.model)}, {at} of {job.n_steps}{time_left(job.eta_seconds)}"
    if job.state == "queued":
        return f"waiting for the jobs before it, {counted(len(job.specs), 'run')}"
    if job.state in ("failed", "cancelled") and job.step_index:
        return f"{job.state}, {job.step_index} of {job.n_steps} parts of {counted(len(job.specs), 'run')} are kept"
    return f"{job.state}, {counted(len(job.specs), 'run')}"


def doing(job: JobView) -> str:
    """Which stage of which artifact, or what it waits for."""
    return _stage(job.step, job.progress)


def places(job: JobView) -> list[str]:
    """What each GPU computes, a line each, where several compute at once."""
    if len(job.steps_now) < 2:
        return []
    return [f"{now.place}: {_stage(now.step, now.progress)}" for now in job.steps_now]


def _stage(step: Step | None, progress: Progress) -> str:
    done = f" {progress.done:,} of {progress.total:,}" if progress.total else ""
    what = f"{artifact_name(step.kind, step.spec.model)} on {title_of_task(step.spec.task)}: " if step else ""
    return f"{what}{progress.stage}{done}"


def overall(job: JobView, now: float) -> float:
    """0 .. 1 of the job's time; of its artifacts while the time left is unknown, as stages vary too much."""
    if job.eta_seconds is None or job.started is None:
        return job.step_index / job.n_steps if job.n_steps else 0.0
    spent = max(0.0, now - job.started)
    return spent / (spent + job.eta_seconds) if spent else 0.0


def time_left(seconds: float | None) -> str:
    return "" if seconds is None else f", about {duration(max(1.0, seconds))} left"


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
    return [(job.id, job.state, len(job.without_circuit)) for job in jobs]
