"""What a pair's runs on a task say at one K: the numbers of the overview, and the sentences that they make."""

from __future__ import annotations

from dataclasses import dataclass

from engine.circuits import comparison
from engine.circuits.verdicts import differ_beyond_examples, mean_of_known, verdict
from engine.models.pair import CONTROL
from engine.models.pairs import Pair
from engine.runs import lifecycle, stored
from engine.runs.records import Run
from engine.runs.solvable import can_do
from engine.runs.spec import RunSpec
from engine.tasks.base import Task
from engine.tasks.registry import TASKS
from pages.figures.overview import TaskRow
from pages.shared import availability, cached_reads, widgets
from pages.shared.state import TOTAL, Question
from pages.shared.words import listed

FAMILIES = ("prefix-dominant", "globally constrained")


@dataclass(frozen=True)
class Cell:
    """A pair on a task: its runs, where they are stored; `problem`: why what is missing cannot be computed here.

    The step-0 control is not waited for: without it the other two are shown. `settings`: those that are not a run's
    defaults, as in "n = 4".
    """

    pair: Pair
    task: Task
    question: Question
    arm: Run | None
    mdm: Run | None
    problem: str | None = None
    control: Run | None = None
    no_control: str | None = None  # why the control cannot be computed here
    in_part: tuple[RunSpec, ...] = ()  # of runs that are there, but not all of them, and can be completed here
    settings: str = ""

    @property
    def title(self) -> str:
        """The task, with the settings by which its numbers differ from those of other tasks."""
        return f"{self.task.title} ({self.settings})" if self.settings else self.task.title

    @property
    def missing(self) -> list[RunSpec]:
        """What can be computed here: runs that are not there."""
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
    mdm_with_control: float | None  # overlap
    halves: comparison.SplitHalf | None

    @property
    def row(self) -> TaskRow:
        published = tuple(
            (row["pair"], row["overlap"]) for row in cached_reads.published()["row"] if row["task"] == self.task
        )
        control = self.control.jaccard if self.control else None
        return TaskRow(self.cell.title, self.at.jaccard, self.at.chance, control, self.halves, published)

    @property
    def task(self) -> str:
        return self.cell.task.name


def finding_of(cell: Cell, k: int) -> Finding:
    if cell.arm is None or cell.mdm is None:
        raise ValueError("a finding needs both runs")
    at = cached_reads.comparison(cell.arm.key, cell.mdm.key, TOTAL, TOTAL, k)
    control = mdm_with_control = None
    if cell.control:
        control = cached_reads.comparison(cell.arm.key, cell.control.key, TOTAL, TOTAL, k)
        mdm_with_control = cached_reads.overlap(cell.mdm.key, cell.control.key, TOTAL, TOTAL, k)
    halves = cached_reads.split_half(cell.arm, cell.mdm, k)
    return Finding(cell, cell.arm, cell.mdm, at, control, mdm_with_control, halves)


def sides(finding: Finding) -> list[tuple[str, Run]]:
    control = finding.cell.control
    return [("ARM", finding.arm), ("MDM", finding.mdm), *([("control", control)] if control else [])]


def alike(findings: list[Finding]) -> list[Finding]:
    """Those that can be averaged: all where all have the same settings, else those with a run's defaults."""
    settings = {f.cell.settings for f in findings}
    return findings if len(settings) == 1 else [f for f in findings if not f.cell.settings]


def answers(findings: list[Finding], k: int) -> list[str]:
    """What the numbers of findings with the same settings say, in sentences (Markdown)."""
    groups = {family: [f for f in findings if f.cell.task.family == family] for family in FAMILIES}
    sentences = []
    if all(groups.values()):
        local, world = (mean_of_known([f.at.jaccard for f in group]) for group in groups.values())
        sentences.append(
            f"**The circuits of ARM and MDM (their {k:,} strongest edges) overlap by {local:.2f} on tasks that need "
            f"only what came before, by {world:.2f} on tasks with global constraints** (mean Jaccard index; chance is "
            f"{findings[0].at.chance:.2f}; {direction(local, world)})."
        )
    sentences += against_control(findings)
    if groups[FAMILIES[1]]:
        sentences.append(early(groups[FAMILIES[1]]))
    halved = [(f, f.halves) for f in findings if f.halves]
    if halved:
        sentences.append(
            f"Split-half overlap (circuits of half of the prompts each, to be compared with each other only): ARM with "
            f"MDM {_span([h.pair for _, h in halved])}, ARM {_span([h.arm for _, h in halved])}, MDM "
            f"{_span([h.mdm for _, h in halved])}. {told_apart(halved)}"
        )
    return sentences


def against_control(findings: list[Finding]) -> list[str]:
    """How the pair's overlaps stand to those of the step-0 control, where that is computed (Markdown)."""
    known = [(f, f.control) for f in findings if f.control]
    if not known:
        return []
    words = {"lower": "lower than that on", "same": "about the same on", "higher": "higher on"}
    groups = {name: [f for f, control in known if verdict(f.at.jaccard, control.jaccard) == name] for name in words}
    changes = [f"{words[name]} {_titles(group)}" for name, group in groups.items() if group]
    text = (
        "**With no post-training at all, the circuit of the ARM's own weights, run as the MDM is (the step-0 control), "
        f"overlaps with the ARM's by {_span([control.jaccard for _, control in known])}.** The MDM's overlap is "
        f"{'; '.join(changes)}. Where it is no lower, the overlap is no sign that post-training moved the circuit away "
        "from the ARM's."
    )
    unable = [f for f, _ in known if f.cell.control and not can_do(f.cell.task, f.cell.control.accuracy).can]
    if unable:
        text += f" On {_titles(unable)} the control cannot do the task: there its circuit is not informative."
    unmeasured = [f for f, _ in known if f.cell.control and f.cell.control.accuracy is None]
    if unmeasured:
        text += f" On {_titles(unmeasured)} whether the control can do the task is not measured."
    return [text]


def early(findings: list[Finding]) -> str:
    """The MDM's early share on these tasks as a multiple of the ARM's, and the control's."""
    ratio = comparison.printed(mean_of_known([f.at.early_ratio for f in findings]), ".2f")
    controls = [f.control.early_ratio for f in findings if f.control]
    control = f"; the control {comparison.printed(mean_of_known(controls), '.2f')} times" if controls else ""
    return (
        f"On global tasks the MDM puts **{ratio} times** the ARM's share of importance into the first third of the "
        f"layers{control} (published: more than 2)."
    )


def told_apart(halved: list[tuple[Finding, comparison.SplitHalf]]) -> str:
    """On which tasks ARM and MDM differ by more than circuits of other prompts do."""
    more = [f for f, h in halved if differ_beyond_examples(h)]
    if not more:
        return "So on no task shown do ARM and MDM differ clearly more than circuits of other prompts do."
    which = "every task shown" if len(more) == len(halved) > 1 else _titles(more)
    return f"So ARM and MDM differ by more than circuits of other prompts do on {which}."


def direction(local: float, world: float) -> str:
    """How two mean overlaps stand to the published finding, that those of local tasks are larger."""
    return {
        "same": "about the same, where the paper finds the first larger",
        "higher": "as published: the first is larger",
        "lower": "unlike published, where the first is larger",
    }[verdict(local, world)]


def _span(values: list[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def _titles(findings: list[Finding]) -> str:
    return widgets.plain(listed([f.cell.title for f in findings]))


def cells_of(pair: Pair, runs: list[Run]) -> list[Cell]:
    """A pair on every task with a run's defaults."""
    own = [run for run in runs if run.spec.pair == pair.name]
    asked = {task: Question(pair.name, task, dtype=availability.dtype_of(pair, own)) for task in TASKS}
    problems = {model: lifecycle.obstacle(next(iter(asked.values())).spec(model)) for model in ("arm", "mdm")}
    return [cell_of(question, pair, problems, own) for question in asked.values()]


def stored_instead(cell: Cell, runs: list[Run]) -> Cell:
    """The cell, or where it lacks a circuit, the stored runs of both models whose settings are nearest."""
    if cell.arm and cell.mdm:
        return cell
    other = next(availability.stored_questions(cell.question, runs), None)
    if other is None:
        return cell
    arm, mdm, control = (cached_reads.run_of(other.spec(model)) for model in ("arm", "mdm", CONTROL))
    settings = availability.differences(cell.question, other)
    return Cell(cell.pair, cell.task, other, arm, mdm, control=control, settings=settings)


def cell_of(question: Question, pair: Pair, problems: dict[str, str | None], own: list[Run]) -> Cell:
    """The runs of a question, of `own`, the pair's; `problems` by model: why it cannot be computed here."""
    runs = {model: cached_reads.run_of(question.spec(model)) if own else None for model in problems}
    problem = next((problems[model] for model, run in runs.items() if run is None and problems[model]), None)
    control = cached_reads.run_of(question.spec(CONTROL)) if own else None
    no_control = None if control else next(filter(None, problems.values()), None)
    there = {"arm": runs["arm"], "mdm": runs["mdm"], CONTROL: control}
    blocked = {**problems, CONTROL: next(filter(None, problems.values()), None)}
    in_part = tuple(run.spec for m, run in there.items() if run and not blocked[m] and stored.missing(run))
    return Cell(pair, TASKS[question.task], question, runs["arm"], runs["mdm"], problem, control, no_control, in_part)
