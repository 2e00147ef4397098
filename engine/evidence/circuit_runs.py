"""Which circuits are run, and how faithful they are: the tables of the evidence artifacts `faithfulness*`.

1. `circuits_to_run` lists them at the sizes of MIB's grid and of the slider's stops: the model's own strongest edges,
   by |score| and by signed score, the other model's, what both share, what the own has alone, everything but the own,
   and random edges.
2. All are run together on the clean inputs (engine/evidence/patching.py).
3. f, its interval and the areas CPR and CMD come from that (engine/evidence/faithfulness.py, METHOD "Faithfulness").
4. The smallest faithful circuits are searched between the sizes that were measured (engine/evidence/smallest_size.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.attribution.sites import AttributionInput
from engine.circuits.comparison import order_of
from engine.circuits.edges import Floats
from engine.circuits.intervals import Estimate
from engine.evidence.faithfulness import SHARES, Faithfulness, areas, ends_of, faithfulness, grid_sizes
from engine.evidence.outcomes import Outcomes
from engine.evidence.patching import CircuitRuns, run_circuits
from engine.evidence.rankings import complement, only, prefixes, random_orders, shared, signed_order
from engine.evidence.smallest_size import smallest_size
from engine.models.model import Model
from engine.schema.evidence_tables import TAUS
from engine.schema.vocabulary import TOTAL

STOPS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)  # K, beside MIB's grid
PARTS_OF = ("own", "other")  # circuits whose f is also given by step and by site

Columns = dict[str, list[Any]]
OnRows = Callable[[str, int], None]  # what is being run, and how many rows are done


@dataclass(frozen=True)
class CircuitToRun:
    """`circuit`, `draw` and `size` as the table circuit_runs has them."""

    circuit: str
    draw: int
    size: int
    edges: NDArray[np.bool_]  # [edge]


def sizes_to_run(n_edges: int) -> list[int]:
    """MIB's sizes and the stops, ascending, each once."""
    return sorted({size for size in (*grid_sizes(n_edges), *STOPS) if size <= n_edges})


def circuits_to_run(own: Floats, other: Floats, sizes: Sequence[int], seed: int) -> list[CircuitToRun]:
    """From the scores [edge] of the circuit that is examined and of the other model's; `seed` of the random edges."""
    of_own, of_other = prefixes(order_of(own), sizes), prefixes(order_of(other), sizes)  # [size, edge]
    masks = {
        ("own", 0): of_own,
        ("signed", 0): prefixes(signed_order(own), sizes),
        ("complement", 0): complement(of_own),
        ("other", 0): of_other,
        ("shared", 0): shared(of_own, of_other),
        ("only", 0): only(of_own, of_other),
        **{("random", draw): prefixes(order, sizes) for draw, order in enumerate(random_orders(len(own), seed=seed))},
    }
    return [
        CircuitToRun(circuit, draw, size, edges)
        for (circuit, draw), of_sizes in masks.items()
        for size, edges in zip(sizes, of_sizes, strict=True)
    ]


@dataclass(frozen=True)
class _Measured:
    circuits: Sequence[CircuitToRun]
    runs: CircuitRuns
    full: Outcomes

    def faithfulness(self, part: str, chosen: Sequence[int]) -> Faithfulness:
        """Of some of the circuits, by index."""
        metric, full, corrupted = (
            outcomes.metric if part == TOTAL else outcomes.parts[part]
            for outcomes in (self.runs.circuits, self.full, self.runs.corrupted)
        )
        return faithfulness(metric[list(chosen)], full[0], corrupted[0])

    def indices(self, *names: str) -> list[int]:
        return [i for i, circuit in enumerate(self.circuits) if circuit.circuit in names]


def faithfulness_tables(
    model: Model,
    rows: Sequence[AttributionInput],
    n_examples: int,
    metric: str,
    scores: tuple[Floats, Floats],
    *,
    on_rows: OnRows = lambda stage, done: None,
    size: int | None = None,
    seed: int = 0,
) -> tuple[dict[str, Any], dict[str, Columns]]:
    """What the artifact `faithfulness` holds; with `size` what `faithfulness_at` does. Raises like `run_circuits`.

    `scores`: [edge] of the circuit that is examined and of the other model's.
    """
    own, other = scores
    sizes = sizes_to_run(len(own)) if size is None else [size]
    circuits = circuits_to_run(own, other, sizes, seed)
    masks = np.stack([circuit.edges for circuit in circuits])
    runs = run_circuits(model, rows, n_examples, masks, metric, lambda done: on_rows("circuits", done))
    if runs.full is None:
        raise ValueError("the clean run was asked for")
    measured = _Measured(circuits, runs, runs.full)
    tables: dict[str, Columns] = {"circuit_runs": _columns(_circuit_rows(measured))}
    if size is None:

        def measure(wanted: Sequence[int]) -> NDArray[np.float64]:
            more = run_circuits(
                model, rows, n_examples, prefixes(order_of(own), wanted), metric,
                lambda done: on_rows("the smallest faithful circuits", done), with_full=False,
            )  # fmt: skip
            return faithfulness(more.circuits.metric, runs.full.metric[0], runs.corrupted.metric[0]).f  # type: ignore[union-attr]

        tables["smallest_circuits"] = _columns(_smallest(measured, sizes, measure))
    return _summary(measured, with_areas=size is None), tables


def _circuit_rows(measured: _Measured) -> Iterator[Mapping[str, Any]]:
    parts = list(measured.runs.circuits.parts)
    for part in (TOTAL, *(parts if len(parts) > 1 else ())):
        chosen = list(range(len(measured.circuits))) if part == TOTAL else measured.indices(*PARTS_OF)
        faithful = measured.faithfulness(part, chosen)
        outcomes = measured.runs.circuits
        metric = outcomes.metric if part == TOTAL else outcomes.parts[part]
        estimates: Sequence[Estimate | None] = faithful.estimates if faithful.given else [None] * len(chosen)
        for i, f in zip(chosen, estimates, strict=True):
            circuit = measured.circuits[i]
            yield {
                "circuit": circuit.circuit,
                "draw": circuit.draw,
                "size": circuit.size,
                "edges": int(circuit.edges.sum()),
                "part": part,
                "f": f.value if f else None,
                "f_low": f.low if f else None,
                "f_high": f.high if f else None,
                "metric": float(metric[i].mean()),
                "right": float(outcomes.right[i].mean()) if part == TOTAL else None,
            }


def _smallest(
    measured: _Measured, sizes: Sequence[int], measure: Callable[[Sequence[int]], NDArray[np.float64]]
) -> Iterator[Mapping[str, Any]]:
    faithful = measured.faithfulness(TOTAL, measured.indices("own"))
    known: dict[int, float] = dict(zip(sizes, faithful.f.tolist(), strict=True))

    def remembered(wanted: Sequence[int]) -> list[float]:
        new = [size for size in wanted if size not in known]
        if new:
            known.update(zip(new, measure(new).tolist(), strict=True))
        return [known[size] for size in wanted]

    for tau in TAUS:
        smallest = smallest_size(remembered, sizes, faithful.f.tolist(), tau) if faithful.given else None
        yield {
            "circuit": "own",
            "tau": tau,
            "size": smallest.k if smallest else None,
            "below": smallest.below if smallest else None,
        }


def _summary(measured: _Measured, with_areas: bool) -> dict[str, Any]:
    full, corrupted = measured.full, measured.runs.corrupted
    ends = ends_of(full.metric[0], corrupted.metric[0])
    summary: dict[str, Any] = {
        "full": ends.full,
        "corrupted": ends.corrupted,
        "spread": ends.spread,
        "right_full": float(full.right.mean()),
        "right_corrupted": float(corrupted.right.mean()),
        "remark": faithfulness(full.metric, full.metric[0], corrupted.metric[0]).remark,
    }
    return summary | ({"areas": _areas(measured)} if with_areas and not ends.close else {})


def _areas(measured: _Measured) -> dict[str, dict[str, list[float | None]]]:
    """CPR and CMD of circuits by their order, each with its interval; of random edges the mean over draws."""
    n_edges = len(measured.circuits[0].edges)
    result: dict[str, dict[str, list[float | None]]] = {}
    for name in ("own", "signed", "other", "random"):
        by_draw = []
        for draw in sorted({measured.circuits[i].draw for i in measured.indices(name)}):
            at = {measured.circuits[i].size: i for i in measured.indices(name) if measured.circuits[i].draw == draw}
            by_draw.append(areas(measured.faithfulness(TOTAL, [at[size] for size in grid_sizes(n_edges)]), SHARES))
        result[name] = {
            area: [
                _mean(getattr(each, area).value for each in by_draw),
                *_ends(getattr(by_draw[0], area), len(by_draw)),
            ]
            for area in ("cpr", "cmd")
        }
    return result


def _mean(values: Iterator[float]) -> float:
    return float(np.mean(list(values)))


def _ends(area: Estimate, draws: int) -> list[float | None]:
    return [area.low, area.high] if draws == 1 else [None, None]


def _columns(rows: Iterator[Mapping[str, Any]]) -> Columns:
    listed = list(rows)
    return {name: [row[name] for row in listed] for name in listed[0]}
