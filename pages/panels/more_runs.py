"""What else is stored of a pair than the overview shows, folded away, with links to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import streamlit as st

from engine.runs.records import Run
from engine.tasks.registry import task_names
from pages.panels.findings import Cell
from pages.shared import availability, state, widgets
from pages.shared.state import Question
from pages.shared.words import counted

MOST_LINKS = 4  # to comparisons on a task, those with the nearest settings


def show_more(defaults: Sequence[Cell], shown: Sequence[Cell], runs: Sequence[Run], k: int) -> None:
    """Lead to comparisons that the cells of a pair leave out; `defaults`: the cells of a run's default settings."""
    pair = defaults[0].pair
    own = [run for run in runs if run.spec.pair == pair.name]
    keys = {run.key for cell in shown for run in cell.runs}
    more = sum(run.key not in keys for run in own)
    if not more:
        return
    with st.expander(f"{counted(more, 'more run')} of this pair: other settings, models or prompts"):
        for asked, question in _others(defaults, shown, own):
            settings = availability.differences(asked, question)
            label = f"{availability.title_of_task(question.task)}{settings and f' ({settings})'}"
            chosen = {**question.address, state.K: str(k)}
            st.page_link("pages/circuits.py", label=widgets.plain(label), icon=":material/hub:", query_params=chosen)
        st.page_link("pages/runs.py", label="All of them on the Runs page", icon=":material/list:")


def _others(defaults: Sequence[Cell], shown: Sequence[Cell], own: Sequence[Run]) -> Iterator[tuple[Question, Question]]:
    """What is asked of a task by default, with the nearest other questions about it that both models answer."""
    first, there = defaults[0].question, {cell.question for cell in shown if cell.arm and cell.mdm}
    tasks = {run.spec.task for run in own}
    for task in task_names():
        if task in tasks:
            asked = Question(first.pair, task, dtype=first.dtype)
            others = (each for each in availability.stored_questions(asked, own) if each not in there)
            yield from ((asked, question) for question in islice(others, MOST_LINKS))
