"""Runs in the cache as a table, to complete, to delete and to export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from engine.errors import UserError
from engine.runs import stored
from engine.runs.records import Run, short_key, size_text
from engine.runs.solvable import can_do
from engine.schema.artifacts import KINDS, AnyKind
from engine.schema.vocabulary import HALVES, TOTAL
from engine.tasks.registry import task_named
from pages.panels.bundles import bundle_download
from pages.panels.disk_space import free_space, freed_note, note_freed, sizes_by_artifact
from pages.panels.import_circuit import link
from pages.shared import artifacts
from pages.shared.availability import title_of_task
from pages.shared.circuit_files import Row, circuit_files, show_files
from pages.shared.glossary import meaning
from pages.shared.words import ARTIFACTS, counted

CHOSEN = "chosen runs"  # session only: keys, as rows move when others come


def stored_runs() -> None:
    st.header("In the cache", divider="gray")
    freed_note()
    runs = stored.list_runs()
    if not runs:
        st.info("Nothing is computed yet.", icon=":material/hourglass_empty:")
        return
    sizes = stored.sizes_of_runs(runs)
    total = sum(stored.sizes().values())
    st.caption(f"{counted(len(runs), 'run')}, {size_text(total)} on disk. Choose rows to delete or export them.")
    wanted = rows_chosen(runs)

    def pick() -> None:
        rows = st.session_state["runs"]["selection"]["rows"]
        st.session_state[CHOSEN] = [runs[index].key for index in rows if index < len(runs)]

    st.dataframe(
        [row(run, of_run) for run, of_run in zip(runs, sizes, strict=True)],
        hide_index=True,
        key="runs",
        on_select=pick,
        selection_mode="multi-row",
        column_config={
            "Solved": st.column_config.NumberColumn(format="%.1f %%"),
            "Can do it": st.column_config.TextColumn(help=f"no: the model cannot do the task. {meaning('solved')}"),
            "Shifted": st.column_config.TextColumn(
                help="Whether the MDM predicts a masked token at the position before it."
            ),
            "Method": st.column_config.TextColumn(help=meaning("method")),
            "m": st.column_config.NumberColumn(help=meaning("integration_points")),
            "n": st.column_config.NumberColumn(help="How many examples the circuit is computed from."),
            "Seed": st.column_config.NumberColumn(help=meaning("seed")),
            "Metric": st.column_config.TextColumn(help=meaning("metric")),
            "Order": st.column_config.TextColumn(help=meaning("reveal_order")),
            "Steps": st.column_config.NumberColumn(help=meaning("denoising_steps")),
            "Template": st.column_config.NumberColumn(help=meaning("template")),
            "Precision": st.column_config.TextColumn(help=meaning("precision")),
            "Missing": st.column_config.TextColumn(help="Parts of the run that are not computed yet."),
            "Seconds": st.column_config.NumberColumn(help="What computing the circuit took."),
            "MiB": st.column_config.NumberColumn(
                format="%.1f", help="On disk, with what the run shares with other runs of the same model."
            ),
        },
        placeholder="",
        alt="Stored runs",
    )
    sizes_by_artifact(runs, sizes)
    with st.container(horizontal=True):
        bundle_download(runs)
        free_space()
        chosen = [runs[index] for index in wanted]
        if chosen:
            delete(chosen)
        in_part = [run for run in chosen if stored.missing(run)]
        if in_part:
            artifacts.compute_button("chosen", in_part)
    if len(chosen) == 1:
        download(chosen[0])


def rows_chosen(runs: Sequence[Run]) -> list[int]:
    """The rows of the runs that are chosen, which the table is made to show as such."""
    chosen_before = st.session_state.get(CHOSEN, [])
    wanted = [index for index, run in enumerate(runs) if run.key in chosen_before]
    if list(st.session_state.get("runs", {}).get("selection", {}).get("rows", [])) != wanted:
        st.session_state["runs"] = {"selection": {"rows": wanted, "columns": [], "cells": []}}
    return wanted


def row(run: Run, sizes: Mapping[AnyKind, int]) -> dict[str, object]:
    """`sizes`: bytes of its artifacts that are there."""
    spec, accuracy = run.spec, run.accuracy
    return {
        "Run": short_key(run.key),
        "Pair": spec.pair,
        "Model": spec.model,
        "Task": title_of_task(spec.task),
        "From": origin(run),
        "Missing": ", ".join(ARTIFACTS[kind] for kind in KINDS if kind not in sizes),
        "Solved": 100 * accuracy.accuracy if accuracy else None,
        "Can do it": ability(run),
        "Shifted": "" if run.shifted is None else "yes" if run.shifted else "no",
        "Method": spec.method,
        "m": None if spec.is_imported else spec.points,
        "n": spec.n,
        "Seed": spec.seed,
        "Metric": spec.metric,
        "Order": spec.order,
        "Steps": spec.denoising_steps or None,
        "Template": spec.template or None,
        "Precision": spec.dtype,
        "Seconds": round(run.seconds, 1),
        "MiB": sum(sizes.values()) / 2**20,
        "Made": run.created[:16].replace("T", " "),
    }


def origin(run: Run) -> str:
    """Whether a run was computed here, else what brought it."""
    if run.spec.is_imported:
        return f"file {run.meta.file}"
    return f"import {run.imported[:10]}" if run.imported else "here"


def ability(run: Run) -> str:
    """Whether the model can do the task at all; nothing where that is not measured yet, or the task is gone."""
    if run.accuracy is None:
        return ""
    try:
        return "yes" if can_do(task_named(run.spec.task), run.accuracy).can else "no"
    except UserError:
        return ""


def delete(chosen: list[Run]) -> None:
    size = size_text(sum(sum(sizes.values()) for sizes in stored.sizes_of_runs(chosen)))
    with st.popover(f"Delete {counted(len(chosen), 'run')}", icon=":material/delete:"):
        st.markdown(f"They take {size}. They can be computed again, but are gone until then.")
        st.caption("What other runs of the same models use as well stays.")
        st.button("Delete for good", key="delete", type="primary", on_click=_delete, args=([r.key for r in chosen],))


def download(run: Run) -> None:
    if run.spec.is_imported:
        link(run)
    n_edges = run.meta.graph.n_edges
    with st.container(horizontal=True, vertical_alignment="bottom"):
        k = int(st.number_input("Edges in the circuit", 1, n_edges, min(200, n_edges), key="export k", width=180))
        halves = HALVES if run.has_halves else ()
        part = str(st.selectbox("Part", [TOTAL, *halves, *run.meta.parts], key="export part", width=180))
    show_files([Row("", circuit_files(run, k, part, "export", k))])


def _delete(keys: list[str]) -> None:
    deleted = freed = 0
    for key in keys:
        try:
            freed += stored.delete(key)
            deleted += 1
        except UserError as error:  # as when another tab has deleted it
            st.session_state["submit error"] = str(error)
    if deleted:
        note_freed(deleted, freed)
    st.session_state[CHOSEN] = []
