"""Read what the claims about a pair on a task are judged by, from stored runs (engine/runs/claims.py judges)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.circuits import along_k, comparison, intervals, neuron_ranking
from engine.circuits.graph import Graph
from engine.circuits.head_permutations import Floor, permuted_overlap
from engine.circuits.intervals import Estimate, Scored, SpecialisationIntervals
from engine.circuits.neuron_ranking import Spread
from engine.circuits.ranked_anew import Redrawn, SplitHalfRedrawn
from engine.models.pair import CONTROL, model_title
from engine.runs import layer_tables, lifecycle, read, stored
from engine.runs.records import Run
from engine.runs.solvable import can_do
from engine.runs.spec import RunSpec
from engine.runs.stability import halves_redrawn, pair_redrawn
from engine.tasks.base import Task
from engine.tasks.registry import task_named

ROOM = 4  # edges with blocks for each edge of a circuit: with so many, hardly any other could come into it


@dataclass(frozen=True)
class TaskRuns:
    """The specs of a pair's runs on a task, and those of the runs that are stored."""

    task: Task
    specs: dict[str, RunSpec]  # by "arm", "mdm", "control"
    stored: dict[str, Run]

    @property
    def missing(self) -> tuple[RunSpec, ...]:
        """Runs of the two models that are not stored; the control is not waited for."""
        return tuple(self.specs[model] for model in ("arm", "mdm") if model not in self.stored)

    def inability(self) -> str | None:
        """That a model cannot do the task, in a sentence; None where both can, as far as it is measured."""
        return next(self._inabilities(("arm", "mdm")), None)

    def control_inability(self) -> str | None:
        return next(self._inabilities((CONTROL,)), None)

    @property
    def control_is_unmeasured(self) -> bool:
        """Whether the control is stored, but not yet whether it can do the task."""
        return CONTROL in self.stored and self.stored[CONTROL].accuracy is None

    def _inabilities(self, models: tuple[str, ...]) -> Iterator[str]:
        for model in models:
            if model in self.stored:
                ability = can_do(self.task, self.stored[model].accuracy)
                if not ability.can:
                    yield f"The {model_title(model)} cannot do {self.task.title}. {ability.reason}"


def usual(question: RunSpec) -> RunSpec:
    """What claims are about: a question with each task's usual prompts and number of denoising steps.

    A template is one task's own, and no other task's answers need to have as many tokens as there are steps.
    """
    return replace(question, template=0, denoising_steps=0)


def runs_of_task(question: RunSpec, task: str) -> TaskRuns:
    """The runs of a question's settings on a task, as usual. UserError: no such pair or task."""
    specs = {model: replace(usual(question), task=task, model=model) for model in ("arm", "mdm", CONTROL)}
    there = {model: run for model, spec in specs.items() if (run := lifecycle.find(spec))}
    return TaskRuns(task_named(task), specs, there)


class TaskNumbers:
    """Numbers of a pair on a task at `k` edges, fewer where the circuits have fewer.

    What is asked for is read then, once. Only `runs` and `k` can be asked for where a model's run is missing.
    """

    def __init__(self, runs: TaskRuns, k: int) -> None:
        self.runs, self.control = runs, runs.stored.get(CONTROL)
        self.k = min(k, *(run.meta.graph.n_edges for run in runs.stored.values())) if runs.stored else k

    @property
    def arm(self) -> Run:
        return self.runs.stored["arm"]

    @property
    def mdm(self) -> Run:
        return self.runs.stored["mdm"]

    @property
    def graph(self) -> Graph:
        return self.arm.meta.graph

    @property
    def chance(self) -> float:
        return comparison.chance(self.k, self.graph.n_edges)

    @property
    def limit(self) -> str | None:
        """That not all edges can change ranks in the draws, where circuits are large enough for that to matter."""
        known = len(read.edge_blocks(self.arm.key).edge)
        if known == self.graph.n_edges or self.k * ROOM <= known:
            return None
        return f"only the {known:,} strongest edges are ranked anew, so that intervals are somewhat too narrow"

    @property
    def limit_of_scores(self) -> str | None:
        """That not all edges of the circuits have other scores in the draws."""
        known = len(read.edge_blocks(self.arm.key).edge)
        if self.k <= known:
            return None
        return f"only the {known:,} strongest edges are scored anew, so that intervals are somewhat too narrow"

    @cached_property
    def _with_control(self) -> list[Redrawn]:
        others = (self.mdm, *((self.control,) if self.control else ()))
        return pair_redrawn(self.arm, *others, k=self.k)

    @property
    def overlap(self) -> Redrawn:
        """Of the ARM with the MDM."""
        return self._with_control[0]

    @property
    def overlap_of_control(self) -> Redrawn | None:
        """Of the ARM with the step-0 control, on the same draws; None where that is not stored."""
        return self._with_control[1] if self.control else None

    @cached_property
    def component_overlap(self) -> float:
        """Of the core components of ARM and MDM; nan where neither has any."""
        return along_k.core_overlap(
            self.graph, *(read.edge_table(run.key, limit=self.k) for run in (self.arm, self.mdm))
        )  # fmt: skip

    @cached_property
    def halves(self) -> SplitHalfRedrawn | None:
        return halves_redrawn(self.arm, self.mdm, self.k)

    @cached_property
    def permuted_heads(self) -> Floor:
        """Overlaps of the ARM with the MDM whose heads are permuted within layers."""
        edges = [read.edge_table(run.key, limit=self.k).edge for run in (self.arm, self.mdm)]
        return permuted_overlap(self.graph, edges[0], edges[1])

    @cached_property
    def specialisation(self) -> SpecialisationIntervals:
        return self._specialisation(self.mdm)

    @cached_property
    def specialisation_of_control(self) -> SpecialisationIntervals | None:
        """With the step-0 control in place of the MDM."""
        return self._specialisation(self.control) if self.control else None

    def _specialisation(self, other: Run) -> SpecialisationIntervals:
        return intervals.specialisation(
            self.graph, self._scored(self.arm), self._scored(other), self.arm.spec.n
        )  # fmt: skip

    def _scored(self, run: Run) -> Scored:
        edges = read.edge_table(run.key, limit=self.k)
        return Scored(edges.edge, edges.score, read.edge_blocks(run.key))

    def lens_entropy(self) -> Estimate | None:
        """Of the components' own logit lenses, MDM - ARM, in nats; None where a lens is not computed."""
        if not all(stored.has(run, "lens") for run in (self.arm, self.mdm)):
            return None
        arm, mdm = (self._lens(run) for run in (self.arm, self.mdm))
        bands = intervals.mean_contrast(mdm, arm).difference
        low, high = (None if end is None else float(end) for end in (bands.low, bands.high))
        return Estimate(float(bands.value), low, high)

    def _lens(self, run: Run) -> NDArray[np.float64]:
        """[example]: mean over layers."""
        table = read.table(run.key, "lens_layers", ("example", "layer", "node_entropy"))
        columns = {name: table[name].combine_chunks().to_numpy(zero_copy_only=False) for name in table.column_names}
        return np.asarray(layer_tables.by_example(columns, "node_entropy").mean(axis=1))

    @cached_property
    def neurons(self) -> tuple[Spread, Spread, Spread | None]:
        """How the attribution of neurons is spread in ARM, MDM and control."""
        return _neurons(self.arm), _neurons(self.mdm), _neurons(self.control) if self.control else None


def _neurons(run: Run) -> Spread:
    table = read.table(run.key, "neurons", ("attribution", "half_a", "half_b"))
    total, *halves = (table[name].combine_chunks().to_numpy() for name in ("attribution", "half_a", "half_b"))
    return neuron_ranking.spread(total, (halves[0], halves[1]))
