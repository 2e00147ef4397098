"""Evidence on the page that shows all of it: rows of tables, and a section's button that computes what is not there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from engine.runs import evidence, execution, lifecycle
from engine.runs.evidence import Evidence
from engine.runs.provenance import resolve
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.schema.artifacts import EVIDENCE_KINDS, KIND_TITLES, EvidenceKind
from pages.shared import artifacts, availability, cached_reads, widgets
from pages.shared.artifacts import State
from pages.shared.evidence import Wanted
from pages.shared.provenance import title
from pages.shared.words import listed, model_name


def rows_of(there: Evidence, name: str, /, **where: int | str) -> list[dict[str, Any]]:
    """The rows of a table of evidence, a list of the caller's own."""
    return _rows(there.key, name, there, **where)


@st.cache_data(show_spinner=False, max_entries=128)
def _rows(key: str, name: str, _there: Evidence, /, **where: int | str) -> list[dict[str, Any]]:
    return evidence.table(_there, name, **where).to_pylist()


def watch() -> None:
    """Draw the page again when there is other evidence in the cache."""
    artifacts.watch_cache(EVIDENCE_KINDS)


def offer(place: str, runs: Sequence[Run], kind: EvidenceKind, size: int | None = None) -> None:
    """Say that evidence of these runs is not there yet, and offer to compute it; `place`: of the button on the page."""
    by_state: dict[State, list[Wanted]] = {}
    for run in runs:
        wanted = Wanted(run, kind, size)
        by_state.setdefault(wanted.state, []).append(wanted)
    for state, group in by_state.items():
        _say(state, group)
    idle = [wanted.run for state in ("failed", "absent") for wanted in by_state.get(state, [])]
    if idle:
        _button(place, idle, kind, size, again="failed" in by_state)


def _say(state: State, group: Sequence[Wanted]) -> None:
    what = f"the {_name(group[0])} of {listed([model_name(wanted.run.spec.model) for wanted in group])}"
    if state == "failed":
        reason = artifacts.failure_of(group[0].key)
        st.error(widgets.plain(f"Could not be computed: {what}. {reason}"), icon=":material/error:")
    elif state == "absent":
        st.info(f"Not computed yet: {what}.", icon=":material/hourglass_empty:")
    else:
        st.info(f"Still being computed: {what}. It appears here by itself.", icon=":material/hourglass_top:")


def _button(place: str, runs: Sequence[Run], kind: EvidenceKind, size: int | None, again: bool) -> None:
    specs = [run.spec for run in runs]
    needed = dict.fromkeys([*specs, *map(evidence.other_of, specs)])
    obstacle = next(filter(None, map(lifecycle.obstacle, needed)), None)
    name, models = _name(Wanted(runs[0], kind, size)), ", ".join(title(run) for run in runs)
    spec = specs[0]
    pair, task = availability.title_of_pair(spec.pair), availability.title_of_task(spec.task)
    st.button(
        f"{f'Measure at K = {size:,}' if size else f'Compute {name}'} ({models})",
        icon=":material/refresh:" if again else ":material/play_arrow:",
        key=f"compute {place}",
        disabled=obstacle is not None,
        help=obstacle and widgets.plain(obstacle),
        on_click=widgets.submit,
        args=(specs, f"{pair}, {task}: {name} ({models})", partial(evidence.plan, specs, [kind], size), (kind,)),
    )
    if obstacle:
        st.caption(widgets.plain(f"It cannot be computed here. {obstacle}"))


def _name(wanted: Wanted) -> str:
    return f"faithfulness at K = {wanted.size:,}" if wanted.size else KIND_TITLES[wanted.kind]


def missing_circuits(specs: Sequence[RunSpec]) -> list[execution.Step]:
    """What computes the circuits, and nothing else, of those runs that are not stored."""
    return [execution.Step(resolve(spec), "circuit") for spec in specs if cached_reads.run_of(spec) is None]
