"""Small pieces of interface that several pages show."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import plotly.graph_objects as go
import streamlit as st

from engine.errors import UserError
from engine.runs import stored
from engine.runs.jobs import Plan
from engine.runs.records import Run, short_key
from engine.runs.spec import RunSpec
from engine.schema.artifacts import KINDS, AnyKind
from pages.figures.caption import captioned
from pages.figures.palette import Palette, palette_for
from pages.shared import job_queue
from pages.shared.provenance import Origin

METHOD_NAMES = {
    "eap-ig": "EAP-IG",
    "eap-ig-midpoint": "EAP-IG, midpoints",
    "clean-corrupted": "Clean-corrupted",
    "eap": "EAP",
    "relp": "RelP",
}


def plain(text: str) -> str:
    """Text for a place where Streamlit interprets Markdown, as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>~$:&])", r"\\\1", text)


def palette() -> Palette:
    """The colours of the reader's theme."""
    return palette_for(st.context.theme.type == "dark")


@contextmanager
def user_errors() -> Iterator[None]:
    """Show what the user has to know as a sentence, and end the page there."""
    try:
        notice = stored.notice()
        if notice:
            st.warning(plain(notice))
        yield
    except UserError as error:
        st.error(plain(str(error)), icon=":material/error:")
        st.stop()


def provenance(label: str, run: Run) -> str:
    """Where a run's numbers come from, in one line (Markdown)."""
    spec, meta = run.spec, run.meta
    if spec.is_imported:
        return plain(f"{label}: run {short_key(run.key)}, from the file {meta.file}, imported {run.created[:10]}")
    points = f", m = {spec.points}" if spec.method.startswith("eap-ig") else ""
    chosen = ", ".join((f"seed {spec.seed}", *spec.not_usual, spec.dtype))
    text = (
        f"{label}: run {short_key(run.key)}, {METHOD_NAMES[spec.method]}{points}, {spec.metric}, n = {spec.n}, "
        f"{chosen} on {meta.device}, {run.created[:10]}"
    )
    return plain(text + brought(run))


def brought(run: Run) -> str:
    """What is to know of a run that was computed elsewhere: when it was imported, and what made it."""
    if run.imported is None:
        return ""
    libraries = ", ".join(f"{name} {version}" for name, version in run.meta.versions.items())
    return f", imported {run.imported[:10]} (method {run.method_version}, {libraries})"


def chart(
    figure: go.Figure, key: str, alt: str, name: str, origin: Origin, on_click: Callable[[], None] | None = None
) -> None:
    """A figure that says where it comes from; `name`: what a picture's file is called, before that.

    `on_click`: the callback of a click on a point.
    """
    captioned(figure, origin.lines, palette())
    show_chart(figure, key, alt, origin.stem(name), on_click)


def show_chart(figure: go.Figure, key: str, alt: str, file: str, on_click: Callable[[], None] | None = None) -> None:
    """A figure whose picture is called `file`."""
    st.plotly_chart(
        figure,
        width="stretch",
        key=key,
        alt=alt,
        on_select=on_click or "ignore",
        selection_mode="points",
        config=chart_config(file),
    )


def chart_config(name: str) -> dict[str, object]:
    """The camera saves a vector picture under a telling name; buttons nobody needs are left out."""
    return {
        "displaylogo": False,
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
        "toImageButtonOptions": {"format": "svg", "filename": name},
    }


def submit(specs: Sequence[RunSpec], title: str, plan: Plan | None = None, kinds: Sequence[AnyKind] = KINDS) -> None:
    """The callback of a button that computes; `plan`, `kinds` as in JobQueue.submit."""
    attempt(job_queue.queue().submit, specs, title, plan, kinds)


def attempt(action: Callable[..., object], *args: object) -> None:
    """The callback of a button whose action can be refused: `submit_error` says why."""
    try:
        action(*args)
    except UserError as error:
        st.session_state["submit error"] = str(error)


def submit_error() -> None:
    message = st.session_state.pop("submit error", None)
    if message:
        st.error(plain(message), icon=":material/error:")
