"""Which stored runs a report is of: of every task an ARM's and an MDM's circuit with the same settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import UserError
from engine.models.pair import CONTROL
from engine.runs import stored
from engine.runs.evidence_summary import ModelEvidence, evidence_of_run
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.tasks.registry import TASKS, task_named

SETTINGS = ("n", "seed", "method", "points", "metric", "order", "denoising_steps", "template", "dtype")  # flags' names


@dataclass(frozen=True)
class Question:
    """A task, both models' circuits with the evidence of them that is there, and the control's circuit if it is."""

    task: str
    arm: ModelEvidence
    mdm: ModelEvidence
    control: Run | None

    @property
    def title(self) -> str:
        return task_title(self.task)

    @property
    def models(self) -> tuple[tuple[str, ModelEvidence], tuple[str, ModelEvidence]]:
        return ("ARM", self.arm), ("MDM", self.mdm)


def questions(pair: str, tasks: Sequence[str] | None, settings: Mapping[str, Any]) -> list[Question]:
    """Of every task that is asked for (None: of all that are stored) the runs with these `settings` of RunSpec.

    Where there are several, because n or the number format is not given, it is those with most evidence; among them
    with most examples, then the newest.

    Raises:
        UserError: there is no such task, there are no such circuits of a task that is asked for, or none at all.
    """
    runs = [run for run in stored.list_runs() if run.spec.pair == pair]
    there = [question for task in _in_order(runs) if (question := _question(task, runs, settings))]
    known = {question.task for question in there}
    absent = [task for task in tasks or () if task not in known]
    if absent or not there:
        if absent:
            task_named(absent[0])  # refuses one that there is not
        of_task = f" --task {absent[0]}" if absent else ""
        on = f" on {absent[0]!r}" if absent else ""
        raise UserError(
            f"No circuits of both models of the pair {pair!r}{on} with these settings are stored. Compute them with "
            f"`python -m engine evidence --pair {pair}{of_task}{_flags(settings)}`."
        )
    return [question for question in there if tasks is None or question.task in tasks]


def command_for(spec: RunSpec, only: str) -> str:
    """The command that computes evidence of the runs with the settings of a spec."""
    flags = _flags({name: getattr(spec, name) for name in SETTINGS})
    return f"python -m engine evidence --pair {spec.pair} --task {spec.task}{flags} --only {only}"


def _flags(chosen: Mapping[str, Any]) -> str:
    """Those of the settings that are not the usual ones."""
    usual = RunSpec()
    values = {name: value for name, value in chosen.items() if value != getattr(usual, name)}
    return "".join(f" --{name.replace('_', '-')} {value}" for name, value in values.items())


def task_title(name: str) -> str:
    """A task's title; its name where its rows are gone."""
    try:
        return task_named(name).title
    except UserError:
        return name


def _in_order(runs: Sequence[Run]) -> list[str]:
    """The tasks of runs: those of this program first, then own prompts and files by name."""
    tasks = {run.spec.task for run in runs}
    return [task for task in TASKS if task in tasks] + sorted(tasks - set(TASKS))


def _question(task: str, runs: Sequence[Run], settings: Mapping[str, Any]) -> Question | None:
    """Of the runs, newest first, the best on a task with these settings of the MDM."""
    by_spec: dict[Any, Run] = {}
    for run in runs:
        by_spec.setdefault(run.spec, run)
    best: tuple[int, int, str] | None = None
    result = None
    for mdm in by_spec.values():
        arm = by_spec.get(replace(mdm.spec, model="arm"))
        fits = all(getattr(mdm.spec, name) == value for name, value in settings.items())
        if mdm.spec.model != "mdm" or mdm.spec.task != task or arm is None or not fits:
            continue
        sides = evidence_of_run(arm, mdm), evidence_of_run(mdm, arm)
        rank = (sum(len(side.by_kind) for side in sides), mdm.spec.n, mdm.created)
        if best is None or rank > best:
            best, result = rank, Question(task, *sides, by_spec.get(replace(mdm.spec, model=CONTROL)))
    return result
