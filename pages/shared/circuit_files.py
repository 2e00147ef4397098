"""Buttons for files of circuits: small ones are made at the click, large ones are prepared by a process beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

from engine.circuits.filters import Filters
from engine.exchange.background_export import BackgroundExports, ExportSpec
from engine.exchange.circuit import NO_FILTERS, Other
from engine.exchange.export import edges_in_file, export, file_name, likely_size
from engine.runs.records import Run
from pages.shared.downloads import file_button
from pages.shared.widgets import plain

MADE_AT_CLICK = 20_000  # edges: what is written within about a tenth of a second
EVERY = 1.0  # seconds between looks at how far a file is
OFFERED = ("json", "graphml", "parquet", "csv")  # MIB's is refused where the model is not here: command line only
LABELS = {"graphml": "GraphML", "parquet": "Parquet"}  # kinds of files that are not written in capitals


@dataclass(frozen=True)
class CircuitFile:
    """A file that is offered."""

    spec: ExportSpec
    name: str
    edges: int  # in the file
    key: str  # of its button

    @property
    def label(self) -> str:
        return LABELS.get(self.spec.format, self.spec.format.upper())

    @property
    def is_large(self) -> bool:
        return self.edges > MADE_AT_CLICK


@dataclass(frozen=True)
class Row:
    """A line of text, and the files of what it speaks of."""

    text: str
    files: tuple[CircuitFile, ...]


@st.cache_resource(show_spinner=False)
def exports() -> BackgroundExports:
    """The files that all sessions of this process have had prepared."""
    return BackgroundExports()


def circuit_files(
    run: Run, k: int, part: str, key: str, chosen: int, filters: Filters = NO_FILTERS, other: Other | None = None
) -> tuple[CircuitFile, ...]:
    """The circuit of `k` edges, of which filters leave `chosen`, in every format; `key`: what their keys begin with."""
    return tuple(
        CircuitFile(
            ExportSpec(run.key, k, kind, part, filters, other),
            file_name(run, k, kind, part, filters),
            edges_in_file(kind, run.meta.graph, chosen),
            f"{key} {kind}",
        )
        for kind in OFFERED
    )


def show_files(rows: Sequence[Row]) -> None:
    """Show rows of buttons; while a file is being prepared, they look by themselves how far it is."""
    if not any(file.is_large for row in rows for file in row.files):
        _show(rows)
        return
    states = _states(rows)
    busy = any(state in ("waiting", "running") for state in states)
    st.session_state["states of files"] = states
    st.fragment(_show_as_they_go, run_every=EVERY if busy else None)(rows)


def _show_as_they_go(rows: Sequence[Row]) -> None:
    if _states(rows) != st.session_state.get("states of files"):
        st.rerun(scope="app")  # whether to look again by itself is decided there
    _show(rows)
    st.caption(
        "Large files are prepared beside this page, which stays usable. What was prepared can be downloaded for an "
        "hour. `python -m engine export` writes the same files."
    )


def _show(rows: Sequence[Row]) -> None:
    for row in rows:
        if row.text:
            st.markdown(row.text)
        with st.container(horizontal=True, vertical_alignment="center"):
            for file in row.files:
                if file.is_large:
                    _prepared_button(file)
                else:
                    file_button(file.label, partial(_content, file.spec), file.name, key=file.key)
        for file in row.files:
            _failure(file)


def _prepared_button(file: CircuitFile) -> None:
    """To have a large file prepared, then how far it is, then to download it."""
    view, spec = exports().view(file.spec), file.spec
    if view is not None and view.is_open:
        doing = f"{file.label}: {view.share:.0%}" if view.state == "running" else f"{file.label}: waiting"
        st.progress(view.share, text=doing, width=150)
        st.button("Cancel", key=f"cancel {file.key}", on_click=exports().remove, args=(spec,))
    elif view is not None and view.state == "done":
        label = f"{file.label}, {megabytes(view.size)}"
        file_button(label, partial(exports().content, spec), file.name, key=file.key)
    else:
        st.button(
            f"Prepare {file.label}, about {megabytes(likely_size(spec.format, file.edges))}",
            key=f"prepare {file.key}",
            on_click=exports().start,
            args=(spec,),
            icon=":material/hourglass_empty:",
            help=f"Writes {file.edges:,} edges to a file; then it can be downloaded here.",
        )


def _failure(file: CircuitFile) -> None:
    view = exports().view(file.spec) if file.is_large else None
    if view is not None and view.state == "failed":
        st.error(plain(f"{file.label}: {view.error}"), icon=":material/error:")


def _content(spec: ExportSpec) -> bytes:
    return export(spec.key, spec.k, spec.format, spec.part, spec.filters, spec.other)


def _states(rows: Sequence[Row]) -> list[str]:
    views = (exports().view(file.spec) for row in rows for file in row.files if file.is_large)
    return [view.state if view else "" for view in views]


def megabytes(size: int) -> str:
    """Bytes as they are shown beside a download, as in "116 MB"."""
    return f"{max(1, round(size / 1e6)):,} MB"
