"""Circuits from elsewhere as a choice of the method: what such a method is called, and which run it means.

The method of an address is "imported-SOURCE" (engine/runs/spec.py). The model whose circuit it is is shown with it; the
other model, whose circuit was computed, with the default method.
"""

from __future__ import annotations

from engine.runs import stored
from engine.runs.records import Run
from engine.runs.spec import IMPORTED, RunSpec

PREFIX = f"{IMPORTED}-"


def method_of(spec: RunSpec) -> str:
    """What an address and the picker call the method of a run."""
    return f"{PREFIX}{spec.source}" if spec.is_imported else spec.method


def runs_of(method: str) -> list[Run]:
    """The stored circuits from elsewhere that a method means, newest first; none of a method that is computed."""
    return [run for run in stored.list_runs() if run.spec.is_imported and method_of(run.spec) == method]


def methods_for(pair: str, task: str) -> dict[str, str]:
    """The methods that mean a circuit of a pair on a task, each with what the picker calls it."""
    there = [run for run in stored.list_runs() if run.spec.is_imported]
    of_task = [run for run in there if (run.spec.pair, run.spec.task) == (pair, task)]
    return {method_of(run.spec): title_of(run) for run in of_task}


def title_of(run: Run) -> str:
    return f"imported: {run.meta.file}"


def run_for(method: str, pair: str, task: str, model: str) -> Run | None:
    """The circuit of a model that a method means; None where it means none of that model."""
    wanted = (pair, task, model)
    return next((run for run in runs_of(method) if (run.spec.pair, run.spec.task, run.spec.model) == wanted), None)
