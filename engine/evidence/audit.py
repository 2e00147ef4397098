"""Which estimator to believe: edges patched for real, one at a time, beside what estimators say (METHOD, "Audit").

1. Choose edges: the strongest of the stored circuit, and others drawn evenly over ranks.
2. Patch each alone (engine/evidence/edge_patching.py).
3. Estimate the same edges from the same rows with every estimator (engine/attribution/edge_scores.py).

How well they agree is computed from the table, by engine/circuits/agreement.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.attribution.edge_scores import attribute
from engine.attribution.sites import AttributionInput
from engine.circuits.comparison import order_of
from engine.circuits.edges import Floats
from engine.evidence.edge_patching import patch_edges
from engine.evidence.faithfulness import ends_of
from engine.models.model import Model

STRONGEST, EVEN = 100, 200  # edges
ESTIMATORS = {  # the table's column: method and number of points
    "eap": ("eap", 1),
    "eap_ig_5": ("eap-ig", 5),
    "eap_ig_20": ("eap-ig", 20),
    "clean_corrupted": ("clean-corrupted", 2),
    "relp": ("relp", 1),
}


@dataclass(frozen=True)
class Selection:
    """Edges that are audited, by rank; one that was chosen in both ways is there twice."""

    edge: NDArray[np.int32]
    rank: NDArray[np.int32]  # 0 = strongest
    selection: NDArray[np.str_]  # "strongest" or "even"


def select_edges(scores: Floats, seed: int, strongest: int = STRONGEST, even: int = EVEN) -> Selection:
    """Choose from `scores` [edge]: the strongest, and one of each of `even` intervals of ranks."""
    order = order_of(scores)
    generator = np.random.default_rng(seed)
    bounds = np.linspace(0, len(order), min(even, len(order)) + 1).astype(np.int64)
    first, drawn = np.arange(min(strongest, len(order))), generator.integers(bounds[:-1], bounds[1:])
    rank = np.concatenate([first, drawn])
    selection = np.array(["strongest"] * len(first) + ["even"] * len(drawn))
    by_rank = np.argsort(rank, kind="stable")
    return Selection(order[rank[by_rank]], rank[by_rank].astype(np.int32), selection[by_rank])


def audit_tables(
    model: Model,
    rows: Sequence[AttributionInput],
    n_examples: int,
    metric: str,
    scores: Floats,
    seed: int,
    on_rows: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Audit the stored circuit whose total scores are `scores` [edge].

    Returns the artifact's meta and the columns of its table `audited_edges`. `on_rows` is told rows done, of
    `passes()` times as many as there are.

    Raises like engine.attribution.edge_scores.attribute.
    """
    chosen = select_edges(scores, seed)
    edges, at = np.unique(chosen.edge, return_inverse=True)
    effects = patch_edges(model, rows, n_examples, edges, metric, on_rows)
    columns: dict[str, Any] = {"edge": chosen.edge, "rank": chosen.rank, "selection": chosen.selection.tolist()}
    columns["exact"] = effects.exact[at].astype(np.float32)
    for i, (column, (method, points)) in enumerate(ESTIMATORS.items(), 1):
        estimated = attribute(model, rows, n_examples, method, points, metric, partial(_told, on_rows, i * len(rows)))
        total = estimated.total.cpu().numpy() / n_examples  # [source, destination]
        sources, destinations = model.graph.edge_source[chosen.edge], model.graph.edge_destination[chosen.edge]
        columns[column] = total[sources, destinations].astype(np.float32)
    ends = ends_of(effects.full, effects.corrupted)
    return {"full": ends.full, "corrupted": ends.corrupted, "rounding": ends.rounding}, {"audited_edges": columns}


def _told(on_rows: Callable[[int], None], before: int, done: int) -> None:
    on_rows(before + done)


def passes() -> int:
    """How often an audit goes over all rows."""
    return 1 + len(ESTIMATORS)
