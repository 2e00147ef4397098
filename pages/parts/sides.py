"""The two circuits that a page compares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.graph import Graph
from engine.records import Run
from pages.figures.circuit import Edges, top_edges
from pages.figures.palette import NAME
from pages.parts import resources


@dataclass(frozen=True)
class Side:
    """One model of the comparison: "arm" or "mdm" (a checkpoint counts as mdm), its run, and the part looked at."""

    model: str
    run: Run
    part: str

    @property
    def title(self) -> str:
        step = self.run.spec.model.partition(":")[2]
        return f"{NAME[self.model]} after {int(step):,} steps" if step else NAME[self.model]


@dataclass(frozen=True)
class Sides:
    graph: Graph
    k: int
    arm: Side
    mdm: Side

    def __iter__(self) -> Iterator[Side]:
        return iter((self.arm, self.mdm))

    def classified(self) -> list[tuple[Side, Edges]]:
        """Both models' K strongest edges, each told apart by whether the other has it too."""
        arm, mdm = (resources.edges(side.run.key, side.part, self.k) for side in (self.arm, self.mdm))
        return [
            (self.arm, top_edges(arm.edge, arm.score, mdm.edge)),
            (self.mdm, top_edges(mdm.edge, mdm.score, arm.edge)),
        ]
