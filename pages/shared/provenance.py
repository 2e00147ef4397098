"""Where a figure or a file comes from: said in lines within the figure, in columns of the file, in both their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.runs.records import Run
from engine.runs.solvable import can_do
from engine.tasks.registry import task_named
from pages.figures.palette import NAME

KEY, SHORT_KEY = 10, 8  # characters of a run's key in a figure, in a file's name


@dataclass(frozen=True)
class Origin:
    """The runs that are shown, by what they are called ("ARM", "MDM after 100 steps"), and what is shown of them.

    `k`: how many edges a circuit has, None where nothing depends on it. `about`: what else, as ("answer position 3",).
    """

    runs: tuple[tuple[str, Run], ...]
    k: int | None = None
    about: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """What is shown, by which runs (a line for every task), and how these were made."""
        size = () if self.k is None else (f"K = {self.k:,}",)
        by_task: dict[str, list[str]] = {}
        instead = len(self.runs) > 1 and not any(run.spec.model.startswith(("mdm", "step:")) for _, run in self.runs)
        for name, run in self.runs:
            drawn = " (drawn as MDM)" if instead and run.spec.is_control else ""
            by_task.setdefault(run.spec.task, []).append(f"{name} run {run.key[:KEY]}{drawn}{_marks(run)}")
        runs = [
            ", ".join(told) if len(by_task) == 1 else f"{task}: {', '.join(told)}" for task, told in by_task.items()
        ]
        what = " · ".join((self.runs[0][1].spec.pair, ", ".join(by_task), *size, *self.about))
        return [what, *runs, "; ".join(dict.fromkeys(_how(run) for _, run in self.runs))]

    def stem(self, name: str) -> str:
        """What to call a file that shows `name`, without its ending."""
        first, tasks = self.runs[0][1].spec, list(dict.fromkeys(run.spec.task for _, run in self.runs))
        model = [first.model.replace(":", "")] if len(self.runs) == 1 else []
        size = [] if self.k is None else [f"k{self.k}"]
        keys = [run.key[:SHORT_KEY] for _, run in self.runs[:2]] if len(tasks) == 1 else []
        return "-".join([name, first.pair, *model, *tasks, *size, *keys])

    @property
    def columns(self) -> dict[str, object]:
        """The same for every row of a table."""
        spec = self.runs[0][1].spec
        size = {} if self.k is None else {"k": self.k}
        keys = {f"{run.spec.model.replace(':', '')}_run": run.key for _, run in self.runs}
        return {"pair": spec.pair, "task": spec.task, "method": spec.method, **size, **keys}


def origin(runs: Sequence[Run], k: int | None = None, about: Sequence[str] = ()) -> Origin:
    return Origin(tuple((title(run), run) for run in runs), k, tuple(about))


def title(run: Run) -> str:
    """What a run's model is called beside another."""
    if run.spec.is_control:
        return "Step-0 control"
    step = run.spec.model.partition(":")[2]
    return f"MDM after {int(step):,} steps" if step else NAME[run.spec.model]


def _how(run: Run) -> str:
    spec = run.spec
    if spec.is_imported:  # not by the name of its file, which would be read as HTML
        return "circuit from elsewhere"
    points = f" m = {spec.points}" if spec.method.startswith("eap-ig") else ""
    settings = (spec.metric, f"n = {spec.n}", f"seed {spec.seed}", spec.dtype, *spec.not_usual)
    return ", ".join((f"{spec.method}{points}", *settings))


def _marks(run: Run) -> str:
    """What is to know of a run before believing a picture of it."""
    marks = ["imported"] if run.imported else []
    if not can_do(task_named(run.spec.task), run.accuracy).can:
        marks.append("cannot do the task")
    return f" ({', '.join(marks)})" if marks else ""
