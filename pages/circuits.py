"""The two circuits of a task: slide K, watch the overlap, click a node and see its lens in both models."""

from __future__ import annotations

import streamlit as st

from pages.panels.workbench import workbench
from pages.shared import run_selector, widgets
from pages.shared.entry import show


def page() -> None:
    st.title("Two circuits, side by side")
    with widgets.user_errors():
        asked = run_selector.both_runs(with_k=False)
        if asked:
            workbench(asked)


show(page)
