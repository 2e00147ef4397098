"""Compare the circuits of two stored runs: their overlap at every size, and what they have in common at one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.circuits import comparison
from engine.runs import read
from engine.runs.records import Run

if TYPE_CHECKING:
    from engine.circuits.comparison import Comparison, SplitHalf


@dataclass(frozen=True)
class RunComparison:
    """Two runs side by side, at each of the sizes `k` (comparison.curve_sizes).

    `overlap` and `chance`: the Jaccard index, 0 to 1, of both circuits of `k` edges, and of two random sets of `k`.
    """

    arm: Run
    mdm: Run
    part_arm: str
    part_mdm: str
    k: NDArray[np.int32]  # [size], ascending
    overlap: NDArray[np.float64]  # [size]
    chance: NDArray[np.float64]  # [size]

    def at(self, k: int) -> Comparison:
        """What the circuits of the `k` strongest edges have in common."""
        sides = (
            read.edge_table(self.arm.key, self.part_arm, limit=k),
            read.edge_table(self.mdm.key, self.part_mdm, limit=k),
        )
        return comparison.compare(self.arm.meta.graph, *sides, k)

    def split_half(self, k: int) -> SplitHalf | None:
        """The overlaps of circuits of half of the examples each; None where a run has one example only."""
        return read.split_half(self.arm, self.mdm, k)


def compare(arm: Run, mdm: Run, part_arm: str = "total", part_mdm: str = "total") -> RunComparison:
    """Compare two stored runs, usually an ARM's and an MDM's on the same task; `part_*`: a site or step instead of all.

    Raises:
        UserError: a run has no such part, or the models are not of one architecture.
    """
    curve = read.overlap_curve(arm.key, mdm.key, part_arm, part_mdm)
    overlap = comparison.jaccard_at(curve.shared, curve.k)
    chance = comparison.chance_at(curve.k, arm.meta.graph.n_edges)
    return RunComparison(arm, mdm, part_arm, part_mdm, curve.k, overlap, chance)
