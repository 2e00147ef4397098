"""What was found: overlaps of ARM and MDM and what they are read against, beside the published numbers."""

from __future__ import annotations

import streamlit as st

from engine.models.pairs import pairs
from engine.runs import stored
from pages.panels.computed_pair import show_pair
from pages.panels.findings import Cell, cells_of, stored_instead
from pages.panels.missing_runs import offer_missing
from pages.panels.more_runs import show_more
from pages.panels.other_pairs import show_away, show_waiting
from pages.panels.published import legend, show_published
from pages.panels.sweeps import show_sweeps
from pages.shared import artifacts, widgets
from pages.shared.choose_k import choose_k
from pages.shared.entry import show
from pages.shared.jobs_panel import watch_jobs
from pages.shared.state import DEFAULT_K


def page() -> None:
    question()
    with widgets.user_errors():
        runs = stored.list_runs()
        defaults = {pair.name: cells_of(pair, runs) for pair in pairs().values()}
        with st.container():  # what comes and goes has a place of its own, so that nothing below is drawn anew
            offer_missing([cell for own in defaults.values() for cell in own])
            watch_jobs()
            artifacts.watch_cache(("circuit", "ability"))
        cells = {name: [stored_instead(cell, runs) for cell in own] for name, own in defaults.items()}
        k = chosen_k([cell for own in cells.values() for cell in own])
        computed, waiting, away = sorted_out(cells)
        for name in computed:
            show_pair(pairs()[name], cells[name], k)
            show_more(defaults[name], cells[name], runs, k)
        for name in waiting:
            show_waiting(pairs()[name], cells[name])
            show_more(defaults[name], cells[name], runs, k)
        show_sweeps()
        show_away({name: str(cells[name][0].problem) for name in away})
        show_published()
        legend()


def sorted_out(cells: dict[str, list[Cell]]) -> tuple[list[str], list[str], list[str]]:
    """Names of the pairs with a finding, of those that can be computed here, and of those that cannot."""
    computed = [name for name, own in cells.items() if any(cell.arm and cell.mdm for cell in own)]
    rest = [name for name in cells if name not in computed]
    away = [name for name in rest if all(cell.problem for cell in cells[name])]
    return computed, [name for name in rest if name not in away], away


def question() -> None:
    st.title("Does a diffusion model keep its old circuits?")
    st.markdown(
        "A language model that writes left to right (**ARM**, autoregressive) can be post-trained into one that fills "
        "in masks in any order (**MDM**, masked diffusion). For each task we find the *circuit* of both, the K "
        "connections between heads and MLPs that matter most for the right answer, and ask **how many the two have in "
        "common**."
    )


def chosen_k(cells: list[Cell]) -> int:
    sizes = [cell.arm.meta.graph.n_edges for cell in cells if cell.arm and cell.mdm]
    return choose_k(min(sizes)) if sizes else DEFAULT_K


show(page)
