"""What the commands of `python -m engine` do: each yields the lines it has to say; progress goes to standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from engine import bundle as bundles
from engine import circuit, pipeline
from engine import export as exports
from engine.errors import UserError
from engine.filters import Filters
from engine.memory import fitting_dtype
from engine.pairs import Pair, forget, keep, pair_named, pair_of_two, same_weights
from engine.prompt_csv import MOST_BYTES, checked_csv
from engine.records import Progress, Run
from engine.spec import RunSpec
from engine.tasks import OwnPrompts, ProblemFile, countdown_file, measured_on, own, task_named
from engine.tasks.own import LONGEST_TITLE

TITLES = "     K  overlap   chance  ARM halves  MDM halves  early ARM  early MDM   ratio  comps ARM  comps MDM"


def run(spec: RunSpec, models: Sequence[str], compute: pipeline.Compute | None = None) -> Iterator[str]:
    """The runs of a spec for every model, computed where the cache has none."""
    specs = [replace(spec, model=model) for model in models]
    for one in specs:
        if pipeline.find(one) is None:
            pipeline.key_of(one)
    for one in specs:
        yield from told(_ready(one, compute))
    if said := same_weights(pair_named(spec.pair)):
        yield said


def compare(
    spec: RunSpec, sizes: Sequence[int], with_steps: bool, compute: pipeline.Compute | None = None
) -> Iterator[str]:
    """Overlap of ARM and MDM at every size, beside chance and each model's overlap with its own other half."""
    pair, task = pair_named(spec.pair), task_named(spec.task)
    arm, mdm = (_ready(replace(spec, model=model), compute) for model in ("arm", "mdm"))
    n_edges = arm.meta.graph.n_edges
    for size in sizes:
        if size > n_edges:
            raise UserError(f"--k has {size}, but these circuits have {n_edges} edges. Choose at most that.")
    yield f"{pair.title} on {task.title}: {_choices(spec)}"
    yield ""
    yield TITLES
    for size in sizes:
        yield _comparison(arm, mdm, size)
    yield ""
    yield "chance: two random circuits of K edges; halves: a model with itself, even against odd examples;"
    yield "early: share of component importance in the first third of the layers; ratio: MDM / ARM;"
    yield "comps: effective number of components"
    yield from told(arm, "ARM: ")
    yield from told(mdm, "MDM: ")
    if said := same_weights(pair):
        yield said
    if with_steps:
        yield from _along_training(pair, spec, arm, sizes, compute)


def read_rightly(name: str, task: str, dtype: str | None) -> tuple[str, str]:
    """The kept pair, of two that differ in `shifted` only, whose MDM is read as it was trained; and how that is known.

    Where neither its config nor earlier runs tell, the model's answers do (engine/shift.py). `name` is the pair of the
    two that is not shifted.
    """
    pair = pair_named(name)
    if pair.shifted:
        return name, ""
    other = pair_of_two(pair.arm, pair.mdm, pair.mask, shifted=True)
    before = [found.spec.pair for found in pipeline.list_runs() if found.spec.pair in (name, other.name)]
    chosen, known = (before[0], "") if before else _tried(name, other.name, task, dtype or fitting_dtype(pair))
    if chosen == other.name and name not in before:
        forget(name)
        keep(other)
    return chosen, known


def _tried(name: str, shifted: str, task: str, dtype: str) -> tuple[str, str]:
    from engine.shift import readings

    found = readings(name, task, dtype)
    taken = "shifted (--not-shifted says otherwise)" if found.shifted else "not shifted (--shifted says otherwise)"
    return shifted if found.shifted else name, (
        f"The MDM's files don't say whether it predicts shifted. Its right answers have {found.before:.2f} nats a "
        f"token read from the position before, {found.there:.2f} read where they stand: taken as {taken}."
    )


def save_prompts(file: str, pair: str, n: int | None = None) -> tuple[OwnPrompts, tuple[str, ...]]:
    """Keep the rows of a CSV file, or its first `n`, as a task; with it what to know of how they were read.

    Raises:
        UserError: the file cannot be read, or what is wrong in which row.
    """
    read = checked_csv(_content(file, MOST_BYTES), pair_named(pair), n)
    title = Path(file).stem if n is None else f"{Path(file).stem[: LONGEST_TITLE - 20]}, first {n} rows"
    return own.save(read.rows, title, pair, read.repeated), read.notes


def save_problems(file: str) -> ProblemFile:
    """Keep the COUNTDOWN problems of a file in the published format as a task.

    Raises:
        UserError: the file cannot be read, or what is wrong in which line.
    """
    rows = countdown_file.read(_content(file, countdown_file.MOST_BYTES), Path(file).name)
    return countdown_file.save(rows, Path(file).stem)


def write_problems(file: str, operands: int, n: int, seed: int) -> Iterator[str]:
    """Write COUNTDOWN problems in the published format."""
    path, content = Path(file), countdown_file.written(countdown_file.drawn(operands, n, seed))
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
    yield f"{path}: {n} problems with {operands} operands"


def _content(file: str, most: int) -> bytes:
    """The first `most` + 1 bytes of a file."""
    try:
        with Path(file).open("rb") as stream:
            return stream.read(most + 1)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error


def list_runs() -> Iterator[str]:
    """The cache's runs, newest first."""
    for found in pipeline.list_runs():
        yield from told(found, after=f"  {found.created}")
    said = pipeline.notice()
    if said:
        yield said


def export(key: str, k: int, format: str, part: str, filters: Filters, out: str | None) -> Iterator[str]:
    """Write what filters leave of a circuit to a file."""
    file = Path(out or exports.file_name(pipeline.get(key), k, format, part, filters))
    found = exports.circuit(key, k, part, filters)
    content = exports.FORMATS[format](found)
    try:
        file.write_bytes(content)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}.") from error
    chosen = f" of {k} edges ({', '.join(filters.words)})" if filters.active else " edges"
    yield f"{file}: {found.kept.sum()}{chosen}, {len(content)} bytes"


def bundle(file: str, pair: str, task: str | None) -> Iterator[str]:
    """Write the runs of a pair to a bundle."""
    written = bundles.write(Path(file), pair, task)
    yield f"{file}: {written.runs} runs, {written.size / 2**20:.1f} MiB"
    if written.left_out:
        yield f"{written.left_out} runs are left out: they are older than bundles, or their prompts are gone."


def take(file: str) -> Iterator[str]:
    """Take the runs of a bundle into the cache."""
    taken = bundles.take(Path(file))
    known = f", {taken.known} were here before" if taken.known else ""
    yield f"{file}: {taken.added} runs of the pair {taken.pair} added{known}."


def train(out: str, chosen: Mapping[str, Any]) -> Iterator[str]:
    """Make the embedded pair again, into a folder."""
    from engine.training import TrainSpec
    from engine.training import train as make

    with _bar("training") as show:
        make(TrainSpec(**chosen), Path(out), lambda stage, step, steps, loss: show(Progress(stage, step, steps)))
    yield f"Written to {out}."


def describe(found: Run) -> str:
    """A run in one line: its key, what it is, how well the model solves the task."""
    spec, meta = found.spec, found.meta
    accuracy = f"accuracy {meta.accuracy:.1%} of {meta.accuracy_n} {measured_on(spec.task)}"
    brought = "  imported" if found.imported else ""
    return f"{found.key}  {spec.pair} / {spec.model} / {spec.task}  n={spec.n} seed={spec.seed}  {accuracy}{brought}"


def told(found: Run, before: str = "", after: str = "") -> Iterator[str]:
    """A run in a line, and what is to be said of it in lines below."""
    yield f"{before}{describe(found)}{after}"
    for remark in found.meta.remarks:
        yield f"  ! {remark}"


@contextmanager
def _bar(title: str) -> Iterator[pipeline.OnProgress]:
    """A progress bar on standard error; silent when that is not a terminal, gone when the work is done."""
    with tqdm(disable=None, leave=False, file=sys.stderr) as bar:
        stages = [""]

        def show(progress: Progress) -> None:
            if progress.stage != stages[-1]:
                stages.append(progress.stage)
                bar.reset()
                bar.set_description(f"{title}: {progress.stage}")
            bar.total = progress.total or None
            bar.update(progress.done - bar.n)

        yield show


def _ready(spec: RunSpec, compute: pipeline.Compute | None) -> Run:
    with _bar(f"{spec.pair} / {spec.model} / {spec.task}") as show:
        return pipeline.run(spec, show, compute)


def _choices(spec: RunSpec) -> str:
    points = f" with {spec.points} points" if spec.method.startswith("eap-ig") else ""
    return f"{spec.method}{points}, {spec.metric}, n = {spec.n}, seed {spec.seed}, {spec.dtype}"


def _comparison(arm: Run, mdm: Run, size: int) -> str:
    """One line of the table, under TITLES."""
    of_arm, of_mdm = (pipeline.edge_table(one.key, limit=size) for one in (arm, mdm))
    found = circuit.compare(arm.meta.graph, of_arm, of_mdm, size)
    halves = [f"{_with_itself(one, size):>10}" for one in (arm, mdm)]
    overlap = f"{found.jaccard:7.3f}  {found.chance:7.4f}  {halves[0]}  {halves[1]}"
    shares = [f"{circuit.written(side.early_share, '.3f'):>9}" for side in (found.arm, found.mdm)]
    early = f"{shares[0]}  {shares[1]}  {circuit.written(found.early_ratio, '.2f'):>6}"
    spread = f"{found.arm.effective_number:9.1f}  {found.mdm.effective_number:9.1f}"
    return f"{size:6d}  {overlap}  {early}  {spread}"


def _with_itself(run: Run, size: int) -> str:
    """Overlap of a model's circuits on the two halves of the examples; "none" of one example."""
    return f"{pipeline.overlap(run.key, run.key, size, 'half-a', 'half-b'):.3f}" if run.has_halves else "none"


def _along_training(
    pair: Pair, spec: RunSpec, arm: Run, sizes: Sequence[int], compute: pipeline.Compute | None
) -> Iterator[str]:
    yield ""
    yield "Overlap with the ARM along post-training (in brackets: the checkpoint's own two halves)"
    yield "    step" + "".join(f"  {f'K={size}':>15}" for size in sizes) + "  accuracy  run"
    for step in pair.steps:
        found = _ready(replace(spec, model=f"step:{step}"), compute)
        overlaps = [(pipeline.overlap(arm.key, found.key, size), _with_itself(found, size)) for size in sizes]
        cells = "".join(f"  {overlap:7.3f} ({itself})" for overlap, itself in overlaps)
        yield f"{step:8d}{cells}  {found.meta.accuracy:8.1%}  {found.key}"
