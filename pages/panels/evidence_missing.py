"""A button for runs that the evidence page lacks, with why it is disabled where it is."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from engine.runs import lifecycle
from engine.runs.jobs import Plan
from engine.runs.spec import RunSpec
from engine.schema.artifacts import KINDS, AnyKind
from pages.shared import widgets
from pages.shared.run_selector import Asked, is_under_way
from pages.shared.words import counted


def offer_runs(
    asked: Asked,
    missing: Sequence[RunSpec],
    *,
    what: str,
    key: str,
    noun: str = "run",
    plan: Plan | None = None,
    kinds: Sequence[AnyKind] = KINDS,
) -> None:
    """Say that runs are not computed yet, and offer to compute them.

    `what`: they are, as in "runs of other tasks"; `noun`: what each is called; `plan`, `kinds`: as in JobQueue.submit.
    """
    if is_under_way(list(missing)):
        st.info(f"Being computed: {what}. They appear here by themselves.", icon=":material/hourglass_top:")
        return
    obstacle = next(filter(None, map(lifecycle.obstacle, missing)), None)
    st.info(f"Not computed yet: {what}.", icon=":material/hourglass_empty:")
    st.button(
        f"Compute what is missing ({counted(len(missing), noun)})",
        icon=":material/play_arrow:",
        key=key,
        disabled=obstacle is not None,
        help=obstacle and widgets.plain(obstacle),
        on_click=widgets.submit,
        args=(list(missing), f"{asked.pair.title}: {what}", plan, kinds),
    )
    if obstacle:
        st.caption(widgets.plain(f"They cannot be computed here. {obstacle}"))
