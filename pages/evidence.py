"""Is the circuit true, and did it move? Circuits that were run, knockouts, audit."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages.panels.evidence_audit import audit
from pages.panels.evidence_faithfulness import faithfulness
from pages.panels.evidence_knockouts import knockouts
from pages.panels.evidence_transfer import transfer
from pages.shared import evidence_artifacts, run_selector, widgets
from pages.shared.entry import show
from pages.shared.run_selector import Asked

SECTIONS: dict[str, tuple[str, Callable[[Asked], None]]] = {  # anchor: title, panel
    "faithful": ("faithfulness", faithfulness),
    "transfer": ("whose circuit in which model", transfer),
    "knockouts": ("knockouts", knockouts),
    "audit": ("the estimators", audit),
}


def page() -> None:
    with widgets.user_errors():
        asked = run_selector.both_runs("Evidence")
        if asked:
            explore(asked)


def explore(asked: Asked) -> None:
    """Everything below the head, for two computed runs."""
    st.caption("On this page: " + " · ".join(f"[{title}](#{anchor})" for anchor, (title, _) in SECTIONS.items()))
    for _, section in SECTIONS.values():
        with st.container():  # what grows has a place of its own, so that nothing below is drawn anew then
            section(asked)
    evidence_artifacts.watch()
    st.caption("  \n".join(widgets.provenance(side.title, side.run) for side in asked.sides))


show(page)
