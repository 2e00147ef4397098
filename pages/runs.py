"""Every run and every job: start, watch, cancel, delete, export."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from engine.errors import UserError
from engine.exchange import bundle
from engine.exchange.export import FORMATS, file_name
from engine.models.pair import CONTROL, DTYPES
from engine.models.pairs import pairs
from engine.runs import cache_connection, lifecycle
from engine.runs.records import Run, short_key
from engine.runs.solvable import can_do
from engine.runs.spec import METHODS, METRICS, ORDERS, RunSpec
from engine.tasks import available, task_named, task_names
from pages.panels.kept_pairs import kept_pairs
from pages.shared import availability, cached_reads, job_queue, widgets
from pages.shared.availability import title_of_task
from pages.shared.entry import show
from pages.shared.jobs_panel import job_card, watch_jobs
from pages.shared.state import AUTO

TAKEN = "bundle taken"  # in the session only: the file that was uploaded last and what came of it
LARGEST = 2**30  # bytes of tables that a download is made of


def page() -> None:
    st.title("Runs")
    st.markdown(
        "A run is one model's circuit on one task. It is computed once and kept; jobs go on when you close the tab."
    )
    with widgets.user_errors():
        start()
        bring()
        widgets.submit_error()
        jobs()
        stored()
        kept_pairs()


def start() -> None:
    runs = lifecycle.list_runs()
    dtypes = {name: availability.dtype_of(pair, runs) for name, pair in pairs().items()}
    known = {name: pair for name, pair in pairs().items() if not lifecycle.obstacle(RunSpec(name, dtype=dtypes[name]))}
    with st.expander("Start a run", icon=":material/play_arrow:"), st.form("start", border=False):
        away = len(pairs()) - len(known)
        if away:
            st.caption(f"{away} more pairs cannot be computed here: the overview says why.")
        left, middle, right = st.columns(3)
        pair = left.selectbox("Pair", list(known), format_func=lambda name: known[name].title, key="start pair")
        tasks = left.multiselect("Tasks", task_names(), ["ioi"], format_func=title_of_task)
        steps = [f"step:{step}" for step in known[pair].steps] if pair else []
        models = left.multiselect("Models", ["arm", "mdm", CONTROL, *steps], ["arm", "mdm", CONTROL])
        method = middle.selectbox("Method", METHODS, key="start method")
        points = middle.number_input("Integration points m", 1, 1000, RunSpec.points, key="start points")
        metric = middle.selectbox("Metric", METRICS, key="start metric")
        n = right.number_input("Examples", 1, 10_000, RunSpec.n, key="start n")
        seed = right.number_input("Seed", 0, 1_000_000, RunSpec.seed, key="start seed")
        dtype = right.selectbox("Precision", (AUTO, *DTYPES), key="start dtype")
        order = right.selectbox("Order in which an MDM reveals its answer", ORDERS, key="start order")
        if st.form_submit_button("Start", type="primary", key="start run", disabled=not known) and pair:
            if dtype == AUTO:
                dtype = dtypes[pair]
            chosen = {"method": method, "seed": int(seed), "points": int(points), "metric": metric}
            counts = {task: available(task_named(task), int(n)) for task in tasks}
            try:
                specs = [
                    RunSpec(pair=pair, model=model, task=task, n=counts[task], order=order, dtype=dtype, **chosen)  # type: ignore[arg-type]
                    for task in tasks
                    for model in models
                ]
            except UserError as error:
                st.error(widgets.plain(str(error)), icon=":material/error:")
                return
            widgets.submit(specs, f"{len(specs)} runs: {', '.join(tasks)}")
            st.rerun()


def bring() -> None:
    """Take runs that were computed elsewhere."""
    with st.expander("Import a bundle", icon=":material/upload:"):
        file = st.file_uploader(
            "A bundle, as `python -m engine bundle` or the button below writes it", "duckdb", key="bundle upload",
            help="It is read as data: nothing in it is executed, everything is checked, and it is taken whole or not "
            "at all. A larger one can be imported with python -m engine import.",
        )  # fmt: skip
        if file is None:
            return
        if TAKEN not in st.session_state or st.session_state[TAKEN][0] != file.file_id:
            with st.spinner("Checking and importing ..."):
                st.session_state[TAKEN] = (file.file_id, taken(file.getvalue()))
        said = st.session_state[TAKEN][1]
        if isinstance(said, bundle.Taken):
            known = f" {said.known} were here before." if said.known else ""
            runs = f"{said.added} run" + ("s" if said.added != 1 else "")
            st.success(widgets.plain(f"{runs} of the pair {said.pair} added.{known}"), icon=":material/check:")
        else:
            st.error(widgets.plain(said), icon=":material/error:")


def taken(content: bytes) -> bundle.Taken | str:
    """What came of an upload: what was imported, or the sentence why not."""
    try:
        return bundle.take_bytes(content, "This file")
    except UserError as error:
        return str(error)


def hand_on(runs: list[Run]) -> None:
    """Download a pair's runs as a bundle."""
    there = sorted({run.spec.pair for run in runs} & set(pairs()))
    if not there:
        return
    with st.popover("Bundle", icon=":material/inventory_2:"):
        st.markdown("Runs of a pair in one file, for a machine that has no model.")
        pair = st.selectbox("Pair", there, key="bundle pair")
        of_pair = [run for run in runs if run.spec.pair == pair]
        tasks = sorted({run.spec.task for run in of_pair})
        task = st.selectbox("Task", tasks, None, format_func=title_of_task, placeholder="All tasks", key="bundle task")
        chosen = [run for run in of_pair if task in (None, run.spec.task)]
        size = sum(run.meta.stored_bytes for run in chosen)
        if size > LARGEST:
            st.caption(f"That is {size / 2**30:.1f} GB: write it with `python -m engine bundle` instead.")
            return
        st.download_button(
            f"Download {len(chosen)} run" + ("s" if len(chosen) != 1 else ""),
            lambda: bundle.packed(str(pair), task),
            file_name=f"{pair}{'-' + task if task else ''}.duckdb",
            key="bundle download",
            icon=":material/download:",
            on_click="ignore",
        )


def jobs() -> None:
    st.header("Jobs", divider="gray")
    found = job_queue.queue().jobs()
    if not found:
        st.caption("No job since the app was started. Start a run above, or compute what is missing on the overview.")
        return
    watch_jobs(failures=False)
    for job in reversed([job for job in found if not job.is_open]):
        job_card(job)


def stored() -> None:
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
            "Can do it": st.column_config.TextColumn(
                help="no: the circuit of a model that cannot do a task explains little."
            ),
            "Shifted": st.column_config.TextColumn(
                help="Whether the MDM was read from the position before the masked one."
            ),
            "MB": st.column_config.NumberColumn(format="%.1f", help="Size of the run's tables before compression."),
        },
        alt="Stored runs",
    )
    hand_on(runs)
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
        halves = ("half-a", "half-b") if run.has_halves else ()
        part = str(st.selectbox("Part", ["total", *halves, *run.meta.parts], key="export part", width=180))
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
    return lambda: cached_reads.exported(run.key, k, kind, part)


def _delete(keys: list[str]) -> None:
    for key in keys:
        lifecycle.delete(key)
    st.session_state["runs"] = {"selection": {"rows": [], "columns": [], "cells": []}}


show(page)
