"""What the denoising page reads of two runs: cached readings of the cache, and the tables that it hands out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from engine.files.csv_text import csv_of
from engine.runs.records import Run
from engine.runs.rows import ExampleRow, StepAccuracy, TrajectoryStep
from engine.schema.vocabulary import SHOWN_EXAMPLES
from pages.figures import denoising as drawing
from pages.figures.denoising import LensAt
from pages.shared import cached_reads
from pages.shared.provenance import Origin, origin
from pages.shared.run_selector import Asked

SAMPLERS = {  # those of engine/models/samplers.py, which needs torch
    "confidence": "One token a step: the position of whose token the MDM is surest.",
    "left-to-right": "One token a step, in the order in which an ARM writes.",
    "random": "One token a step, at any masked position.",
    "dream-maskgit": "Dream's default: as many positions as its schedule of timesteps gives, the surest first.",
    "dream-margin": "Dream's schedule; the surest is where the best token leads the second by most.",
    "dream-entropy": "Dream's schedule; the surest is where the prediction has the least entropy.",
    "dream-origin": "Dream's schedule as a chance: each masked position is revealed or not, however sure the MDM is.",
    "diffullama": "DiffuLLaMA's rule: each masked position by chance, 1 in as many as steps are left.",
}


@dataclass(frozen=True)
class Look:
    """What the page looks at: two runs and an example of both."""

    asked: Asked
    example: int
    row: ExampleRow
    steps: int  # of the run's own order

    @property
    def answer(self) -> tuple[str, ...]:
        return self.row.answer


@st.cache_data(show_spinner=False, max_entries=64)
def kept_examples(key: str) -> list[int]:
    """The examples of which trajectories are kept: the first few."""
    return [
        e
        for e in range(SHOWN_EXAMPLES)
        if any(cached_reads.rows(TrajectoryStep, key, sampler=sampler, example=e) for sampler in SAMPLERS)
    ]


@st.cache_data(show_spinner=False, max_entries=64)
def lenses(key: str, example: int) -> dict[tuple[int, int], LensAt]:
    return drawing.read_lens(cached_reads.columns(key, "position_lens", example=example))


@st.cache_data(show_spinner=False, max_entries=64)
def solved_by(key: str, examples: tuple[int, ...]) -> dict[str, list[bool]]:
    """Of each sampler whether it solves each example."""
    found = {}
    for sampler in SAMPLERS:
        walks = [cached_reads.rows(TrajectoryStep, key, sampler=sampler, example=example) for example in examples]
        if all(walks):
            found[sampler] = [walk[-1].correct for walk in walks]
    return found


@st.cache_data(show_spinner=False, max_entries=64)
def overlaps(key: str, other: str, parts: tuple[str, ...], others: tuple[str, ...], k: int) -> NDArray[np.float64]:
    """[part, other part]: Jaccard index at K of two runs' parts."""
    sets = [[cached_reads.edges(run, part, k).edge for part in names] for run, names in ((key, parts), (other, others))]
    return drawing.jaccard_matrix(sets[0], sets[1], cached_reads.graph_of(key).n_edges)


def walks_csv(look: Look) -> bytes:
    rows: list[Sequence[object]] = []
    for sampler in SAMPLERS:
        for row in cached_reads.rows(TrajectoryStep, look.asked.mdm.key, sampler=sampler, example=look.example):
            rows += [
                (sampler, row.step, t, token, row.confidences[t], _state_of(row, t), row.correct)
                for t, token in enumerate(row.tokens)
            ]
    names = ("sampler", "step", "position", "token", "confidence", "state", "solved")
    return _csv(names, rows, look.asked.sides.mdm.origin(), {"example": look.example})


def lens_csv(look: Look) -> bytes:
    rows: list[Sequence[object]] = []
    for side in look.asked.sides:
        for (step, t), lens in lenses(side.run.key, look.example).items():
            for layer, token in enumerate(lens.tokens):
                right = (look.answer[t], lens.answer[layer], lens.rank[layer] + 1)
                rows.append((side.model, step, t, drawing.layer_name(layer), token, lens.probability[layer], *right))
    return _csv(
        ("model", "step", "position", "after_layer", "top_token", "probability", "answer", "answer_probability",
         "answer_rank"), rows, look.asked.sides.origin(with_k=False), {"example": look.example},
    )  # fmt: skip


def steps_csv(asked: Asked) -> bytes:
    parts, sites = asked.mdm.meta.parts, asked.arm.meta.parts
    rows: list[Sequence[object]] = []
    for model, key, others in (("mdm", asked.mdm.key, parts), ("arm", asked.arm.key, sites)):
        values = overlaps(asked.mdm.key, key, parts, others, asked.k)
        for part, line in zip(parts, values.tolist(), strict=True):
            rows += [(part, model, other, value) for other, value in zip(others, line, strict=True)]
    return _csv(("step", "model", "part", "jaccard"), rows, asked.sides.origin())


def accuracy_csv(mdm: Run) -> bytes:
    rows = [
        (row.steps, row.correct, row.total, *drawing.wilson(row.correct, row.total))
        for row in cached_reads.rows(StepAccuracy, mdm.key)
    ]
    return _csv(("steps", "correct", "total", "low", "high"), rows, origin([mdm]))


def _csv(
    names: Sequence[str],
    rows: Sequence[Sequence[object]],
    source: Origin,
    more: Mapping[str, object] | None = None,
) -> bytes:
    """Rows as CSV, each with where it comes from and what `more` names."""
    told = {**(more or {}), **source.columns}
    return csv_of((*names, *told), [(*row, *told.values()) for row in rows])


def _state_of(row: TrajectoryStep, t: int) -> str:
    return "visible" if row.visible[t] else "revealed" if row.revealed[t] else "hidden"
