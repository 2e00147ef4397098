"""The head of a page that compares two runs: pair, task, method, checkpoint, K and settings in one or two rows.

It stays in sight while the reader scrolls. Streamlit has no option for that nor for a small title: head.css does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import streamlit as st

from engine.models.pair import CONTROL, DTYPES
from engine.models.pairs import Pair, pair_named, pairs
from engine.runs import stored
from engine.runs.spec import BOUNDS, METRICS, ORDERS, RunSpec
from engine.tasks.registry import available, task_named, task_names
from engine.tasks.templates import texts_of
from pages.shared import address, availability, imported, pickers, state, widgets
from pages.shared.glossary import glossary, meaning
from pages.shared.state import FINAL, Question
from pages.shared.synced import synced

STYLE = Path(__file__).with_name("head.css")
K_WIDTH = 110  # pixels
_WIDTHS = {"title": 112, "pair": 320, "task": 235, "method": 130, "step": 190, "settings": 118}


@contextmanager
def head(title: str) -> Iterator[None]:
    """The container of the head, with the page's title first."""
    palette = widgets.palette()
    colours = f".st-key-head {{ background: {palette.background}; border-color: {palette.faint}; }}"
    st.html(f"<style>{STYLE.read_text()}{colours}</style>")
    with st.container(key="head", horizontal=True, vertical_alignment="bottom", gap="small"):
        with st.container(width=_WIDTHS["title"]):
            st.title(title, anchor=False)
        yield


def ask() -> tuple[Question, str]:
    """Pair, task, method and what stands for the MDM, from the reader or the address; settings are a run's defaults."""
    known, tasks = pairs(), task_names()
    stored_pairs = {run.spec.pair for run in stored.list_runs()}
    here = {name: name in stored_pairs or not availability.weights_missing(pair) for name, pair in known.items()}
    marked = {name: pair.title + ("" if here[name] else " (not here)") for name, pair in known.items()}
    pair = pickers.select(
        "Pair", list(known), state.PAIR, pickers.titles(marked), help=f"{meaning('arm')} {meaning('mdm')}",
        width=_WIDTHS["pair"],
    )  # fmt: skip
    now = st.session_state.get(state.TASK) or st.query_params.get(state.TASK)
    task = pickers.select(
        "Task", tasks, state.TASK, pickers.titles({name: task_named(name).title for name in tasks}),
        width=_WIDTHS["task"], help=_about_task(now if now in tasks else tasks[0]),
    )  # fmt: skip
    methods = widgets.METHOD_NAMES | imported.methods_for(pair, task)
    linked = st.query_params.get(state.METHOD, "")
    if linked.startswith(imported.PREFIX) and linked not in methods and state.METHOD not in st.session_state:
        address.note(state.METHOD, "The link asked for an imported circuit that is of another pair or task.")
    method = pickers.select(
        "Method", list(methods), state.METHOD, pickers.titles(methods), width=_WIDTHS["method"],
        help=f"{meaning('attribution')} {meaning('method')}",
    )  # fmt: skip
    return Question(pair=pair, task=task, method=method), checkpoint(known[pair])


def completed(question: Question, settings: dict[str, object]) -> Question:
    """The question with its settings; says where a task has fewer examples than were asked for."""
    chosen = dict(settings)
    if chosen["dtype"] == state.AUTO:
        chosen["dtype"] = availability.dtype_of(pair_named(question.pair), stored.list_runs())
    asked = replace(question, **chosen)  # type: ignore[arg-type]
    about = task_named(asked.task)
    rows = available(about, asked.n)
    if rows < asked.n != RunSpec.n:
        examples = f"{rows} example{'s' * (rows > 1)}"
        st.caption(widgets.plain(f"{about.title} has {examples}, so n = {rows} instead of {asked.n:,}."))
    return replace(asked, n=rows)


def _about_task(name: str) -> str:
    about = task_named(name)
    family = about.family.replace("-", "_").replace(" ", "_")
    known = f" {meaning(family)}" if family in glossary() else ""
    return widgets.plain(f"{about.title}. {about.blurb} ({about.family}).") + known


def checkpoint(pair: Pair) -> str:
    """What stands for the MDM: the step-0 control, a checkpoint of post-training, or the final MDM."""
    return pickers.slide(
        "MDM after steps" if pair.steps else "MDM, or control", states(pair), FINAL, state.STEP, width=_WIDTHS["step"],
        help=f"{meaning('checkpoint')} control: {meaning('control')[0].lower()}{meaning('control')[1:]}",
    )  # fmt: skip


def states(pair: Pair) -> list[str]:
    """What can stand for a pair's MDM, by the name that the address has for it."""
    return [CONTROL, *(str(step) for step in pair.steps), FINAL]


def settings_popover(task: str) -> dict[str, object]:
    """What else a run on a task depends on, by name of RunSpec's fields. `dtype` can be state.AUTO."""
    default = RunSpec()
    with st.popover("Settings", icon=":material/tune:", width=_WIDTHS["settings"]):
        st.caption("Other settings are other runs: what is not in the cache has to be computed.")
        n = pickers.number("Examples", (1, 10_000), default.n, state.N, help=meaning("corrupted_example"))
        seed = pickers.number("Seed", (0, 1_000_000), default.seed, state.SEED, help=meaning("seed"))
        points = pickers.number(
            "Integration points m", (1, 1000), default.points, state.POINTS, help=meaning("integration_points")
        )
        metric = pickers.select("Metric", METRICS, state.METRIC, help=meaning("metric"))
        order = pickers.select(
            "Order in which the MDM reveals its answer", ORDERS, state.ORDER, help=meaning("reveal_order")
        )
        steps = pickers.number(
            "Denoising steps S (0: as many as usual)", BOUNDS[state.DENOISING_STEPS][1:], default.denoising_steps,
            state.DENOISING_STEPS, help=meaning("denoising_steps"),
        )  # fmt: skip
        template = choose_template(task)
        dtype = pickers.select(
            "Precision", (state.AUTO, *DTYPES), state.DTYPE,
            help=f"{meaning('precision')} auto: that of the pair's stored runs, else one that fits this machine.",
        )  # fmt: skip
    return {
        "n": n, "seed": seed, "points": points, "metric": metric, "order": order, "dtype": dtype,
        "denoising_steps": steps, "template": template,
    }  # fmt: skip


def choose_template(task: str) -> int:
    """The number of a task's prompt template, or 0 for its usual prompts."""
    texts = texts_of(task_named(task))
    numbers = range(len(texts) + 1)

    def title(number: int) -> str:
        return widgets.plain(f"{number}: {texts[number - 1]}") if number else "the task's usual prompts"

    return int(
        st.selectbox(
            "Prompt template", numbers, format_func=title, key=synced(state.TEMPLATE, 0, numbers), disabled=not texts,
            help=meaning("template"),
        )
    )  # fmt: skip
