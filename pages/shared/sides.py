"""The two circuits that a page compares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from engine.circuits.graph import Graph
from engine.circuits.shared_edges import ClassifiedEdges, classify
from engine.runs.records import Run
from pages.figures.palette import NAME
from pages.shared import cached_reads, provenance
from pages.shared.provenance import Origin
from pages.shared.state import TOTAL


@dataclass(frozen=True)
class Side:
    """One model of the comparison: "arm" or "mdm" (or what stands for it), its run, and which part of its scores."""

    model: str
    run: Run
    part: str

    @property
    def title(self) -> str:
        return provenance.title(self.run)

    @property
    def label(self) -> str:
        """The title where there is little room, as in a column's: "ARM", "MDM", "control", "MDM at step 100"."""
        spec = self.run.spec
        if spec.is_control:
            return "control"
        step = spec.model.partition(":")[2]
        return f"MDM at step {int(step):,}" if step else NAME[self.model]

    def origin(self, *about: str, k: int | None = None) -> Origin:
        """Of what one model alone is shown of."""
        return Origin(((self.title, self.run),), k, about)


@dataclass(frozen=True)
class Sides:
    graph: Graph
    k: int
    arm: Side
    mdm: Side

    def __iter__(self) -> Iterator[Side]:
        return iter((self.arm, self.mdm))

    @property
    def runs(self) -> list[Run]:
        return [side.run for side in self]

    @property
    def steps(self) -> int:
        """The number of denoising steps of MDMs; 0: the task's own."""
        return self.mdm.run.spec.denoising_steps

    def origin(self, *about: str, with_k: bool = True) -> Origin:
        """Of what both models are shown of; `with_k` False where it does not depend on K."""
        parts = () if self.arm.part == self.mdm.part == TOTAL else (f"{self.arm.part} and {self.mdm.part}",)
        return Origin(tuple((side.title, side.run) for side in self), self.k if with_k else None, (*parts, *about))

    @cached_property
    def classified(self) -> list[tuple[Side, ClassifiedEdges]]:
        """Both models' K strongest edges, each told apart by whether the other has it too."""
        arm, mdm = (cached_reads.edges(side.run.key, side.part, self.k) for side in (self.arm, self.mdm))
        return [
            (self.arm, classify(arm.edge, arm.score, mdm.edge)),
            (self.mdm, classify(mdm.edge, mdm.score, arm.edge)),
        ]
