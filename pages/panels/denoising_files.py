"""Offer what the denoising page shows as CSV files."""

from __future__ import annotations

import streamlit as st

from engine.circuits.intervals import wilson
from engine.runs import stored
from engine.runs.records import Run
from engine.runs.revealed_tokens import state_of
from engine.runs.rows import StepAccuracy, TrajectoryStep
from pages.figures.answer_lens import layer_name
from pages.panels.denoising_data import SAMPLERS, Examined, lenses, overlaps
from pages.shared import cached_reads
from pages.shared.artifacts import lacking
from pages.shared.downloads import table_button
from pages.shared.run_selector import Asked

Rows = list[dict[str, object]]


def downloads(examined: Examined) -> None:
    asked, about, example = examined.asked, {"example": examined.example}, f"example{examined.example}"
    mdm, both = asked.sides.mdm.origin(), asked.sides.origin(with_k=False)
    st.caption("The camera on every figure saves it as an SVG picture.")
    with st.container(horizontal=True):
        if stored.has(asked.mdm, "lens"):
            table_button(
                "Trajectories of this example (CSV)", lambda: trajectory_rows(examined), mdm, f"trajectories-{example}",
                about=about,
            )  # fmt: skip
        if not lacking(asked.runs, ["lens"]):
            table_button(
                "Lens of this example (CSV)", lambda: lens_rows(examined), both, f"lens-{example}", about=about
            )
        table_button("Overlaps of the steps (CSV)", lambda: overlap_rows(asked), asked.sides.origin(), "steps")
        if stored.has(asked.mdm, "ability"):
            table_button("Accuracy by steps (CSV)", lambda: accuracy_rows(asked.mdm), mdm, "accuracy-steps")


def trajectory_rows(examined: Examined) -> Rows:
    """A row for every sampler, step and answer position."""
    return [
        {
            "sampler": sampler,
            "step": row.step,
            "position": position,
            "token": token,
            "confidence": row.confidences[position],
            "state": state_of(row, position),
            "solved": row.correct,
        }
        for sampler in SAMPLERS
        for row in cached_reads.rows(TrajectoryStep, examined.asked.mdm.key, sampler=sampler, example=examined.example)
        for position, token in enumerate(row.tokens)
    ]


def lens_rows(examined: Examined) -> Rows:
    """A row for every model, step, answer position and layer."""
    return [
        {
            "model": side.model,
            "step": step,
            "position": position,
            "after_layer": layer_name(layer),
            "top_token": token,
            "probability": float(lens.probability[layer]),
            "answer": examined.answer[position],
            "answer_probability": float(lens.answer[layer]),
            "answer_rank": int(lens.rank[layer]) + 1,
        }
        for side in examined.asked.sides
        for (step, position), lens in lenses(side.run.key, examined.example).items()
        for layer, token in enumerate(lens.tokens)
    ]


def overlap_rows(asked: Asked) -> Rows:
    """A row for every step of the MDM and every step of the MDM or site of the ARM."""
    parts, sites = asked.mdm.meta.parts, asked.arm.meta.parts
    rows: Rows = []
    for model, key, others in (("mdm", asked.mdm.key, parts), ("arm", asked.arm.key, sites)):
        values = overlaps(asked.mdm.key, key, parts, others, asked.k)
        rows += [
            {"step": part, "model": model, "part": other, "jaccard": value}
            for part, line in zip(parts, values.tolist(), strict=True)
            for other, value in zip(others, line, strict=True)
        ]
    return rows


def accuracy_rows(mdm: Run) -> Rows:
    """A row for every number of steps, with the 95 % interval."""
    rows: Rows = []
    for row in cached_reads.rows(StepAccuracy, mdm.key):
        low, high = wilson(row.correct / row.total, row.total)
        rows.append({"steps": row.steps, "correct": row.correct, "total": row.total, "low": low, "high": high})
    return rows
