"""Read and keep, by run key, what the denoising page shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from engine.circuits.parts import jaccard_matrix
from engine.runs import stored
from engine.runs.answer_lens import AnswerLens, lens_by_position
from engine.runs.records import Run
from engine.runs.rows import ExampleRow, TrajectoryStep
from engine.schema.vocabulary import SHOWN_EXAMPLES
from pages.shared import cached_reads, state
from pages.shared.address_keys import whole
from pages.shared.run_selector import Asked

SAMPLERS = {  # those of engine/inspection/trajectories.py, which needs torch
    "confidence": "One token a step: the position whose token the MDM is most confident of.",
    "left-to-right": "One token a step, in the order in which an ARM writes.",
    "random": "One token a step, at any masked position.",
    "dream-maskgit": "Dream's default: as many positions as its schedule of timesteps gives, the most confident first.",
    "dream-margin": "Dream's schedule; first where the best token leads the second by most.",
    "dream-entropy": "Dream's schedule; first where the prediction has the least entropy.",
    "dream-origin": "Dream's schedule as a chance: each masked position is revealed or not, whatever the confidence.",
    "diffullama": "DiffuLLaMA's rule: each masked position by chance, 1 in as many as steps are left.",
}


@dataclass(frozen=True)
class Examined:
    """What the page shows: two runs and an example of both."""

    asked: Asked
    example: int
    kept: tuple[int, ...]  # the examples to choose from
    row: ExampleRow
    steps: int  # of the run's own order

    @property
    def answer(self) -> tuple[str, ...]:
        return self.row.answer


def examples_of(run: Run) -> list[int]:
    """The examples to choose from: those of which trajectories are kept; the first few while none is computed."""
    return kept_examples(run.key) if stored.has(run, "lens") else list(range(min(SHOWN_EXAMPLES, run.spec.n)))


@st.cache_data(show_spinner=False, max_entries=64)
def kept_examples(key: str) -> list[int]:
    """The examples of which trajectories are kept: the first few."""
    return [
        e
        for e in range(SHOWN_EXAMPLES)
        if any(cached_reads.rows(TrajectoryStep, key, sampler=sampler, example=e) for sampler in SAMPLERS)
    ]


def examined(asked: Asked, kept: Sequence[int]) -> Examined:
    """The example that is chosen among those kept, whose widget comes later on the page."""
    rows = {row.example: row for row in cached_reads.rows(ExampleRow, asked.mdm.key)}
    steps = int(cached_reads.columns(asked.mdm.key, "reveals")["step"].max(initial=0)) + 1
    chosen = st.session_state.get(state.EXAMPLE, whole(st.query_params.get(state.EXAMPLE, "")))
    example = chosen if chosen in kept else kept[0]
    return Examined(asked, example, tuple(kept), rows[example], steps)


@st.cache_data(show_spinner=False, max_entries=64)
def lenses(key: str, example: int) -> dict[tuple[int, int], AnswerLens]:
    """By denoising step and answer position."""
    return lens_by_position(cached_reads.columns(key, "position_lens", example=example))


@st.cache_data(show_spinner=False, max_entries=64)
def solved_by(key: str, examples: tuple[int, ...]) -> dict[str, list[bool]]:
    """Of each sampler whether it solves each example."""
    solved = {}
    for sampler in SAMPLERS:
        trajectories = [
            cached_reads.rows(TrajectoryStep, key, sampler=sampler, example=example) for example in examples
        ]
        if all(trajectories):
            solved[sampler] = [steps[-1].correct for steps in trajectories]
    return solved


@st.cache_data(show_spinner=False, max_entries=64)
def overlaps(key: str, other: str, parts: tuple[str, ...], others: tuple[str, ...], k: int) -> NDArray[np.float64]:
    """[part, other part]: Jaccard index at K of two runs' parts."""
    sets = [[cached_reads.edges(run, part, k).edge for part in names] for run, names in ((key, parts), (other, others))]
    return jaccard_matrix(sets[0], sets[1], cached_reads.graph_of(key).n_edges)
