"""Collect the table of a sweep: `python -m engine compare --sweep FILE --out FILE`.

1. `collect` reads what is stored, writes the table, and keeps the sweep for the app (engine/sweeps/saved.py).
2. `lines` tells the means over seeds as lines of text.
3. What is not computed yet is said at the end: `Incomplete`, an exit code of 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from engine.errors import Incomplete
from engine.runs.execution import OnProgress
from engine.runs.records import Progress
from engine.runs.run_lines import named
from engine.runs.spec import RunSpec
from engine.sweeps import saved, sweep_file, table_file
from engine.sweeps.compared_runs import ComparedRuns, compared_runs
from engine.sweeps.sweep_file import Sweep
from engine.sweeps.table import SETTINGS, Row, incomplete, table_of

MOST_NAMED = 6  # runs that are not there
LEGEND = (
    "K=...: Jaccard index of the K strongest edges of the ARM and of the model, mean over seeds",
    "solved: share of held-out problems that the ARM and the model solve",
)
OF_A_RUN = ("pair", "task", "model")


@dataclass(frozen=True)
class Collected:
    """A sweep's stored runs, and the rows that were written of them."""

    sweep: Sweep
    compared: ComparedRuns
    sizes: tuple[int, ...]
    path: Path
    rows: tuple[Row, ...]


def collect(file: str, out: str, sizes: Sequence[int], on_progress: OnProgress) -> Collected:
    """Write the table of a sweep's stored runs.

    Raises:
        UserError: the sweep or a size cannot be, or the table cannot be written.
    """
    path = Path(out)
    table_file.refuse_file(path)
    sweep = sweep_file.read(file)
    compared = compared_runs(sweep)
    saved.save(sweep)
    groups = len(compared.groups)
    table = table_of(compared, sizes, lambda done: on_progress(Progress("Comparing circuits", done, groups)))
    table_file.write(path, table)
    return Collected(sweep, compared, tuple(sizes), path, tuple(table.to_pylist()))


def lines(collected: Collected) -> Iterator[str]:
    """The means over seeds, what the columns mean, and the file.

    Raises:
        Incomplete: runs, or parts of them, are not computed yet; the text names them.
    """
    if collected.rows:
        yield from means(collected.rows, collected.sizes)
        yield ""
        yield from LEGEND
        yield _legend_of_f(collected.rows, max(collected.sizes))
    comparisons = sum(len(group.others) for group in collected.compared.groups)
    yield f"{collected.path}: {len(collected.rows)} rows, {comparisons} comparisons at {len(collected.sizes)} sizes"
    sentences = list(_not_there(collected.sweep, collected.compared))
    if sentences:
        raise Incomplete(" ".join(sentences))


def means(rows: Sequence[Row], sizes: Sequence[int]) -> Iterator[str]:
    """Titles, then a line for every pair, task, model and setting but the seed, with means over seeds."""
    varied = [name for name in SETTINGS if name != "seed" and len({row[name] for row in rows}) > 1]
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in (*OF_A_RUN, *varied)), []).append(row)
    titles = [*OF_A_RUN, *(name.replace("_", " ") for name in varied)]
    numbers = ["seeds", *(f"K={k}" for k in sizes), "solved ARM", "solved model", "f"]
    lines = [[*titles, *numbers], *([*map(str, own), *_numbers(groups[own], sizes)] for own in groups)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        left, right = line[: len(titles)], line[len(titles) :]
        cells = [cell.ljust(width) for cell, width in zip(left, widths, strict=False)]
        yield "  ".join([*cells, *(c.rjust(w) for c, w in zip(right, widths[len(titles) :], strict=True))])


def _numbers(rows: Sequence[Row], sizes: Sequence[int]) -> list[str]:
    at = {k: [row for row in rows if row["k"] == k] for k in sizes}
    last = at[max(sizes)]
    return [
        str(len({row["seed"] for row in rows})),
        *(_mean(at[k], "overlap") for k in sizes),
        *(_mean(last, name) for name in ("accuracy_arm", "accuracy_other", "f_arm_in_other")),
    ]


def _legend_of_f(rows: Sequence[Row], k: int) -> str:
    """Of the largest K, with the sizes at which circuits were run in its stead."""
    sizes = sorted({row["f_k"] for row in rows if row["k"] == k and row["f_k"]})
    measured = f", measured at K = {', '.join(map(str, sizes))}" if sizes else ""
    return f"f: faithfulness of the ARM's circuit in the model{measured}; 1 is the whole model"


def _mean(rows: Sequence[Row], name: str) -> str:
    values = [row[name] for row in rows if row[name] is not None]
    some = f" of {len(values)}" if len(values) < len(rows) else ""  # the mean is of fewer seeds
    return f"{fmean(values):.3f}{some}" if values else "none"


def _not_there(sweep: Sweep, compared: ComparedRuns) -> Iterator[str]:
    missing, in_part = compared.missing, incomplete(sweep, compared)
    if missing:
        yield f"{len(missing)} of {len(compared.specs)} runs are not computed yet: {_named(missing)}."
    if in_part:
        yield (
            f"Of {len(in_part)} runs whose circuit is there the accuracy, or evidence, is not computed yet: "
            f"{_named(in_part)}."
        )


def _named(specs: Sequence[RunSpec]) -> str:
    """The first of some runs."""
    shown = "; ".join(named(spec) for spec in specs[:MOST_NAMED])
    more = len(specs) - MOST_NAMED
    return f"{shown}; and {more} more" if more > 0 else shown
