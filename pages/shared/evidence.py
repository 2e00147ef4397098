"""Evidence of circuits on pages: read it where it is stored; where it is not, say so and offer to compute it.

A panel asks `of` for the evidence of a run, then `rows` or `columns` for its tables, which are kept between reruns.
`missing` says in one quiet line what is not there of some runs, and draws the page again when that has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from engine.errors import UserError
from engine.runs import evidence, execution, lifecycle
from engine.runs.evidence import Evidence
from engine.runs.jobs import JobView
from engine.runs.records import Run
from engine.schema.artifacts import EvidenceKind
from pages.shared import artifacts, job_queue, widgets
from pages.shared.artifacts import State
from pages.shared.words import artifact_names

EVERY = 5.0  # seconds between looks at evidence that is not there


@dataclass(frozen=True)
class Wanted:
    """Evidence of a stored run, there or not; `size`: K, of the kind `faithfulness_at`."""

    run: Run
    kind: EvidenceKind
    size: int | None = None

    @property
    def stored(self) -> Evidence | None:
        return of(self.run, None, self.kind, self.size)

    @property
    def key(self) -> str:
        """Of the artifact; nothing where it is stored, or cannot be computed here."""
        try:
            steps = evidence.plan([self.run.spec], [self.kind], self.size)
        except UserError:
            return ""
        return next((step.key for step in steps if step.kind == self.kind), "")

    @property
    def job(self) -> JobView | None:
        """The job of this app that is going to compute it."""
        jobs = job_queue.queue().jobs()
        wanted = (job for job in jobs if job.is_wanted and self.run.spec in job.specs and self.kind in job.kinds)
        return next(wanted, None)

    @property
    def state(self) -> State:
        if self.job:
            return "coming"
        key = self.key
        if execution.elsewhere(key):
            return "elsewhere"
        return "failed" if artifacts.failure_of(key) else "absent"


def of(run: Run, other: Run | None, kind: EvidenceKind, size: int | None = None) -> Evidence | None:
    """The stored evidence of a run; `other`: the run whose circuit it was compared with, None: the usual one.

    The usual one is the MDM's of the same settings for an ARM, and the ARM's for any other model.
    """
    if kind not in evidence.OF_ONE_MODEL:
        other = other or lifecycle.find(evidence.other_of(run.spec))
        if other is None:
            return None
    return evidence.find(run, kind, other, size)


def rows(there: Evidence, name: str, /, **where: int | str) -> list[dict[str, Any]]:
    """The rows of a table of stored evidence as records, in the table's order; a list of the caller's own."""
    content = columns(there, name, **where)
    return [
        dict(zip(content, values, strict=True)) for values in zip(*(c.tolist() for c in content.values()), strict=True)
    ]


def columns(there: Evidence, name: str, /, **where: int | str) -> dict[str, NDArray[Any]]:
    """The columns of a table of stored evidence as arrays [row]; a missing number is NaN."""
    return _columns(there.key, name, there, **where)


@st.cache_data(show_spinner=False, max_entries=256)
def _columns(key: str, name: str, _there: Evidence, /, **where: int | str) -> dict[str, NDArray[Any]]:
    content = evidence.table(_there, name, **where)
    return {column: np.asarray(content[column].to_numpy()) for column in content.column_names}


def missing(place: str, runs: Sequence[Run], kind: EvidenceKind, size: int | None = None) -> bool:
    """Whether evidence is missing of one of these runs; if so, say that here in a line, and offer to compute it.

    `place`: what tells this line from the others of its page.
    """
    wanted = [each for run in runs if (each := Wanted(run, kind, size)).stored is None]
    if not wanted:
        return False
    states = [each.state for each in wanted]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for state in dict.fromkeys(states):
            of_state = [each for each, its in zip(wanted, states, strict=True) if its == state]
            st.caption(widgets.plain(_sentence(of_state, state)), width="content")
        idle = [each for each, its in zip(wanted, states, strict=True) if its in ("absent", "failed")]
        if idle:
            compute_button(place, [each.run for each in idle], [kind], size, again="failed" in states)
    watch(wanted)
    return True


def compute_button(
    place: str, runs: Sequence[Run], kinds: Sequence[EvidenceKind], size: int | None = None, again: bool = False
) -> None:
    """A small button that puts the evidence of some runs in the queue; the whole page is drawn again then."""
    specs = list(dict.fromkeys(run.spec for run in runs))
    used = dict.fromkeys([*specs, *map(evidence.other_of, specs)])  # the other model's circuit is computed first
    obstacle = next(filter(None, map(lifecycle.obstacle, used)), None)
    if st.button(
        "Try again" if again else "Compute",
        key=f"compute evidence {place}",
        type="tertiary",
        disabled=obstacle is not None,
        help=obstacle and widgets.plain(obstacle),
    ):
        names = artifact_names((kind, spec.model) for kind in kinds for spec in specs)
        title = names[0].upper() + names[1:]
        plan = partial(evidence.plan, specs, kinds, size)
        widgets.attempt(partial(job_queue.queue().submit, specs, title, plan=plan, kinds=tuple(kinds)))
        st.rerun()


def watch(wanted: Sequence[Wanted]) -> None:
    """Draw the page again when some of this evidence is there, or is computed by somebody, or is no more."""
    artifacts.watch(lambda: tuple((each.stored is not None, each.state) for each in wanted), EVERY)


def _sentence(wanted: Sequence[Wanted], state: State) -> str:
    names = artifact_names((each.kind, each.run.spec.model) for each in wanted)
    if state == "failed":
        return f"Could not be computed: {names}. {artifacts.failure_of(wanted[0].key)}"
    if state == "absent":
        return f"Not computed yet: {names}."
    return f"Still being computed: {names}. It appears here by itself."
