"""Arrange the rows of a sweep's table as the cells of a heat map, with what each says and where it leads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from engine.models.pair import CONTROL, model_title
from engine.runs.spec import RunSpec
from engine.sweeps.table import SETTINGS
from pages.figures.sweep_map import MapCell, SweepMap
from pages.shared.availability import title_of_pair, title_of_task
from pages.shared.state import BY_SEED

COLUMN_OF = {"overlap": "overlap", "faithfulness": "f_arm_in_other", "accuracy": "accuracy_other"}
SCALES = {"overlap": "overlap", "faithfulness": "faithfulness", "accuracy": "solved"}
IDENTITY = ("pair", "task", "model", *SETTINGS)
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Shown:
    """What is chosen: numbers of circuits of `k` edges; `model`: the only one where columns are seeds."""

    k: int
    measure: str  # of state.SWEEP_MEASURES
    by: str  # of state.SWEEP_BY
    model: str


@dataclass(frozen=True)
class Arranged:
    """The heat map, and the run to which each cell leads: row, column -> spec."""

    drawn: SweepMap
    leads_to: Mapping[tuple[int, int], RunSpec]


def arrange(specs: Iterable[RunSpec], rows: Iterable[Row], shown: Shown) -> Arranged:
    """`specs`: of all models of the sweep; `rows`: of its table, at every K."""
    compared = [spec for spec in specs if not spec.is_arm and (shown.by != BY_SEED or spec.model == shown.model)]
    there = {_identity(row): row for row in rows if row["k"] == shown.k}
    across = sorted({_across(spec, shown) for spec in compared}, key=_order)
    varied = [name for name in SETTINGS if name != "seed" and len({getattr(spec, name) for spec in compared}) > 1]
    pairs = len({spec.pair for spec in compared}) > 1
    down: dict[tuple[str, ...], dict[int | str, list[RunSpec]]] = {}
    for spec in compared:
        own = down.setdefault(_down(spec, varied, pairs), {})
        own.setdefault(_across(spec, shown), []).append(spec)
    cells, leads_to = [], {}
    for i, own in enumerate(down.values()):
        cells.append([_cell(own[column], there, shown) if column in own else None for column in across])
        for j, column in enumerate(across):
            if column in own:
                leads_to[i, j] = next((spec for spec in own[column] if _of(spec) in there), own[column][0])
    title = "seed" if shown.by == BY_SEED else "step of post-training"
    drawn = SweepMap(list(down), [_title(column) for column in across], cells, title, SCALES[shown.measure])
    return Arranged(drawn, leads_to)


def models_of(specs: Iterable[RunSpec]) -> list[str]:
    """What is compared with the ARM: the MDM first, then checkpoints and the control, as far as they are there."""
    there = {spec.model for spec in specs if not spec.is_arm}
    return sorted(there, key=lambda model: (model != "mdm", _order(model)))


def _across(spec: RunSpec, shown: Shown) -> int | str:
    return spec.seed if shown.by == BY_SEED else spec.model


def _down(spec: RunSpec, varied: Sequence[str], pairs: bool) -> tuple[str, ...]:
    settings = ", ".join(f"{name.replace('_', ' ')} {getattr(spec, name)}" for name in varied)
    return (
        title_of_task(spec.task),
        *((title_of_pair(spec.pair),) if pairs else ()),
        *((settings,) if settings else ()),
    )


def _order(column: int | str) -> tuple[int, int]:
    """Seeds ascending; of models the control, then checkpoints by step, then the MDM."""
    if isinstance(column, int):
        return 0, column
    if column.startswith("step:"):
        return 1, int(column.removeprefix("step:"))
    return (0, 0) if column == CONTROL else (2, 0)


def _title(column: int | str) -> str:
    if isinstance(column, int):
        return str(column)
    return {CONTROL: "control", "mdm": "MDM"}.get(column) or f"{int(column.removeprefix('step:')):,}"


def _cell(specs: Sequence[RunSpec], there: Mapping[tuple[Any, ...], Row], shown: Shown) -> MapCell:
    """The mean over the seeds of a cell that are there."""
    rows = [there[_of(spec)] for spec in specs if _of(spec) in there]
    first = specs[0]
    with_model = f"ARM with {model_title(first.model)}"
    seeds = f"seed {first.seed}" if len(specs) == 1 else f"{len(specs)} seeds"
    lines = [f"{title_of_task(first.task)}, {title_of_pair(first.pair)}", f"{with_model}, {seeds}, K = {shown.k:,}"]
    if len(rows) < len(specs):
        lines.append("Not computed yet" if not rows else f"Not computed yet: {len(specs) - len(rows)} of these seeds")
    if rows:
        lines += _numbers(rows, model_title(first.model))
    unable = any(row["both_can_do"] is False for row in rows)
    if unable:
        lines.append("A model cannot do the task: its circuit is not informative")
    values = _values(rows, COLUMN_OF[shown.measure])
    if rows and not values:
        lines.append(f"{shown.measure.capitalize()}: not computed")
    return MapCell(fmean(values) if values else None, (*lines, "Click to open this comparison"), unable)


def _numbers(rows: Sequence[Row], other: str) -> list[str]:
    """What there is of a cell, as lines; of several seeds means. `other`: the model beside the ARM."""
    mean = {name: fmean(values) for name in rows[0] if (values := _values(rows, name))}
    lines = [f"Overlap {mean['overlap']:.3f}{_range(rows, 'overlap')}; chance {mean['chance']:.3f}"]
    if "split_half_pair" in mean:
        pair, arm, own = (mean[f"split_half_{of}"] for of in ("pair", "arm", "other"))
        lines.append(f"Split-half overlap: ARM with {other} {pair:.3f}, ARM {arm:.3f}, {other} {own:.3f}")
    if "f_arm_in_other" in mean:
        sizes = {row["f_k"] for row in rows if row["f_arm_in_other"] is not None}
        at = f" (circuits of {sizes.pop():,} edges)" if len(sizes) == 1 else ""
        lines.append(f"Faithfulness of the ARM's circuit in the {other}: {mean['f_arm_in_other']:.3f}{at}")
    accuracies = (("ARM", "accuracy_arm"), (other, "accuracy_other"))
    solved = [f"{title} {mean[name]:.0%}" for title, name in accuracies if name in mean]
    return [*lines, f"Solved problems: {', '.join(solved)}"] if solved else lines


def _range(rows: Sequence[Row], name: str) -> str:
    values = _values(rows, name)
    return f" (mean; {min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""


def _values(rows: Sequence[Row], name: str) -> list[float]:
    return [row[name] for row in rows if isinstance(row[name], int | float)]


def _identity(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in IDENTITY)


def _of(spec: RunSpec) -> tuple[Any, ...]:
    return tuple(getattr(spec, name) for name in IDENTITY)
