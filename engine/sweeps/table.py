"""The table of a sweep: every comparison of the ARM's circuit with another model's, at every K, from what is stored.

1. Runs are compared in groups, an ARM with every other model of the same settings (engine/sweeps/compared_runs.py).
2. Of each run its strongest edges, those of both halves and its blocks are read once.
3. A row holds the numbers that `compare` prints of the two runs, those of claims (intervals), accuracies, and what is
   stored of faithfulness, knockouts and audits. What is not there is empty. Columns: engine/sweeps/table_columns.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from engine.circuits import comparison
from engine.circuits.edges import EdgeTable
from engine.circuits.intervals import Estimate
from engine.errors import UserError
from engine.models.pair import model_title
from engine.runs import lifecycle, read
from engine.runs.evidence import OF_ONE_MODEL, other_of
from engine.runs.records import Run
from engine.runs.solvable import can_do
from engine.runs.spec import RunSpec
from engine.schema.artifacts import EvidenceKind
from engine.schema.vocabulary import HALVES
from engine.sweeps import redrawn_overlaps
from engine.sweeps.compared_runs import ComparedRuns, Group, compared_runs
from engine.sweeps.redrawn_overlaps import TopEdges, top_edges
from engine.sweeps.stored_components import Components, StoredComponents
from engine.sweeps.stored_evidence import StoredEvidence
from engine.sweeps.stored_faithfulness import Faithfulness, StoredFaithfulness
from engine.sweeps.sweep_file import Sweep
from engine.sweeps.table_columns import number_or_empty, schema
from engine.tasks.registry import task_named

if TYPE_CHECKING:
    import pyarrow as pa

SIZES = (50, 200, 1000)  # K, where none are named
SETTINGS = ("method", "points", "metric", "order", "denoising_steps", "template", "n", "seed", "dtype")
Row = dict[str, Any]


@dataclass(frozen=True)
class _Side:
    """What is read of a run: its edges, those of both halves, strongest first, and its edges in draws of prompts."""

    run: Run
    edges: EdgeTable
    halves: tuple[EdgeTable, EdgeTable] | None  # None: of one example
    drawn: TopEdges | None  # None: no intervals are asked for


def rows(sweep: Sweep, sizes: Sequence[int] = SIZES) -> pa.Table:
    """The table of a sweep; runs that are not stored have no rows (ComparedRuns.missing says which).

    Raises:
        UserError: the sweep compares nothing, what it names is not there, or a size is larger than the circuits.
    """
    return table_of(compared_runs(sweep), sizes)


def table_of(
    compared: ComparedRuns, sizes: Sequence[int], on_group: Callable[[int], None] = lambda done: None
) -> pa.Table:
    """The table of a sweep's runs; `on_group` is told how many groups are done. Raises like `rows`."""
    stored, there = StoredEvidence(), []
    for done, group in enumerate(compared.groups):
        on_group(done)
        there += rows_of(group, sizes, stored)
    return as_table(there)


def as_table(there: Iterable[Row]) -> pa.Table:
    """Rows as Arrow."""
    import pyarrow as pa

    return pa.Table.from_pylist(list(there), schema=schema())


def rows_of(group: Group, sizes: Sequence[int], stored: StoredEvidence, in_full: bool = True) -> list[Row]:
    """The rows of a group, model by model and K by K.

    Not `in_full`: without intervals of overlaps, which take most of the time, and what knockouts and audits say.

    Raises:
        UserError: a size is larger than the circuits.
    """
    _refuse_sizes(group, sizes)
    arm = _side(group.arm, sizes, in_full)
    faithfulness, components, there = StoredFaithfulness(stored), StoredComponents(stored), []
    for run in group.others:
        other = _side(run, sizes, in_full)
        of_nodes = components.of(group.arm, run) if in_full else Components()
        faithful = faithfulness.at(group.arm, run, sizes)
        there += [_row(arm, other, k, faithful[k], of_nodes) for k in sizes]
    return there


def incomplete(sweep: Sweep, compared: ComparedRuns) -> list[RunSpec]:
    """Runs whose circuit is stored, but not all else that the sweep asks for and the table tells."""
    stored = StoredEvidence()
    runs = {run.spec: run for group in compared.groups for run in group.runs}
    others = {spec: _compared_with(spec, sweep) for spec in runs}
    there = lifecycle.find_all(other for compared_with in others.values() for other in compared_with)

    def lacks(run: Run) -> bool:
        accuracy = "ability" in sweep.artifacts and run.accuracy is None
        return accuracy or not all(
            _has(stored, kind, run, [there.get(other) for other in others[run.spec]]) for kind in sweep.evidence_kinds
        )

    return [spec for spec, run in runs.items() if lacks(run)]


def _has(stored: StoredEvidence, kind: EvidenceKind, run: Run, compared: Sequence[Run | None]) -> bool:
    """Whether evidence of a run's circuit is there, beside all circuits that it is to be compared with."""
    if kind in OF_ONE_MODEL:
        return stored.beside_any(kind, run) is not None
    return all(other is not None and stored.of(kind, run, other) is not None for other in compared)


def _compared_with(spec: RunSpec, sweep: Sweep) -> list[RunSpec]:
    """The runs whose circuits are run in the model of a spec beside its own."""
    return [other_of(spec, steps) for steps in (sweep.denoising_steps if spec.is_arm else (0,))]


def _refuse_sizes(group: Group, sizes: Sequence[int]) -> None:
    for run in group.runs:
        if max(sizes) > run.meta.graph.n_edges:
            raise UserError(
                f"K is {max(sizes)}, but circuits of the pair {run.spec.pair} have {run.meta.graph.n_edges} edges. "
                "Choose at most so many."
            )


def _side(run: Run, sizes: Sequence[int], with_intervals: bool) -> _Side:
    most = max(sizes)
    first, second = (read.edge_table(run.key, half, most) for half in HALVES) if run.has_halves else (None, None)
    return _Side(
        run,
        read.edge_table(run.key, limit=most),
        (first, second) if first and second else None,
        top_edges(read.edge_blocks(run.key), sizes) if with_intervals else None,
    )


def _row(arm: _Side, other: _Side, k: int, faithful: Faithfulness, components: Components) -> Row:
    spec, graph = other.run.spec, arm.run.meta.graph
    at = comparison.compare(graph, arm.edges, other.edges, k)
    overlap = Estimate(at.jaccard, None, None)
    if arm.drawn and other.drawn:
        overlap = redrawn_overlaps.overlap(at.jaccard, arm.drawn, other.drawn, k)
    halves = _split_half(arm, other, k)
    accuracies = arm.run.accuracy, other.run.accuracy
    measured = {accuracy.accuracy_n for accuracy in accuracies if accuracy}
    return {
        "pair": spec.pair, "task": spec.task, "model": spec.model, "step": _step(spec),
        **{name: getattr(spec, name) for name in SETTINGS},
        "k": k, "n_edges": graph.n_edges,
        **_with_ends("overlap", overlap),
        "chance": at.chance,
        **{f"split_half_{of}": getattr(halves, of) if halves else None for of in ("pair", "arm")},
        "split_half_other": halves.mdm if halves else None,
        "early_share_arm": number_or_empty(at.arm.early_share),
        "early_share_other": number_or_empty(at.mdm.early_share),
        "early_ratio": number_or_empty(at.early_ratio),
        "effective_number_arm": number_or_empty(at.arm.effective_number),
        "effective_number_other": number_or_empty(at.mdm.effective_number),
        **{name: accuracy.accuracy if accuracy else None
           for name, accuracy in zip(("accuracy_arm", "accuracy_other"), accuracies, strict=True)},
        "accuracy_n": measured.pop() if len(measured) == 1 else None,
        "both_can_do": _both_can_do(arm.run, other.run),
        "f_k": faithful.size,
        **_with_ends("f_arm", faithful.arm), **_with_ends("f_other", faithful.other),
        **_with_ends("f_arm_in_other", faithful.arm_in_other), **_with_ends("f_other_in_arm", faithful.other_in_arm),
        **asdict(components),
        "arm_run": arm.run.key, "other_run": other.run.key,
        "remarks": " ".join((*_remarks(arm.run), *_remarks(other.run))),
    }  # fmt: skip


def _split_half(arm: _Side, other: _Side, k: int) -> comparison.SplitHalf | None:
    if arm.halves is None or other.halves is None:
        return None
    of_arm, of_other = ([half.edge[:k] for half in side.halves] for side in (arm, other) if side.halves)
    return comparison.split_half((of_arm[0], of_arm[1]), (of_other[0], of_other[1]))


def _step(spec: RunSpec) -> int | None:
    return int(spec.model.removeprefix("step:")) if spec.model.startswith("step:") else None


def _with_ends(name: str, estimate: Estimate | None) -> Row:
    value, low, high = (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _both_can_do(arm: Run, other: Run) -> bool | None:
    able = [can_do(task_named(run.spec.task), run.accuracy).can for run in (arm, other)]
    return all(able) if not all(able) or (arm.accuracy and other.accuracy) else None


def _remarks(run: Run) -> list[str]:
    """Sentences about a run, which say whose it is."""
    ability = can_do(task_named(run.spec.task), run.accuracy)
    unable = [] if ability.can else [ability.reason]
    title = model_title(run.spec.model)
    return [f"{title[0].upper()}{title[1:]}: {sentence}" for sentence in (*unable, *run.meta.remarks)]
