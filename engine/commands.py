"""What the commands of `python -m engine` do: each yields its lines of output; progress goes to standard error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine import settings
from engine.circuits.filters import Filters
from engine.circuits.graph import graph_of
from engine.errors import UserError
from engine.exchange import bundle as bundles
from engine.exchange import export as exports
from engine.exchange import import_circuit as circuits
from engine.exchange.circuit import Other
from engine.files.writing import make_empty, refuse_existing, write_new
from engine.models.pair import CONTROL
from engine.models.pairs import Pair, pair_named, same_weights
from engine.runs import kept_pairs as kept
from engine.runs import lifecycle, stored
from engine.runs.comparison_lines import LEGEND, TITLES, overlap_with_halves, table_line
from engine.runs.device_plan import shape_of
from engine.runs.execution import Compute
from engine.runs.provenance import METHOD_VERSION
from engine.runs.records import Progress, Run, short_key, size_text
from engine.runs.run_lines import described, settings_of, unsolved
from engine.runs.spec import RunSpec
from engine.schema.artifacts import EVIDENCE_KINDS, KIND_TITLES, KINDS, AnyKind
from engine.tasks.countdown import published_format
from engine.tasks.registry import task_named
from engine.terminal import shown_progress


def run(spec: RunSpec, models: Sequence[str], compute: Compute | None = None) -> Iterator[str]:
    """The runs of a spec for every model, computed where the cache has none."""
    specs = [replace(spec, model=model) for model in models]
    refuse_early(specs)
    for ready in _ready(specs, compute):
        yield from described(ready)
    if remark := same_weights(pair_named(spec.pair)):
        yield remark


def compare(
    spec: RunSpec,
    sizes: Sequence[int],
    with_steps: bool,
    compute: Compute | None = None,
    with_control: bool = True,
    in_place: str | None = None,
) -> Iterator[str]:
    """Overlap of ARM and MDM at every size, beside what it is read against: control, chance, halves of the examples.

    `in_place`: the beginning of the key of a stored run that takes the place of the ARM's or the MDM's.
    """
    pair, task = pair_named(spec.pair), task_named(spec.task)
    steps = pair.steps if with_steps else ()
    specs = [replace(spec, model=model) for model in ("arm", "mdm", *(f"step:{step}" for step in steps))]
    refuse_sizes(sizes, n_edges_of(specs[0], pair))
    arm, mdm = _both(specs, _standing_in(in_place, spec), compute)
    refuse_sizes(sizes, arm.meta.graph.n_edges)
    control, without = _control(spec, compute) if with_control else (None, "left out (--no-control)")
    yield f"{pair.title} on {task.title}: {settings_of(spec)}"
    yield ""
    yield TITLES
    for size in sizes:
        yield table_line(arm, mdm, control, size)
    yield ""
    yield from LEGEND
    if not (arm.has_halves and mdm.has_halves):
        of = "circuit from elsewhere" if arm.spec.is_imported or mdm.spec.is_imported else "single example"
        yield f"half: none, as there are no halves of a {of}"
    yield from described(arm, "ARM: ")
    yield from described(mdm, "MDM: ")
    if control:
        yield from described(control, "control: ")
    else:
        yield f"control: {without}"
    if remark := same_weights(pair):
        yield remark
    if with_steps:
        yield from _along_training(pair, spec, arm, sizes, compute)


def _standing_in(key: str | None, spec: RunSpec) -> Run | None:
    """The stored run that a comparison on the pair and task of `spec` names."""
    if key is None:
        return None
    run = stored.get(stored.key_beginning(key))
    if (run.spec.pair, run.spec.task) != (spec.pair, spec.task):
        raise UserError(
            f"The run {short_key(run.key)} is of the pair {run.spec.pair} on {run.spec.task}, and the comparison of "
            f"{spec.pair} on {spec.task}. Name those of the run with --pair and --task."
        )
    return run


def _both(specs: Sequence[RunSpec], given: Run | None, compute: Compute | None) -> tuple[Run, Run]:
    """The ARM's and the MDM's run, one of which `given` is; the first two of `specs` are theirs."""
    replaced = None if given is None else specs[0 if given.spec.is_arm else 1]
    refuse_early([own for own in specs if own != replaced])
    arm, mdm = (given if own == replaced else None for own in specs[:2])
    ready = iter(_ready([own for own in specs[:2] if own != replaced], compute))
    return arm or next(ready), mdm or next(ready)


def write_problems(file: str, operands: int, n: int, seed: int) -> Iterator[str]:
    """Write COUNTDOWN problems in the published format."""
    path = Path(file)
    content = published_format.written(published_format.drawn(operands, n, seed))
    write_new(path, content.encode())
    yield f"{path}: {n} problems with {operands} operands"


def list_runs() -> Iterator[str]:
    """The cache's runs, newest first, the artifacts of each with their sizes, and what each kind takes in all."""
    runs = stored.list_runs()
    if not runs:
        yield f"There are no runs in the cache {settings.cache_dir()}."
    for run, sizes in zip(runs, stored.sizes_of_runs(runs), strict=True):
        version = run.method_version or "unknown"
        older = "" if version == METHOD_VERSION else f"  method version {version}, now {METHOD_VERSION}"
        yield from described(run, after=f"  {run.created}{older}")
        yield f"    {_artifacts(sizes)}"
    yield from _sizes()
    notice = stored.notice()
    if notice:
        yield notice


def _artifacts(sizes: Mapping[AnyKind, int]) -> str:
    own = [f"{KIND_TITLES[kind]} {size_text(sizes[kind]) if kind in sizes else 'missing'}" for kind in KINDS]
    return ", ".join(
        own + [f"{KIND_TITLES[kind]} {size_text(sizes[kind])}" for kind in EVIDENCE_KINDS if kind in sizes]
    )


def _sizes() -> Iterator[str]:
    totals = stored.sizes()
    if totals:
        parts = ", ".join(f"{KIND_TITLES[kind]} {size_text(size)}" for kind, size in totals.items())
        yield f"In all {size_text(sum(totals.values()))}: {parts}. Runs share what does not depend on their settings."


def prune(older_than: timedelta, keep_bundles: bool) -> Iterator[str]:
    """Delete old runs, and say how much that freed."""
    runs, freed = stored.prune(older_than, keep_bundles)
    yield f"{runs} run{'s' * (runs != 1)} deleted, {size_text(freed)} freed."


def export(
    key: str, k: int, format: str, part: str, filters: Filters, other: Other | None, out: str | None
) -> Iterator[str]:
    """Write what filters leave of a circuit to a file; the keys of runs may be beginnings of them."""
    run = stored.get(stored.key_beginning(key))
    refuse_sizes([k], run.meta.graph.n_edges)
    if other is None and filters.show != "all":
        raise UserError(f"--show {filters.show} compares with another run. Name it with --other.")
    if other is not None:
        other = replace(other, key=stored.key_beginning(other.key))
    file = Path(out or exports.file_name(run, k, format, part, filters))
    exported = exports.circuit_for(format, run.key, k, part, filters, other)
    chosen = int(exported.kept.sum())
    size = exports.likely_size(format, exports.edges_in_file(format, exported.graph, chosen))
    with shown_progress(f"{file}, about {size_text(size)}") as show:
        size = exports.export_to(
            file, exported, format, lambda done, total: show(Progress("Writing edges", done, total))
        )
    of_how_many = f" of {k} edges ({', '.join(filters.words)})" if filters.active else " edges"
    yield f"{file}: {chosen}{of_how_many}, {size} bytes"


def bundle(file: str, pair: str, task: str | None) -> Iterator[str]:
    """Write the runs of a pair to a bundle."""
    refuse_existing(Path(file))
    written = bundles.write(Path(file), pair, task)
    yield f"{file}: {written.summary}"
    yield from written.without


def take(file: str) -> Iterator[str]:
    """Take the runs of a bundle, or of the cache of an earlier version, into the cache."""
    yield f"{file}: {bundles.take(Path(file)).summary}"


def take_circuit(file: str, spec: RunSpec) -> Iterator[str]:
    """Take a circuit that another program found into the cache, as that of a model of a pair on a task."""
    taken = circuits.import_circuit(Path(file), spec)
    yield f"{file}: {'was here before' if taken.known else 'taken'}"
    yield from described(taken.run)


def list_pairs() -> Iterator[str]:
    """The pairs that were kept."""
    for entry in kept.kept():
        pair, runs = entry.pair, f"{entry.runs} run" + ("s" if entry.runs != 1 else "")
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


def train(out: str, recipe: str, chosen: Mapping[str, Any]) -> Iterator[str]:
    """Make the embedded pair again into a folder, or go on with the adapters there, or make those ready to ship."""
    if recipe == "smollm2":
        yield from _adapters(Path(out), chosen)
        return
    make_empty(Path(out))
    from engine.training.train import TrainSpec
    from engine.training.train import train as make

    with shown_progress("training") as show:
        make(TrainSpec(**chosen), Path(out), lambda stage, step, steps, loss: show(Progress(stage, step, steps)))
    yield f"Written to {out}."


def _adapters(out: Path, chosen: Mapping[str, Any]) -> Iterator[str]:
    from engine.training.smollm2 import release_adapters, train_adapters

    folder = chosen.get("release")
    other = next((name for name in chosen if folder is not None and name != "release"), None)
    if other is not None:
        raise UserError(f"--{other.replace('_', '-')} cannot go with --release: nothing is trained then.")
    yield from train_adapters(out, chosen) if folder is None else release_adapters(out, Path(folder))
    yield f"Written to {folder or out}."


def refuse_early(specs: Sequence[RunSpec]) -> None:
    """Refuse what cannot be asked for before the first of the runs is computed."""
    for spec in specs:
        if lifecycle.find(spec) is None and (why := lifecycle.obstacle(spec)):
            raise UserError(why)


def refuse_sizes(sizes: Sequence[int], n_edges: int | None) -> None:
    for size in sizes:
        if n_edges is not None and size > n_edges:
            raise UserError(f"--k has {size}, but this circuit has {n_edges} edges. Choose at most that.")


def n_edges_of(arm: RunSpec, pair: Pair) -> int | None:
    """How many edges a pair's circuits have, before anything is loaded; None where neither run nor config tells."""
    run = lifecycle.find(arm)
    if run:
        return run.meta.graph.n_edges
    shape = shape_of(pair)
    return None if shape is None else graph_of(shape.layers, shape.heads).n_edges


def _ready(specs: Sequence[RunSpec], compute: Compute | None) -> list[Run]:
    with shown_progress(f"{specs[0].pair} / {specs[0].task}") as show:
        return lifecycle.run_all(specs, show, compute)


def _control(spec: RunSpec, compute: Compute | None) -> tuple[Run | None, str]:
    """The run of the step-0 control, else why there is none: the comparison does not wait for it."""
    try:
        return _ready([replace(spec, model=CONTROL)], compute)[0], ""
    except UserError as error:
        return None, f"not computed: {error}"


def _along_training(
    pair: Pair, spec: RunSpec, arm: Run, sizes: Sequence[int], compute: Compute | None
) -> Iterator[str]:
    yield ""
    yield "Overlap with the ARM along post-training"
    yield "(in brackets, on half of the examples each: the ARM with the checkpoint, the checkpoint's own two halves)"
    yield "    step" + "".join(f"  {f'K={size}':>21}" for size in sizes) + "  accuracy  run"
    for step in pair.steps:
        (run,) = _ready([replace(spec, model=f"step:{step}")], compute)
        cells = "".join(f"  {overlap_with_halves(arm, run, size)}" for size in sizes)
        yield f"{step:8d}{cells}  {_share(run):>8}  {short_key(run.key)}{unsolved(run)}"


def _share(run: Run) -> str:
    return f"{run.accuracy.accuracy:.1%}" if run.accuracy else "unknown"
