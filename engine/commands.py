"""What the commands of `python -m engine` do: each yields the lines it has to say; progress goes to standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from engine.circuits import comparison
from engine.circuits.filters import Filters
from engine.circuits.graph import graph_of
from engine.errors import UserError
from engine.exchange import bundle as bundles
from engine.exchange import export as exports
from engine.exchange.prompts_csv import MOST_BYTES, checked_csv
from engine.files.writing import put_back, refuse_existing, write_new
from engine.models.pair import CONTROL
from engine.models.pairs import Pair, file_of, keep, kept_pairs, pair_named, same_weights
from engine.runs import kept_pairs as kept
from engine.runs import lifecycle, read
from engine.runs.device_plan import shape_of
from engine.runs.records import Progress, Run, short_key
from engine.runs.solvable import can_do
from engine.runs.spec import RunSpec
from engine.tasks import OwnPrompts, ProblemFile, measured_on, own_prompts, task_named
from engine.tasks.countdown import problem_file, published_format
from engine.tasks.own_prompts import LONGEST_TITLE

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


def run(spec: RunSpec, models: Sequence[str], compute: lifecycle.Compute | None = None) -> Iterator[str]:
    """The runs of a spec for every model, computed where the cache has none."""
    specs = [replace(spec, model=model) for model in models]
    _refuse_early(specs)
    for one in specs:
        yield from told(_ready(one, compute))
    if said := same_weights(pair_named(spec.pair)):
        yield said


def compare(
    spec: RunSpec,
    sizes: Sequence[int],
    with_steps: bool,
    compute: lifecycle.Compute | None = None,
    with_control: bool = True,
) -> Iterator[str]:
    """Overlap of ARM and MDM at every size, beside what it is read against: control, chance, halves of the examples."""
    pair, task = pair_named(spec.pair), task_named(spec.task)
    steps = pair.steps if with_steps else ()
    specs = [replace(spec, model=model) for model in ("arm", "mdm", *(f"step:{step}" for step in steps))]
    _refuse_sizes(sizes, _n_edges(specs[0], pair))
    _refuse_early(specs)
    arm, mdm = (_ready(one, compute) for one in specs[:2])
    _refuse_sizes(sizes, arm.meta.graph.n_edges)
    control, without = _control(spec, compute) if with_control else (None, "left out (--no-control)")
    yield f"{pair.title} on {task.title}: {_choices(spec)}"
    yield ""
    yield TITLES
    for size in sizes:
        yield _comparison(arm, mdm, control, size)
    yield ""
    yield from LEGEND
    if not (arm.has_halves and mdm.has_halves):
        yield "half: none, as there are no halves of a single example"
    yield from told(arm, "ARM: ")
    yield from told(mdm, "MDM: ")
    if control:
        yield from told(control, "control: ")
    else:
        yield f"control: {without}"
    if said := same_weights(pair):
        yield said
    if with_steps:
        yield from _along_training(pair, spec, arm, sizes, compute)


def keep_pair(pair: Pair, undo: ExitStack) -> Pair:
    """Keep a pair, unless it is kept as it is; `undo` puts back what was there, where no run of the pair was stored."""
    if pair != kept_pairs().get(pair.name):
        _put_back(undo, file_of(pair.name), "pair", pair.name)
        keep(pair)
    return pair_named(pair.name)


def save_prompts(file: str, pair: str, n: int | None, undo: ExitStack) -> tuple[OwnPrompts, tuple[str, ...]]:
    """Keep the rows of a CSV file, or its first `n`, as a task; with it what to know of how they were read.

    `undo`: as in `keep_pair`.

    Raises:
        UserError: the file cannot be read, or what is wrong in which row.
    """
    checked = checked_csv(_content(file, MOST_BYTES), pair_named(pair), n)
    title = Path(file).stem if n is None else f"{Path(file).stem[: LONGEST_TITLE - 20]}, first {n} rows"
    name = own_prompts.name_of(checked.rows)
    _put_back(undo, own_prompts.file_of(name), "task", name)
    return own_prompts.save(checked.rows, title, pair, checked.repeated), checked.notes


def save_problems(file: str, undo: ExitStack) -> ProblemFile:
    """Keep the COUNTDOWN problems of a file in the published format as a task; `undo` as in `keep_pair`.

    Raises:
        UserError: the file cannot be read, or what is wrong in which line.
    """
    rows = published_format.read(_content(file, published_format.MOST_BYTES), Path(file).name)
    found = problem_file.paired(rows, Path(file).stem)
    _put_back(undo, problem_file.file_of(found.name), "task", found.name)
    return problem_file.keep(found)


def _put_back(undo: ExitStack, file: Path, field: str, name: str) -> None:
    """Let `undo` leave a file as it is now, unless there is a run whose spec names it by then."""
    before = put_back(file)

    def unless_used() -> None:
        if not any(getattr(run.spec, field) == name for run in lifecycle.list_runs()):
            before()

    undo.callback(unless_used)


def write_problems(file: str, operands: int, n: int, seed: int) -> Iterator[str]:
    """Write COUNTDOWN problems in the published format."""
    path = Path(file)
    content = published_format.written(published_format.drawn(operands, n, seed))
    write_new(path, content.encode())
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
    for found in lifecycle.list_runs():
        yield from told(found, after=f"  {found.created}")
    said = lifecycle.notice()
    if said:
        yield said


def export(key: str, k: int, format: str, part: str, filters: Filters, out: str | None) -> Iterator[str]:
    """Write what filters leave of a circuit to a file; `key` may be the beginning of the run's."""
    run = lifecycle.get(lifecycle.key_beginning(key))
    _refuse_sizes([k], run.meta.graph.n_edges)
    file = Path(out or exports.file_name(run, k, format, part, filters))
    found = exports.circuit(run.key, k, part, filters)
    content = exports.FORMATS[format](found)
    write_new(file, content)
    chosen = f" of {k} edges ({', '.join(filters.words)})" if filters.active else " edges"
    yield f"{file}: {found.kept.sum()}{chosen}, {len(content)} bytes"


def bundle(file: str, pair: str, task: str | None) -> Iterator[str]:
    """Write the runs of a pair to a bundle."""
    refuse_existing(Path(file))
    written = bundles.write(Path(file), pair, task)
    yield f"{file}: {written.runs} runs, {written.size / 2**20:.1f} MiB"
    if written.left_out:
        yield f"{written.left_out} runs are left out: they are older than bundles, or their prompts are gone."


def take(file: str) -> Iterator[str]:
    """Take the runs of a bundle into the cache."""
    taken = bundles.take(Path(file))
    known = f", {taken.known} were here before" if taken.known else ""
    yield f"{file}: {taken.added} runs of the pair {taken.pair} added{known}."


def list_pairs() -> Iterator[str]:
    """The pairs that were kept."""
    for one in kept.kept():
        pair, runs = one.pair, f"{one.runs} run" + ("s" if one.runs != 1 else "")
        yield f"{pair.name}  {pair.title}  {runs}"
        yield f"    ARM {pair.arm}, MDM {pair.mdm}"
        if pair.how_read:
            yield f"    {pair.how_read}"


def rename_pair(name: str, title: str) -> Iterator[str]:
    """Give a kept pair another title."""
    yield f"{name} is now called {kept.rename(name, title).title}."


def remove_pair(name: str, with_runs: bool) -> Iterator[str]:
    """Forget a kept pair, and delete its runs where that is asked for."""
    gone = kept.remove(name, with_runs)
    runs = f"{gone.runs} run" + ("s" if gone.runs != 1 else "")
    if not gone.runs:
        yield f"{name} is removed."
    elif with_runs:
        yield f"{name} is removed, and {runs} with it."
    else:
        yield f"{name} is removed. {runs} of it stay in the cache and are found when the same models are named again."


def train(out: str, chosen: Mapping[str, Any]) -> Iterator[str]:
    """Make the embedded pair again, into a folder."""
    _refuse_full(Path(out))
    from engine.training.train import TrainSpec
    from engine.training.train import train as make

    with _bar("training") as show:
        make(TrainSpec(**chosen), Path(out), lambda stage, step, steps, loss: show(Progress(stage, step, steps)))
    yield f"Written to {out}."


def describe(found: Run) -> str:
    """A run in one line: its key, what it is, how well the model solves the task, how an MDM was read."""
    spec, meta = found.spec, found.meta
    accuracy = f"accuracy {meta.accuracy:.1%} of {meta.accuracy_n} {measured_on(spec.task)}"
    brought = "  imported" if found.imported else ""
    shifted = "" if found.shifted is None else "  shifted" if found.shifted else "  not shifted"
    what = f"{short_key(found.key)}  {spec.pair} / {spec.model} / {spec.task}"
    return f"{what}  n={spec.n} seed={spec.seed}  {accuracy}{shifted}{brought}{_unsolved(found)}"


def _unsolved(run: Run) -> str:
    """A remark where the model of a run cannot do its task; nothing where it can, or where the task is gone."""
    try:
        able = can_do(task_named(run.spec.task), run.meta).can
    except UserError:
        return ""
    return "" if able else "  CANNOT DO THIS TASK: its circuit explains little"


def _refuse_early(specs: Sequence[RunSpec]) -> None:
    """Refuse what cannot be asked for before the first of the runs is computed."""
    for spec in specs:
        if lifecycle.find(spec) is None and (said := lifecycle.obstacle(spec)):
            raise UserError(said)


def _refuse_sizes(sizes: Sequence[int], n_edges: int | None) -> None:
    for size in sizes:
        if n_edges is not None and size > n_edges:
            raise UserError(f"--k has {size}, but this circuit has {n_edges} edges. Choose at most that.")


def _n_edges(arm: RunSpec, pair: Pair) -> int | None:
    """How many edges a pair's circuits have, before anything is loaded; None where neither run nor config tells."""
    found = lifecycle.find(arm)
    if found:
        return found.meta.graph.n_edges
    shape = shape_of(pair)
    return None if shape is None else graph_of(shape.layers, shape.heads).n_edges


def _refuse_full(folder: Path) -> None:
    """Refuse to train into a folder that holds something, as it would be overwritten."""
    try:
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise UserError(f"{folder} is there already and not an empty folder. Choose another one.")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise UserError(f"The folder {folder} cannot be made: {error}.") from error


def told(found: Run, before: str = "", after: str = "") -> Iterator[str]:
    """A run in a line, and what is to be said of it in lines below."""
    yield f"{before}{describe(found)}{after}"
    for remark in found.meta.remarks:
        yield f"  ! {remark}"


@contextmanager
def _bar(title: str) -> Iterator[lifecycle.OnProgress]:
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


def _ready(spec: RunSpec, compute: lifecycle.Compute | None) -> Run:
    with _bar(f"{spec.pair} / {spec.model} / {spec.task}") as show:
        return lifecycle.run(spec, show, compute)


def _control(spec: RunSpec, compute: lifecycle.Compute | None) -> tuple[Run | None, str]:
    """The run of the step-0 control, else why there is none: the comparison does not wait for it."""
    try:
        return _ready(replace(spec, model=CONTROL), compute), ""
    except UserError as error:
        return None, f"not computed: {error}"


def _choices(spec: RunSpec) -> str:
    points = f" with {spec.points} points" if spec.method.startswith("eap-ig") else ""
    return f"{spec.method}{points}, {spec.metric}, n = {spec.n}, seed {spec.seed}, {spec.dtype}"


def _comparison(arm: Run, mdm: Run, control: Run | None, size: int) -> str:
    """One line of the table, under TITLES."""
    found, halves = _compared(arm, mdm, size), read.split_half(arm, mdm, size)
    at_step_0 = _compared(arm, control, size) if control else None
    overlap = f"{found.jaccard:7.3f}  {_cell(at_step_0, 'jaccard', 7)}  {found.chance:7.4f}"
    split = "  ".join(_cell(halves, which, width) for which, width in (("pair", 9), ("arm", 8), ("mdm", 8)))
    shares = "  ".join(_cell(side, "early_share", 9) for side in (found.arm, found.mdm))
    early = f"{shares}  {_cell(found, 'early_ratio', 6, 2)}  {_cell(at_step_0, 'early_ratio', 10, 2)}"
    spread = f"{found.arm.effective_number:9.1f}  {found.mdm.effective_number:9.1f}"
    return f"{size:6d}  {overlap}  {split}  {early}  {spread}"


def _compared(arm: Run, other: Run, size: int) -> comparison.Comparison:
    of_arm, of_other = (read.edge_table(one.key, limit=size) for one in (arm, other))
    return comparison.compare(arm.meta.graph, of_arm, of_other, size)


def _cell(found: object | None, name: str, width: int, digits: int = 3) -> str:
    """A number of what was found, for a table's cell; "none" where there is none."""
    value = float("nan") if found is None else getattr(found, name)
    return f"{comparison.printed(value, f'.{digits}f'):>{width}}"


def _along_training(
    pair: Pair, spec: RunSpec, arm: Run, sizes: Sequence[int], compute: lifecycle.Compute | None
) -> Iterator[str]:
    yield ""
    yield "Overlap with the ARM along post-training"
    yield "(in brackets, on half of the examples each: the ARM with the checkpoint, the checkpoint's own two halves)"
    yield "    step" + "".join(f"  {f'K={size}':>21}" for size in sizes) + "  accuracy  run"
    for step in pair.steps:
        found = _ready(replace(spec, model=f"step:{step}"), compute)
        cells = "".join(f"  {_overlap_with_halves(arm, found, size)}" for size in sizes)
        yield f"{step:8d}{cells}  {found.meta.accuracy:8.1%}  {short_key(found.key)}{_unsolved(found)}"


def _overlap_with_halves(arm: Run, found: Run, size: int) -> str:
    halves = read.split_half(arm, found, size)
    half = f"{_cell(halves, 'pair', 5)} {_cell(halves, 'mdm', 5)}"
    return f"{read.overlap(arm.key, found.key, size):7.3f} ({half})"
