"""The tables of knockouts: what each head and MLP alone, and groups of them together, do (METHOD, "Knockouts").

1. Each component is removed alone, by either replacement, and each group by its corrupted writes; what is the same
   removal runs once (engine/evidence/knockouts.py).
2. `knockout_columns` and `group_columns` average over examples; intervals are those of engine/circuits/intervals.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.attribution.sites import AttributionInput
from engine.circuits.intervals import Bands, mean_bands
from engine.evidence.ablated_pass import Removal
from engine.evidence.knockouts import CORRUPTED, Knockouts, run_without
from engine.evidence.node_groups import Group
from engine.models.model import Model
from engine.schema.evidence_tables import REPLACEMENTS
from engine.schema.vocabulary import TOTAL

Columns = dict[str, list[Any]]  # by column, its values by row; None where there is none


def knockout_tables(
    model: Model,
    rows: Sequence[AttributionInput],
    n_examples: int,
    metric: str = "logit_diff",
    groups: Sequence[Group] = (),
    on_rows: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, float], dict[str, Columns]]:
    """Means of the full model and the corrupted run, and the tables `knockouts` and `group_knockouts`.

    Raises:
        UserError: an architecture that is not known, or a single row that does not fit in memory.
        Unsound: logits that are no numbers.
    """
    alone = [Removal((node,), by) for node in range(1, model.graph.logits) for by in REPLACEMENTS]
    together = [Removal(group.nodes, CORRUPTED) for group in groups]
    removals = list(dict.fromkeys([*alone, *together]))
    runs = run_without(model, rows, n_examples, removals, metric, on_rows)
    run_of = {removal: run for run, removal in enumerate(removals)}
    means = {
        "full": float(runs.full.metric.mean()),
        "corrupted": float(runs.corrupted.metric.mean()),
        "right_full": float(runs.full.right.mean()),
    }
    return means, {
        "knockouts": knockout_columns(runs, {removal: run_of[removal] for removal in alone}),
        "group_knockouts": group_columns(runs, groups, [run_of[Removal(group.nodes, CORRUPTED)] for group in groups]),
    }


def knockout_columns(runs: Knockouts, run_of: Mapping[Removal, int]) -> Columns:
    """The table `knockouts`: of removals of a node each, given with their run in `runs`; by node, replacement, part.

    A change is the metric without the node less that of the full model, mean over examples.
    """
    removals = sorted(run_of, key=lambda removal: (removal.nodes, removal.replaced_by))
    chosen = [run_of[removal] for removal in removals]
    parts = sorted([TOTAL, *runs.full.parts])
    bands = [_changes(runs, chosen, part) for part in parts]
    right = runs.without.right[chosen].mean(1)  # [removal]
    every = [(i, removal, j) for i, removal in enumerate(removals) for j in range(len(parts))]
    return {
        "node": [removal.nodes[0] for _, removal, _ in every],
        "replaced_by": [removal.replaced_by for _, removal, _ in every],
        "part": [parts[j] for _, _, j in every],
        "change": [float(bands[j].value[i]) for i, _, j in every],
        "change_low": [_entry(bands[j].low, i) for i, _, j in every],
        "change_high": [_entry(bands[j].high, i) for i, _, j in every],
        "right": [float(right[i]) if parts[j] == TOTAL else None for i, _, j in every],
    }


def group_columns(runs: Knockouts, groups: Sequence[Group], run_of: Sequence[int]) -> Columns:
    """The table `group_knockouts`: of groups, given with their run in `runs`; by selection, draw, removed."""
    order = sorted(range(len(groups)), key=lambda i: (groups[i].name, groups[i].draw, len(groups[i].nodes)))
    return {
        "selection": [groups[i].name for i in order],
        "draw": [groups[i].draw for i in order],
        "removed": [len(groups[i].nodes) for i in order],
        "metric": [float(runs.without.metric[run_of[i]].mean()) for i in order],
        "right": [float(runs.without.right[run_of[i]].mean()) for i in order],
    }


def _changes(runs: Knockouts, chosen: Sequence[int], part: str) -> Bands:
    """[removal]: of the chosen runs."""
    if part == TOTAL:
        without, full = runs.without.metric, runs.full.metric
    else:
        without, full = runs.without.parts[part], runs.full.parts[part]
    return mean_bands((without[chosen] - full).T)


def _entry(values: NDArray[np.float64] | None, i: int) -> float | None:
    return None if values is None else float(values[i])
