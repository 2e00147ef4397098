"""A form that starts runs."""

from __future__ import annotations

import streamlit as st

from engine.errors import UserError
from engine.models.pair import CONTROL, DTYPES
from engine.models.pairs import pairs
from engine.runs import lifecycle, stored
from engine.runs.spec import BOUNDS, METHODS, METRICS, ORDERS, RunSpec
from engine.tasks.registry import TASKS, available, task_named, task_names
from engine.tasks.templates import of_template, texts_of
from pages.shared import availability, widgets
from pages.shared.availability import title_of_task
from pages.shared.glossary import meaning
from pages.shared.state import AUTO


def start_form() -> None:
    runs = stored.list_runs()
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
        models = left.multiselect(
            "Models", ["arm", "mdm", CONTROL, *steps], ["arm", "mdm", CONTROL], help=meaning("control")
        )
        method = middle.selectbox("Method", METHODS, key="start method", help=meaning("method"))
        points = middle.number_input(
            "Integration points m", 1, 1000, RunSpec.points, key="start points", help=meaning("integration_points")
        )
        metric = middle.selectbox("Metric", METRICS, key="start metric", help=meaning("metric"))
        n = right.number_input("Examples", 1, 10_000, RunSpec.n, key="start n")
        seed = right.number_input("Seed", 0, 1_000_000, RunSpec.seed, key="start seed", help=meaning("seed"))
        dtype = right.selectbox("Precision", (AUTO, *DTYPES), key="start dtype", help=meaning("precision"))
        order = right.selectbox(
            "Order in which an MDM reveals its answer", ORDERS, key="start order", help=meaning("reveal_order")
        )
        steps = left.number_input(
            "Denoising steps S (0: as many as usual)", *BOUNDS["denoising_steps"][1:], key="start denoising steps",
            help=meaning("denoising_steps"),
        )  # fmt: skip
        most = max(len(texts_of(task)) for task in TASKS.values())
        template = middle.number_input(
            "Prompt template (0: the usual prompts)", 0, most, key="start template", help=meaning("template")
        )
        if st.form_submit_button("Start", type="primary", key="start run", disabled=not known) and pair:
            if dtype == AUTO:
                dtype = dtypes[pair]
            chosen = {
                "method": method, "seed": int(seed), "points": int(points), "metric": metric, "order": order,
                "denoising_steps": int(steps), "template": int(template),
            }  # fmt: skip
            counts = {task: available(task_named(task), int(n)) for task in tasks}
            try:
                for task in tasks:
                    of_template(task_named(task), int(template))  # refuses one that a task does not have
                specs = [
                    RunSpec(pair=pair, model=model, task=task, n=counts[task], dtype=dtype, **chosen)  # type: ignore[arg-type]
                    for task in tasks
                    for model in models
                ]
            except UserError as error:
                st.error(widgets.plain(str(error)), icon=":material/error:")
                return
            widgets.submit(specs, f"{len(specs)} runs: {', '.join(map(title_of_task, tasks))}")
            st.rerun()
