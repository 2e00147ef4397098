"""Every run and every job: start, watch, cancel, delete, export."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from engine import pipeline
from engine.errors import UserError
from engine.export import FORMATS, file_name
from engine.pairs import pairs
from engine.records import Run
from engine.spec import DTYPES, METHODS, METRICS, ORDERS, RunSpec
from engine.tasks import available, task_named, task_names
from pages.parts import resources, widgets
from pages.parts.entry import show
from pages.parts.watching import job_card, watch_jobs


def page() -> None:
    st.title("Runs")
    st.markdown(
        "A run is one model's circuit on one task. It is computed once and kept; jobs go on when you close the tab."
    )
    with widgets.user_errors():
        start()
        widgets.submit_error()
        jobs()
        stored()


def start() -> None:
    known = pairs()
    with st.expander("Start a run", icon=":material/play_arrow:"), st.form("start", border=False):
        left, middle, right = st.columns(3)
        pair = left.selectbox("Pair", list(known), format_func=lambda name: known[name].title, key="start pair")
        tasks = left.multiselect("Tasks", task_names(), ["ioi"], format_func=title_of)
        steps = [f"step:{step}" for step in known[pair].steps] if pair else []
        models = left.multiselect("Models", ["arm", "mdm", *steps], ["arm", "mdm"])
        method = middle.selectbox("Method", METHODS, key="start method")
        points = middle.number_input("Integration points m", 1, 1000, RunSpec.points, key="start points")
        metric = middle.selectbox("Metric", METRICS, key="start metric")
        n = right.number_input("Examples", 1, 10_000, RunSpec.n, key="start n")
        seed = right.number_input("Seed", 0, 1_000_000, RunSpec.seed, key="start seed")
        dtype = right.selectbox("Precision", DTYPES, key="start dtype")
        order = right.selectbox("Order in which an MDM reveals its answer", ORDERS, key="start order")
        if st.form_submit_button("Start", type="primary", key="start run"):
            chosen = {"method": method, "seed": int(seed), "points": int(points), "metric": metric}
            counts = {task: available(task_named(task), int(n)) for task in tasks}
            specs = [
                RunSpec(pair=pair, model=model, task=task, n=counts[task], order=order, dtype=dtype, **chosen)  # type: ignore[arg-type]
                for task in tasks
                for model in models
            ]
            widgets.submit(specs, f"{len(specs)} runs: {', '.join(tasks)}")
            st.rerun()


def jobs() -> None:
    st.header("Jobs", divider="gray")
    found = resources.job_queue().jobs()
    if not found:
        st.caption("No job since the app was started. Start a run above, or compute what is missing on the overview.")
        return
    watch_jobs(failures=False)
    for job in reversed([job for job in found if not job.is_open]):
        job_card(job)


def stored() -> None:
    st.header("In the cache", divider="gray")
    runs = pipeline.list_runs()
    if not runs:
        st.info("Nothing is computed yet.", icon=":material/hourglass_empty:")
        return
    size, tables = pipeline.store().size(), sum(run.meta.stored_bytes for run in runs)
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
            "MB": st.column_config.NumberColumn(format="%.1f", help="Size of the run's tables before compression."),
        },
        alt="Stored runs",
    )
    chosen = [runs[index] for index in table["selection"]["rows"] if index < len(runs)]
    if chosen:
        delete(chosen)
    if len(chosen) == 1:
        download(chosen[0])


def row(run: Run) -> dict[str, object]:
    spec, meta = run.spec, run.meta
    return {
        "Run": run.key[:10],
        "Pair": spec.pair,
        "Model": spec.model,
        "Task": title_of(spec.task),
        "Method": spec.method,
        "m": spec.points,
        "n": spec.n,
        "Seed": spec.seed,
        "Metric": spec.metric,
        "Order": spec.order,
        "Precision": spec.dtype,
        "Solved": 100 * meta.accuracy,
        "Seconds": round(run.seconds, 1),
        "MB": meta.stored_bytes / 2**20,
        "Made": run.created[:16].replace("T", " "),
    }


def title_of(task: str) -> str:
    """What a task is called; its name where it is gone (own prompts can be deleted)."""
    try:
        return task_named(task).title
    except UserError:
        return task


def delete(chosen: list[Run]) -> None:
    count = f"{len(chosen)} run" + ("s" if len(chosen) > 1 else "")
    with st.popover(f"Delete {count}", icon=":material/delete:"):
        st.markdown("They can be computed again, but are gone until then.")
        st.button("Delete for good", key="delete", type="primary", on_click=_delete, args=([r.key for r in chosen],))


def download(run: Run) -> None:
    n_edges = run.meta.graph.n_edges
    with st.container(horizontal=True, vertical_alignment="bottom"):
        k = int(st.number_input("Edges in the circuit", 1, n_edges, min(200, n_edges), key="export k", width=180))
        part = str(st.selectbox("Part", ["total", "half-a", "half-b", *run.meta.parts], key="export part", width=180))
        for kind in FORMATS:
            st.download_button(
                kind,
                _exporter(run, k, kind, part),
                file_name=file_name(run, k, kind, part),
                key=f"export {kind}",
                icon=":material/download:",
                on_click="ignore",
            )


def _exporter(run: Run, k: int, kind: str, part: str) -> Callable[[], bytes]:
    return lambda: resources.exported(run.key, k, kind, part)


def _delete(keys: list[str]) -> None:
    for key in keys:
        pipeline.delete(key)
    st.session_state["runs"] = {"selection": {"rows": [], "columns": [], "cells": []}}


show(page)
