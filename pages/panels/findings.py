"""What a pair's runs on a task say at one K: the numbers of the overview, and the sentences that they make."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.circuits import comparison
from engine.models.pair import CONTROL
from engine.models.pairs import Pair
from engine.runs.records import Run
from engine.runs.solvable import can_do
from engine.runs.spec import RunSpec
from engine.tasks.base import Task
from pages.figures import charts
from pages.shared import cached_reads, widgets
from pages.shared.run_selector import listed
from pages.shared.state import TOTAL, Question

CLEARLY = 0.05  # a smaller difference of two overlaps is not called one
FAMILIES = ("prefix-dominant", "globally constrained")


@dataclass(frozen=True)
class Cell:
    """A pair on a task: its runs, where they are stored; `problem`: why what is missing cannot be computed here.

    The step-0 control is not waited for: without it the other two are shown.
    """

    pair: Pair
    task: Task
    question: Question
    arm: Run | None
    mdm: Run | None
    problem: str | None = None
    control: Run | None = None
    no_control: str | None = None  # why the control cannot be computed here

    @property
    def missing(self) -> list[RunSpec]:
        if self.problem:
            return []
        runs = {"arm": self.arm, "mdm": self.mdm} | ({} if self.no_control else {CONTROL: self.control})
        return [self.question.spec(model) for model, run in runs.items() if run is None]

    @property
    def runs(self) -> list[Run]:
        return [run for run in (self.arm, self.mdm, self.control) if run]


@dataclass(frozen=True)
class Finding:
    """What a cell says at one K."""

    cell: Cell
    arm: Run
    mdm: Run
    at: comparison.Comparison
    control: comparison.Comparison | None  # of the ARM with its step-0 control
    halves: comparison.SplitHalf | None

    @property
    def row(self) -> charts.TaskRow:
        told = tuple(
            (row["pair"], row["overlap"]) for row in cached_reads.published()["row"] if row["task"] == self.task
        )
        control = self.control.jaccard if self.control else None
        return charts.TaskRow(self.cell.task.title, self.at.jaccard, self.at.chance, control, self.halves, told)

    @property
    def task(self) -> str:
        return self.cell.task.name


def find(cell: Cell, k: int) -> Finding:
    if cell.arm is None or cell.mdm is None:
        raise ValueError("a finding needs both runs")
    at = cached_reads.comparison(cell.arm.key, cell.mdm.key, TOTAL, TOTAL, k)
    control = cached_reads.comparison(cell.arm.key, cell.control.key, TOTAL, TOTAL, k) if cell.control else None
    return Finding(cell, cell.arm, cell.mdm, at, control, cached_reads.split_half(cell.arm, cell.mdm, k))


def sides(finding: Finding) -> list[tuple[str, Run]]:
    control = finding.cell.control
    return [("ARM", finding.arm), ("MDM", finding.mdm), *([("control", control)] if control else [])]


def answers(findings: list[Finding], k: int) -> list[str]:
    """What the numbers say, in sentences (Markdown)."""
    groups = {family: [f for f in findings if f.cell.task.family == family] for family in FAMILIES}
    sentences = []
    if all(groups.values()):
        local, world = (_mean([f.at.jaccard for f in group]) for group in groups.values())
        sentences.append(
            f"**The {k:,} strongest edges of ARM and MDM overlap by {local:.2f} on tasks that need only what came "
            f"before, by {world:.2f} on tasks with global constraints** (mean Jaccard index; chance is "
            f"{findings[0].at.chance:.2f}; {direction(local, world)})."
        )
    sentences += against_control(findings)
    if groups[FAMILIES[1]]:
        sentences.append(early(groups[FAMILIES[1]]))
    halved = [(f, f.halves) for f in findings if f.halves]
    if halved:
        sentences.append(
            f"Circuits of half of the prompts each, compared with each other only: ARM with MDM "
            f"{_span([h.pair for _, h in halved])}, the ARM's own two halves {_span([h.arm for _, h in halved])}, the "
            f"MDM's own two {_span([h.mdm for _, h in halved])}. {told_apart(halved)}"
        )
    return sentences


def against_control(findings: list[Finding]) -> list[str]:
    """How the pair's overlaps stand to those of the step-0 control, where that is computed (Markdown)."""
    known = [(f, f.control) for f in findings if f.control]
    if not known:
        return []
    gains = [(f, f.at.jaccard - control.jaccard) for f, control in known]
    groups = {
        "lower than that on": [f for f, gain in gains if gain <= -CLEARLY],
        "about the same on": [f for f, gain in gains if abs(gain) < CLEARLY],
        "higher on": [f for f, gain in gains if gain >= CLEARLY],
    }
    told = [f"{words} {_titles(group)}" for words, group in groups.items() if group]
    said = (
        "**With no post-training at all, the ARM's own weights read as the MDM is (the step-0 control) overlap with "
        f"the ARM by {_span([control.jaccard for _, control in known])}.** The MDM's overlap is {'; '.join(told)}. "
        "Where it is no lower, the overlap is no sign that post-training moved the circuit away from the ARM's."
    )
    unable = [f for f, _ in known if f.cell.control and not can_do(f.cell.task, f.cell.control.meta).can]
    if unable:
        said += f" On {_titles(unable)} the control cannot do the task: there its circuit explains little."
    return [said]


def early(findings: list[Finding]) -> str:
    """The MDM's early share on these tasks as a multiple of the ARM's, and the control's."""
    ratio = comparison.printed(_mean([f.at.early_ratio for f in findings]), ".2f")
    controls = [f.control.early_ratio for f in findings if f.control]
    control = f"; the control {comparison.printed(_mean(controls), '.2f')} times" if controls else ""
    return (
        f"On global tasks the MDM puts **{ratio} times** the ARM's share of importance into the first third of the "
        f"layers{control} (published: more than 2)."
    )


def told_apart(halved: list[tuple[Finding, comparison.SplitHalf]]) -> str:
    """On which tasks ARM and MDM differ by more than circuits of other prompts do."""
    more = [f for f, h in halved if h.pair <= min(h.arm, h.mdm) - CLEARLY]
    if not more:
        return "So on no task shown do ARM and MDM differ clearly more than circuits of other prompts do."
    which = "every task shown" if len(more) == len(halved) > 1 else _titles(more)
    return f"So ARM and MDM differ by more than circuits of other prompts do on {which}."


def direction(local: float, world: float) -> str:
    """How two mean overlaps stand to the published finding, that those of local tasks are larger."""
    if abs(local - world) < CLEARLY:
        return "about the same, where the paper finds the first larger"
    return "as published: the first is larger" if local > world else "unlike published, where the first is larger"


def _mean(values: list[float]) -> float:
    """Of those that are numbers; nan of none."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _span(values: list[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def _titles(findings: list[Finding]) -> str:
    return widgets.plain(listed([f.cell.task.title for f in findings]))
