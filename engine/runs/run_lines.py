"""A stored run as lines of text: what it is, how well its model solves the task, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Iterator

from engine.errors import UserError, shortened
from engine.models.pair import model_title
from engine.runs.records import Run, short_key
from engine.runs.solvable import can_do
from engine.runs.spec import RunSpec
from engine.tasks.registry import measured_on, task_named


def described(run: Run, before: str = "", after: str = "") -> Iterator[str]:
    """A run in a line, and what is to be said of it in lines below."""
    yield f"{before}{describe(run)}{after}"
    for remark in run.meta.remarks:
        yield f"  ! {remark}"


def describe(run: Run) -> str:
    """A run in one line: its key, what it is, how well the model solves the task, how an MDM was read."""
    spec = run.spec
    accuracy = "accuracy not measured yet"
    if run.accuracy:
        accuracy = f"accuracy {run.accuracy.accuracy:.1%} of {run.accuracy.accuracy_n} {measured_on(spec.task)}"
    brought = "  imported" if run.imported else ""
    if spec.is_imported:
        brought = f"  from the file {shortened(run.meta.file)}"
    shifted = "" if run.shifted is None else "  shifted" if run.shifted else "  not shifted"
    what = f"{short_key(run.key)}  {spec.pair} / {spec.model} / {spec.task}"
    settings = ", ".join((f"n={spec.n} seed={spec.seed}", *spec.not_usual))
    return f"{what}  {settings}  {accuracy}{shifted}{brought}{unsolved(run)}"


def unsolved(run: Run) -> str:
    """A remark where the model of a run cannot do its task; nothing where it can, or where the task is gone."""
    try:
        able = can_do(task_named(run.spec.task), run.accuracy).can
    except UserError:
        return ""
    return "" if able else "  CANNOT DO THIS TASK: its circuit is not informative"


def named(spec: RunSpec) -> str:
    """A run, whether it is stored or not, as in "MDM, embedded, ioi, eap-ig with 5 points, ..."."""
    return f"{model_title(spec.model)}, {spec.pair}, {spec.task}, {settings_of(spec)}"


def settings_of(spec: RunSpec) -> str:
    """How circuits are computed, as in "eap-ig with 5 points, logit_diff, n = 64, seed 0, float32"."""
    points = f" with {spec.points} points" if spec.method.startswith("eap-ig") else ""
    order = [f"revealed by {spec.order}"] if spec.order != RunSpec.order else []
    settings = (spec.metric, f"n = {spec.n}", f"seed {spec.seed}", spec.dtype, *order, *spec.not_usual)
    return ", ".join((f"{spec.method}{points}", *settings))
