"""Evidence of circuits on pages: read it where it is stored; where it is not, say so and offer to compute it.

1. A panel asks `of` for the evidence of a run, then `rows` or `columns` for its tables, which are kept between reruns.
   A missing number is None in rows and NaN in columns.
2. What is not there, a section says with `offer`, in boxes; an aside says it with `missing`, in one quiet line. Both
   have a button that puts what nobody computes in the queue.
3. `watch` draws the page again when that has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from engine.schema.artifacts import EVIDENCE_KINDS, KIND_TITLES, EvidenceKind
from pages.shared import artifacts, availability, job_queue, widgets
from pages.shared.artifacts import State
from pages.shared.provenance import title
from pages.shared.sides import Side
from pages.shared.words import listed, model_name

EVERY = 5.0  # seconds between looks at evidence that is not there
ICONS = {"absent": "hourglass_empty", "failed": "error"}  # of what is still being computed: hourglass_top


@dataclass(frozen=True)
class Wanted:
    """Evidence of a stored run, there or not; `steps`, `size`: as in `of`."""

    run: Run
    steps: int
    kind: EvidenceKind
    size: int | None = None

    @property
    def stored(self) -> Evidence | None:
        return of(self.run, self.steps, self.kind, self.size)

    @property
    def key(self) -> str:
        """Of the artifact; nothing where it is stored, or cannot be computed here."""
        try:
            steps = evidence.plan([self.run.spec], [self.kind], self.size, self.steps)
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


def of(run: Run, steps: int, kind: EvidenceKind, size: int | None = None) -> Evidence | None:
    """The stored evidence of a run beside the other model's: the MDM's of the same settings for an ARM, else the ARM's.

    `steps`: the number of denoising steps that is asked for of MDMs, which an ARM's settings do not say.
    """
    other = None
    if kind not in evidence.OF_ONE_MODEL:
        other = lifecycle.find(evidence.other_of(run.spec, steps))
        if other is None:
            return None
    return evidence.find(run, kind, other, size)


def faithfulness_of(run: Run, steps: int) -> list[Evidence]:
    """All stored faithfulness of a run: over K, where it is there, then at single sizes; `steps`: as in `of`."""
    other = lifecycle.find(evidence.other_of(run.spec, steps))
    return evidence.faithfulness_of(run, other) if other else []


def single_sizes(there: Sequence[Evidence]) -> str:
    """Where faithfulness is measured, but not over K: at which sizes, as in "K = 50 and K = 200"; else nothing.

    `there`: as `faithfulness_of` returns it.
    """
    sizes = [f"K = {each.size:,}" for each in there if each.size]
    return listed(sizes) if len(sizes) == len(there) else ""


def of_sides(sides: Iterable[Side], steps: int, kind: EvidenceKind) -> list[tuple[Side, Evidence]]:
    """The sides of which evidence is stored, with it; `steps`: as in `of`."""
    return [(side, there) for side in sides if (there := of(side.run, steps, kind))]


def rows(there: Evidence, name: str, /, **where: int | str) -> list[dict[str, Any]]:
    """The rows of a table of stored evidence as records, a list of the caller's own; a missing number is None."""
    return _rows(there.key, name, there, **where)


@st.cache_data(show_spinner=False, max_entries=256)
def _rows(key: str, name: str, _there: Evidence, /, **where: int | str) -> list[dict[str, Any]]:
    return evidence.table(_there, name, **where).to_pylist()


def columns(there: Evidence, name: str, /, **where: int | str) -> dict[str, NDArray[Any]]:
    """The columns of a table of stored evidence as arrays [row]; a missing number is NaN."""
    return _columns(there.key, name, there, **where)


@st.cache_data(show_spinner=False, max_entries=256)
def _columns(key: str, name: str, _there: Evidence, /, **where: int | str) -> dict[str, NDArray[Any]]:
    content = evidence.table(_there, name, **where)
    return {column: np.asarray(content[column].to_numpy()) for column in content.column_names}


def offer(place: str, runs: Sequence[Run], steps: int, kind: EvidenceKind, size: int | None = None) -> None:
    """Of a section: say in boxes what is missing of these runs, if anything is, and offer to compute it.

    `place`: what tells its button from the others of its page; `steps`, `size`: as in `of`.
    """
    wanted = _missing(runs, steps, kind, size)
    by_state = _by_state(wanted)
    for state, group in by_state.items():
        box = st.error if state == "failed" else st.info
        box(_sentence(group, state), icon=f":material/{ICONS.get(state, 'hourglass_top')}:")
    idle = _idle(wanted, by_state)
    if not idle:
        return
    models = ", ".join(title(each.run) for each in idle)
    label = f"{f'Measure at K = {size:,}' if size else f'Compute {KIND_TITLES[kind]}'} ({models})"
    icon = ":material/refresh:" if "failed" in by_state else ":material/play_arrow:"
    spec = idle[0].run.spec
    pair, task = availability.title_of_pair(spec.pair), availability.title_of_task(spec.task)
    obstacle = _compute_button(place, label, f"{pair}, {task}: {_name(idle[0])} ({models})", idle, icon=icon)
    if obstacle:
        st.caption(widgets.plain(f"It cannot be computed here. {obstacle}"))


def missing(place: str, runs: Sequence[Run], steps: int, kind: EvidenceKind, size: int | None = None) -> bool:
    """Of an aside: whether evidence is missing of one of these runs; if so, say that here in a line, as `offer` does.

    The page is drawn again when that has changed.
    """
    wanted = _missing(runs, steps, kind, size)
    if not wanted:
        return False
    by_state = _by_state(wanted)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for state, group in by_state.items():
            st.caption(_sentence(group, state), width="content")
        if idle := _idle(wanted, by_state):
            label = "Try again" if "failed" in by_state else "Compute"
            _compute_button(place, label, f"T{_what(idle)[1:]}", idle, type="tertiary")
    watch(wanted)
    return True


def watch(wanted: Sequence[Wanted] = ()) -> None:
    """Draw the page again when some of this evidence is there, or is computed by somebody, or is no more.

    Of a page that shows all evidence, nothing is named: it is drawn again when there is other evidence in the cache.
    """
    if wanted:
        artifacts.watch(lambda: tuple((each.stored is not None, each.state) for each in wanted), EVERY)
    else:
        artifacts.watch_cache(EVIDENCE_KINDS)


def _missing(runs: Sequence[Run], steps: int, kind: EvidenceKind, size: int | None) -> list[Wanted]:
    return [each for run in runs if (each := Wanted(run, steps, kind, size)).stored is None]


def _by_state(wanted: Sequence[Wanted]) -> dict[State, list[Wanted]]:
    by_state: dict[State, list[Wanted]] = {}
    for each in wanted:
        by_state.setdefault(each.state, []).append(each)
    return by_state


def _idle(wanted: Sequence[Wanted], by_state: Mapping[State, Sequence[Wanted]]) -> list[Wanted]:
    """What nobody computes, in the order of `wanted`."""
    idle = [each for state in ("absent", "failed") for each in by_state.get(state, ())]
    return [each for each in wanted if each in idle]


def _sentence(wanted: Sequence[Wanted], state: State) -> str:
    """What is missing, and why (Markdown)."""
    what = _what(wanted)
    if state == "failed":
        text = f"Could not be computed: {what}. {artifacts.failure_of(wanted[0].key)}"
    elif state == "absent":
        text = f"Not computed yet: {what}."
    else:
        text = f"Still being computed: {what}. It appears here by itself."
    return widgets.plain(text)


def _what(wanted: Sequence[Wanted]) -> str:
    """As in "the knockouts of the ARM and the MDM"."""
    return f"the {_name(wanted[0])} of {listed([model_name(each.run.spec.model) for each in wanted])}"


def _name(wanted: Wanted) -> str:
    return f"faithfulness at K = {wanted.size:,}" if wanted.size else KIND_TITLES[wanted.kind]


def _compute_button(place: str, label: str, job: str, wanted: Sequence[Wanted], **looks: Any) -> str | None:
    """A button that puts evidence of one kind in the queue, as `job`, and draws all again; why it is disabled."""
    specs, first = list(dict.fromkeys(each.run.spec for each in wanted)), wanted[0]
    others = [evidence.other_of(spec, first.steps) for spec in specs]  # their circuits are computed first
    used = dict.fromkeys([*specs, *others])
    obstacle = next(filter(None, map(lifecycle.obstacle, used)), None)
    if st.button(
        label,
        key=f"compute {place}",
        disabled=obstacle is not None,
        help=obstacle and widgets.plain(obstacle),
        **looks,
    ):
        plan = partial(evidence.plan, specs, [first.kind], first.size, first.steps)
        widgets.submit(specs, job, plan, (first.kind,))
        st.rerun()
    return obstacle
