"""Runs in the cache as a table, to delete and to export."""

from __future__ import annotations

import streamlit as st

from engine.errors import UserError
from engine.runs import cache_connection, lifecycle
from engine.runs.records import Run, short_key
from engine.runs.solvable import can_do
from engine.schema.vocabulary import HALVES, TOTAL
from engine.tasks.registry import task_named
from pages.panels.bundles import bundle_download
from pages.shared.availability import title_of_task
from pages.shared.circuit_files import Row, circuit_files, show_files
from pages.shared.glossary import meaning


def stored_runs() -> None:
    st.header("In the cache", divider="gray")
    runs = lifecycle.list_runs()
    if not runs:
        st.info("Nothing is computed yet.", icon=":material/hourglass_empty:")
        return
    size, tables = cache_connection.store().size(), sum(run.meta.stored_bytes for run in runs)
    st.caption(
        f"{len(runs)} runs with {tables / 2**20:,.0f} MB of tables; the file on disk has {size / 2**20:,.0f} MB. "
        "Choose rows to delete or export them."
    )
    table = st.dataframe(
        [row(run) for run in runs],
        hide_index=True,
        key="runs",
        on_select="rerun",
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
            "Precision": st.column_config.TextColumn(help=meaning("precision")),
            "MB": st.column_config.NumberColumn(format="%.1f", help="Size of the run's tables before compression."),
        },
        alt="Stored runs",
    )
    bundle_download(runs)
    chosen = [runs[index] for index in table["selection"]["rows"] if index < len(runs)]
    if chosen:
        delete(chosen)
    if len(chosen) == 1:
        download(chosen[0])


def row(run: Run) -> dict[str, object]:
    spec, meta = run.spec, run.meta
    return {
        "Run": short_key(run.key),
        "Pair": spec.pair,
        "Model": spec.model,
        "Task": title_of_task(spec.task),
        "From": f"import {run.imported[:10]}" if run.imported else "here",
        "Solved": 100 * meta.accuracy,
        "Can do it": ability(run),
        "Shifted": "" if run.shifted is None else "yes" if run.shifted else "no",
        "Method": spec.method,
        "m": spec.points,
        "n": spec.n,
        "Seed": spec.seed,
        "Metric": spec.metric,
        "Order": spec.order,
        "Precision": spec.dtype,
        "Seconds": round(run.seconds, 1),
        "MB": meta.stored_bytes / 2**20,
        "Made": run.created[:16].replace("T", " "),
    }


def ability(run: Run) -> str:
    """Whether the model can do the task at all; nothing where the task is gone."""
    try:
        return "yes" if can_do(task_named(run.spec.task), run.meta).can else "no"
    except UserError:
        return ""


def delete(chosen: list[Run]) -> None:
    count = f"{len(chosen)} run" + ("s" if len(chosen) > 1 else "")
    with st.popover(f"Delete {count}", icon=":material/delete:"):
        st.markdown("They can be computed again, but are gone until then.")
        st.button("Delete for good", key="delete", type="primary", on_click=_delete, args=([r.key for r in chosen],))


def download(run: Run) -> None:
    n_edges = run.meta.graph.n_edges
    with st.container(horizontal=True, vertical_alignment="bottom"):
        k = int(st.number_input("Edges in the circuit", 1, n_edges, min(200, n_edges), key="export k", width=180))
        halves = HALVES if run.has_halves else ()
        part = str(st.selectbox("Part", [TOTAL, *halves, *run.meta.parts], key="export part", width=180))
    show_files([Row("", circuit_files(run, k, part, "export", k))])


def _delete(keys: list[str]) -> None:
    for key in keys:
        lifecycle.delete(key)
    st.session_state["runs"] = {"selection": {"rows": [], "columns": [], "cells": []}}
