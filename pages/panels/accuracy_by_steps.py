"""Show how many held-out problems the MDM solves in how many denoising steps, beside the ARM."""

from __future__ import annotations

import streamlit as st

from engine.circuits.intervals import wilson
from engine.runs.rows import StepAccuracy
from pages.figures.denoising import accuracy_figure
from pages.shared import cached_reads, widgets
from pages.shared.artifacts import awaited
from pages.shared.run_selector import Asked


def accuracy(asked: Asked) -> None:
    st.subheader("Accuracy by number of steps", divider="gray")
    if awaited("accuracy", asked.runs, "ability") or asked.arm.accuracy is None:
        return
    rows = cached_reads.rows(StepAccuracy, asked.mdm.key)
    if not rows:
        st.info("This run measured no accuracy by steps. Compute it again on the Runs page.")
        return
    total = asked.arm.accuracy.accuracy_n
    of_arm = round(asked.arm.accuracy.accuracy * total), total
    if len(rows) == 1:
        shares = [_share_sentence("ARM", *of_arm), _share_sentence("MDM", rows[0].correct, rows[0].total)]
        st.markdown(f"The answer takes one step. Held-out problems solved: {' '.join(shares)}")
        return
    figure = accuracy_figure(rows, of_arm, widgets.palette())
    widgets.chart(
        figure, "accuracy", "Share of problems solved against the number of denoising steps", "accuracy-steps",
        asked.sides.origin(with_k=False),
    )  # fmt: skip
    st.caption(
        f"{rows[0].total:,} held-out problems for every number of steps, the most confident positions first; "
        f"{of_arm[1]:,} for the ARM. Bars and band: 95 % intervals (Wilson). Fewer steps reveal several tokens at once."
    )


def _share_sentence(name: str, correct: int, total: int) -> str:
    low, high = wilson(correct / total, total)
    return f"{name} {correct / total:.1%} of {total:,} (95 % interval {low:.1%} to {high:.1%})."
