"""The two circuits of a task: slide K, watch the overlap, click a node and see its lens in both models."""

from __future__ import annotations

from pages.panels.workbench import workbench
from pages.shared import run_selector, widgets
from pages.shared.entry import show


def page() -> None:
    with widgets.user_errors():
        asked = run_selector.both_runs("Circuits", with_k=False, edges_alone=True)
        if asked:
            workbench(asked)


show(page)
