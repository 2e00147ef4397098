"""Artifacts of runs that are still to come: say so where they will be shown, and show them as soon as they are there.

A panel asks `awaited` before it reads; a page asks `watch_runs` or `watch_cache` once, so that what another process
computes or somebody deletes is seen without a click: a few files are listed every few seconds, and the page is drawn
again when they are others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from engine.errors import UserError
from engine.runs import cache_connection, execution, lifecycle, parts, stored
from engine.runs.jobs import JobView
from engine.runs.provenance import resolve
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.schema.artifacts import KINDS, AnyKind, Kind
from pages.shared import job_queue, widgets
from pages.shared.words import ARTIFACTS, artifact_names, counted, listed

# Seconds between looks: where nothing is drawn yet, where something is, and for what a page can do without. A look
# while a chart takes a click can keep the browser from drawing that chart anew, so there are few.
SOON, EVERY, SELDOM = 2.0, 5.0, 30.0

State = Literal["coming", "elsewhere", "failed", "absent"]


@dataclass(frozen=True)
class Awaited:
    """An artifact of a stored run that is not there."""

    run: Run
    kind: Kind

    @property
    def key(self) -> str:
        return self.run.key_of(self.kind)

    @property
    def job(self) -> JobView | None:
        """The job of this app that is going to compute it."""
        jobs = (job for job in job_queue.queue().jobs() if job.is_wanted and self.kind in job.kinds)
        return next((job for job in jobs if self.run.spec in job.specs), None)

    @property
    def failure(self) -> str:
        """Why it could not be computed when it was tried last; nothing where it was not."""
        return failure_of(self.key)

    @property
    def state(self) -> State:
        if self.job:
            return "coming"
        if execution.elsewhere(self.key):
            return "elsewhere"
        return "failed" if self.failure else "absent"


def lacking(runs: Sequence[Run], kinds: Sequence[Kind] = KINDS) -> list[Awaited]:
    """What is not there of some runs."""
    return [Awaited(run, kind) for kind in kinds for run in runs if not stored.has(run, kind)]


def awaited(place: str, runs: Sequence[Run], *kinds: Kind) -> bool:
    """Whether an artifact is still to come of one of these runs; if so, say that here, and offer to compute it.

    `place`: what tells this panel from the others of its page.
    """
    states: dict[State, list[Awaited]] = {}
    for artifact in lacking(runs, kinds):
        states.setdefault(artifact.state, []).append(artifact)
    if "coming" in states:
        st.fragment(_coming, run_every=EVERY)(states["coming"])
    for artifact in states.get("elsewhere", []):
        _elsewhere(artifact)
    for artifact in states.get("failed", []):
        sentence = f"Could not be computed: {_named([artifact])}. {artifact.failure}"
        st.error(widgets.plain(sentence), icon=":material/error:")
    if "absent" in states:
        st.info(widgets.plain(f"Not computed yet: {_named(states['absent'])}."), icon=":material/hourglass_empty:")
    offered = [*states.get("failed", []), *states.get("absent", [])]
    if offered:
        compute_button(place, [artifact.run for artifact in offered], again="failed" in states)
    return bool(states)


def offer_rest(runs: Sequence[Run]) -> None:
    """Of runs that are shown as far as they are there: what is not, where nobody computes it, and a button for it."""
    rest = [artifact for artifact in lacking(runs) if artifact.state in ("absent", "failed")]
    if rest:
        kinds = listed([ARTIFACTS[kind] for kind in KINDS if kind in {artifact.kind for artifact in rest}])
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"The circuits are here. Not computed yet: {kinds}.", width="content")
            compute_button("rest", [artifact.run for artifact in rest])


def compute_button(place: str, runs: Sequence[Run], again: bool = False) -> None:
    """A button that computes everything that is missing of some runs; the whole page is drawn again then."""
    specs = list(dict.fromkeys(run.spec for run in runs))
    obstacle = next(filter(None, map(lifecycle.obstacle, specs)), None)
    if st.button(
        "Try again" if again else "Compute what is missing",
        icon=":material/refresh:" if again else ":material/play_arrow:",
        key=f"compute {place}",
        disabled=obstacle is not None,
        help=obstacle and widgets.plain(obstacle),
    ):
        widgets.submit(specs, f"What is missing of {counted(len(specs), 'run')}")
        st.rerun()


def failure_of(key: str) -> str:
    """Why an artifact could not be computed when a job of this app tried it last; nothing where none did."""
    for job in reversed(job_queue.queue().jobs()):
        for failed in job.failures:
            if failed.step.key == key:
                return failed.reason
    return ""


def say_elsewhere(specs: Sequence[RunSpec]) -> bool:
    """Whether another process computes the circuit of one of these specs; if so, say it."""
    processes = [process for spec in specs for key in _keys_of(spec) if (process := execution.elsewhere(key))]
    for process in processes[:1]:
        sentence = f"Process {process.pid} on {process.host} is computing the circuits. They appear here by themselves."
        st.info(widgets.plain(sentence), icon=":material/hourglass_top:")
    return bool(processes)


def watch_runs(specs: Sequence[RunSpec], every: float | None = None) -> None:
    """Draw the page again when something is there that it lacks of these specs' runs; `every`: seconds."""
    runs = [lifecycle.find(spec) for spec in specs]
    if any(run is None or stored.missing(run) for run in runs):
        usual = EVERY if all(runs) else SOON
        watch(lambda: tuple(map(_situation, specs)), every or usual)


def watch_cache(kinds: Collection[AnyKind] = KINDS) -> None:
    """Draw the page again when there are other artifacts of these kinds in the cache."""
    watch(lambda: frozenset(record.key for record in cache_connection.records() if record.kind in kinds), EVERY)


def watch(look_up: Callable[[], object], every: float) -> None:
    """Draw the page again when `look_up` says something else; `every`: seconds between looks."""
    st.fragment(_compare, run_every=every)(look_up, look_up())


def _compare(look_up: Callable[[], object], before: object) -> None:
    try:
        now = look_up()
    except UserError:  # the page says so when it is drawn again
        return
    if now != before:
        st.rerun(scope="app")


def _situation(spec: RunSpec) -> object:
    """What is there of a spec's run, and which other processes compute the rest."""
    run = lifecycle.find(spec)
    if run is None:
        return tuple(map(execution.elsewhere, _keys_of(spec)))
    return run.key, tuple((kind, execution.elsewhere(run.companions[kind])) for kind in stored.missing(run))


def _keys_of(spec: RunSpec) -> tuple[str, ...]:
    """Of its circuit and of the parts of it; nothing where the weights are not here."""
    try:
        run = resolve(spec)
    except UserError:
        return ()
    return (run.key, *(parts.key_of(run, examples) for examples in run.parts))


def _coming(artifacts: Sequence[Awaited]) -> None:
    """What a job of this app computes, and how far it is, if it is at it."""
    at_it = [(artifact, job) for artifact in artifacts if (job := artifact.job) and job.step]
    progress = ""
    for artifact, job in at_it:
        if job.step and job.step.key == artifact.key and job.progress.total:
            progress = f" ({job.progress.stage} {job.progress.done:,} of {job.progress.total:,})"
    sentence = f"Still being computed: {_named(artifacts)}{progress}. It appears here by itself."
    st.info(widgets.plain(sentence), icon=":material/hourglass_top:")


def _elsewhere(artifact: Awaited) -> None:
    process = execution.elsewhere(artifact.key)
    by = f" by process {process.pid} on {process.host}" if process else ""
    sentence = f"Still being computed{by}: {_named([artifact])}. It appears here by itself."
    st.info(widgets.plain(sentence), icon=":material/hourglass_top:")


def _named(artifacts: Sequence[Awaited]) -> str:
    return artifact_names((artifact.kind, artifact.run.spec.model) for artifact in artifacts)
