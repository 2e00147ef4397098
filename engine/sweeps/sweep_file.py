"""Read a sweep: a grid of runs, written as a TOML file.

    pairs = ["embedded"]
    tasks = ["ioi", "greater_than"]
    models = ["arm", "mdm", "steps"]    # steps: every checkpoint of a pair
    seeds = [0, 1, 2]
    evidence = ["faithfulness"]

Every field is a list, and every combination of their values is a run; what is left out is as for `python -m engine run`
(`Sweep`). docs/cluster.md explains all fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from engine.errors import UserError
from engine.files.checked import Must, checked
from engine.files.reading import MOST_TOML, read_text, read_toml
from engine.models.pair import DTYPES
from engine.models.pairs import pair_named
from engine.runs.spec import METHODS, RunSpec
from engine.schema.artifacts import KINDS, EvidenceKind, Kind
from engine.tasks.base import Listed
from engine.tasks.registry import available, task_named

EVIDENCE: tuple[EvidenceKind, ...] = ("faithfulness", "knockouts", "audit")  # which need no size to be named
CHECKPOINTS = "steps"  # among models: all checkpoints of a pair
WITH_POINTS = ("eap-ig", "eap-ig-midpoint")  # methods that have a number of integration points
MOST_RUNS = 100_000


def _some_of(choices: tuple[str, ...]) -> Must:
    """One or several of some words, each once."""
    return Must(lambda words: words and set(words) <= set(choices), f"a list of some of: {', '.join(choices)}")


TEXTS = Must(len, "a list of at least one text")
NUMBERS = Must(len, "a list of at least one whole number")
SOME_EVIDENCE = Must(lambda kinds: set(kinds) <= set(EVIDENCE), f"a list of some of: {', '.join(EVIDENCE)}")
THREADS = Must(lambda threads: 1 <= threads <= 1024, "a whole number from 1 to 1024")


@dataclass(frozen=True)
class Sweep:
    """A grid of runs. The fields are RunSpec's, in the plural, except for these.

    `dtype`: of every run; None: what each pair prefers, whatever the machine has, so that every machine of a sweep
    computes the same runs.
    `artifacts`: what of each run; a circuit is computed where evidence needs it, too.
    `evidence`: about each circuit.
    `threads`: of every worker on a CPU. The last digits of a result depend on it, which is why it does not depend on
    how many workers there are.
    """

    name: str
    pairs: Annotated[tuple[str, ...], TEXTS] = (RunSpec.pair,)
    tasks: Annotated[tuple[str, ...], TEXTS] = (RunSpec.task,)
    models: Annotated[tuple[str, ...], TEXTS] = ("arm", "mdm")
    methods: Annotated[tuple[str, ...], _some_of(METHODS)] = (RunSpec.method,)
    points: Annotated[tuple[int, ...], NUMBERS] = (RunSpec.points,)
    metrics: Annotated[tuple[str, ...], TEXTS] = (RunSpec.metric,)
    orders: Annotated[tuple[str, ...], TEXTS] = (RunSpec.order,)
    denoising_steps: Annotated[tuple[int, ...], NUMBERS] = (RunSpec.denoising_steps,)
    templates: Annotated[tuple[int, ...], NUMBERS] = (RunSpec.template,)
    seeds: Annotated[tuple[int, ...], NUMBERS] = (RunSpec.seed,)
    n: Annotated[tuple[int, ...], NUMBERS] = (RunSpec.n,)
    dtype: Annotated[str | None, Must.be_one_of(DTYPES)] = None
    artifacts: Annotated[tuple[str, ...], _some_of(KINDS)] = KINDS
    evidence: Annotated[tuple[str, ...], SOME_EVIDENCE] = ()
    threads: Annotated[int, THREADS] = 1

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Of the artifacts that every run is to have, in the order of computing."""
        return tuple(kind for kind in KINDS if kind in self.artifacts)

    @property
    def evidence_kinds(self) -> tuple[EvidenceKind, ...]:
        return tuple(kind for kind in EVIDENCE if kind in self.evidence)

    def specs(self) -> list[RunSpec]:
        """Every run of the grid, each once, pair by pair and model by model.

        Raises:
            UserError: a pair, task, checkpoint or setting is not there, or they do not go together.
        """
        specs: dict[RunSpec, None] = {}
        for spec in (spec for pair in self.pairs for spec in self._of_pair(pair)):
            specs[spec] = None
            if len(specs) > MOST_RUNS:
                raise UserError(f"The sweep {self.name} has more than {MOST_RUNS} runs, which are the most.")
        return list(specs)

    def _of_pair(self, name: str) -> Iterator[RunSpec]:
        pair = pair_named(name)
        dtype = self.dtype or pair.dtype or DTYPES[0]
        models = [model for word in self.models for model in
                  ([f"step:{step}" for step in pair.steps] if word == CHECKPOINTS else [word])]  # fmt: skip
        for model, task in product(models, self.tasks):
            pair.folder(RunSpec(model=model).model)  # a checkpoint that is not there
            settings = product(self.methods, self.points, self.metrics, self.orders, self.denoising_steps,
                               self.templates, self.seeds, self.n)  # fmt: skip
            for method, points, metric, order, denoising_steps, template, seed, n in settings:
                yield RunSpec(
                    pair=name, model=model, task=task, n=_number_of(task, n), seed=seed, method=method, metric=metric,
                    points=points if method in WITH_POINTS else RunSpec.points, order=order,
                    dtype=dtype, denoising_steps=denoising_steps, template=template,
                )  # fmt: skip


def read(path: str | Path) -> Sweep:
    """The sweep that a file describes; its name is the file's, without the ending.

    Raises:
        UserError: the file cannot be read, a field is unknown, or a value is none that it can have.
    """
    file = Path(path)
    what = f"The sweep {file.name}"
    try:
        text = read_text(file, what, MOST_TOML)
    except OSError as error:
        raise UserError(f"{what} cannot be read: {error.strerror}.") from error
    return sweep_of(file.stem, read_toml(text, what), what)


def sweep_of(name: str, table: dict[str, Any], what: str) -> Sweep:
    """The sweep that a table of fields describes; `what` names it in errors. One value may stand for a list of one.

    Raises:
        UserError: a field is unknown, or a value is none that it can have.
    """
    single = ("dtype", "threads")
    values = {field: value if field in single or isinstance(value, list) else [value] for field, value in table.items()}
    return checked(Sweep, values, what, f"in {what[0].lower()}{what[1:]}", name=name)


def _number_of(task: str, n: int) -> int:
    """How many examples a run has: own prompts and problems of a file have only their rows."""
    there = task_named(task)
    return available(there, n) if isinstance(there, Listed) else n
