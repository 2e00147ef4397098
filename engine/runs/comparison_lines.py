"""The comparison of two runs as lines of text: a table of overlaps by circuit size, and what its columns mean."""

from __future__ import annotations

from engine.circuits import comparison
from engine.runs import read
from engine.runs.records import Run

TITLES = (
    "     K  overlap  control   chance  half pair  half ARM  half MDM  early ARM  early MDM   ratio  ctrl ratio"
    "  comps ARM  comps MDM"
)
LEGEND = (
    "overlap: Jaccard index of the K strongest edges of ARM and MDM",
    "control: that of the ARM and its own weights read as the MDM is (masks, both directions, no post-training):",
    "  what the change of attention and of input does alone",
    "chance: that of two random circuits of K edges",
    "half: that of circuits found on half of the examples each, the ARM's with the MDM's on the other half, and each",
    "  model's own two; compare these three with each other, not with the overlap on all examples",
    "early: share of component importance in the first third of the layers; ratio: MDM / ARM, then control / ARM",
    "comps: effective number of components",
)


def table_line(arm: Run, mdm: Run, control: Run | None, size: int) -> str:
    """One line of the table, under TITLES."""
    result, halves = _compared(arm, mdm, size), read.split_half(arm, mdm, size)
    at_step_0 = _compared(arm, control, size) if control else None
    overlap = f"{result.jaccard:7.3f}  {_cell(at_step_0, 'jaccard', 7)}  {result.chance:7.4f}"
    split = "  ".join(_cell(halves, which, width) for which, width in (("pair", 9), ("arm", 8), ("mdm", 8)))
    shares = "  ".join(_cell(side, "early_share", 9) for side in (result.arm, result.mdm))
    early = f"{shares}  {_cell(result, 'early_ratio', 6, 2)}  {_cell(at_step_0, 'early_ratio', 10, 2)}"
    spread = f"{result.arm.effective_number:9.1f}  {result.mdm.effective_number:9.1f}"
    return f"{size:6d}  {overlap}  {split}  {early}  {spread}"


def _compared(arm: Run, other: Run, size: int) -> comparison.Comparison:
    of_arm, of_other = (read.edge_table(run.key, limit=size) for run in (arm, other))
    return comparison.compare(arm.meta.graph, of_arm, of_other, size)


def _cell(result: object | None, name: str, width: int, digits: int = 3) -> str:
    """A number of a result, for a table's cell; "none" where there is none."""
    value = float("nan") if result is None else getattr(result, name)
    return f"{comparison.printed(value, f'.{digits}f'):>{width}}"


def overlap_with_halves(arm: Run, other: Run, size: int) -> str:
    halves = read.split_half(arm, other, size)
    half = f"{_cell(halves, 'pair', 5)} {_cell(halves, 'mdm', 5)}"
    return f"{read.overlap(arm.key, other.key, size):7.3f} ({half})"
