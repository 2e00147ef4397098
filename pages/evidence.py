"""Is the circuit true, and did it move? Published claims, circuits that were run, knockouts, audit, stability."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages.panels.evidence_audit import audit
from pages.panels.evidence_claims import published_claims
from pages.panels.evidence_faithfulness import faithfulness
from pages.panels.evidence_knockouts import knockouts
from pages.panels.evidence_stability import stable
from pages.panels.evidence_transfer import transfer
from pages.shared import evidence, pickers, run_selector, state, widgets
from pages.shared.entry import show
from pages.shared.glossary import meaning
from pages.shared.run_selector import Asked
from pages.shared.state import TOTAL

SECTIONS: dict[str, tuple[str, Callable[[Asked], None]]] = {  # anchor: title, panel
    "claims": ("the published claims", published_claims),
    "faithful": ("faithfulness", faithfulness),
    "transfer": ("whose circuit in which model", transfer),
    "knockouts": ("knockouts", knockouts),
    "audit": ("the estimators", audit),
    "stability": ("stability", stable),
}


def page() -> None:
    with widgets.user_errors():
        asked = run_selector.both_runs("Evidence")
        if asked:
            explore(asked)


def explore(asked: Asked) -> None:
    """Everything below the head, for two computed runs."""
    contents = " · ".join(f"[{title}](#{anchor})" for anchor, (title, _) in SECTIONS.items())
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    left.caption(f"On this page: {contents}")
    if len(asked.mdm.meta.parts) > 1:
        with right:
            pickers.select(
                "Denoising step of the MDM", [TOTAL, *asked.mdm.meta.parts], state.MDM_PART,
                lambda part: "all steps" if part == TOTAL else part,
                help=f"{meaning('denoising_step')} Faithfulness and knockouts are shown of one step too.",
            )  # fmt: skip
    for _, section in SECTIONS.values():
        with st.container():  # what grows has a place of its own, so that nothing below is drawn anew then
            section(asked)
    evidence.watch()
    st.caption("  \n".join(widgets.provenance(side.title, side.run) for side in asked.sides))


show(page)
