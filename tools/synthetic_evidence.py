"""Synthetic evidence, for tests and benchmarks: valid tables without a model, the same for the same circuits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.circuits.comparison import order_of
from engine.circuits.graph import Graph
from engine.runs.records import ArtifactTables, EvidenceInputs
from engine.runs.spec import RunSpec
from engine.schema.arrow import table
from engine.schema.artifacts import AnyKind
from engine.schema.evidence_tables import CIRCUITS, ESTIMATORS, GROUPS, REPLACEMENTS, TAUS
from engine.schema.vocabulary import TOTAL, step_part

FULL, CORRUPTED = 8.0, -8.0
SHARE = {"own": 0.02, "signed": 0.03, "random": 0.9, "complement": 3.0, "other": 0.05, "shared": 0.06, "only": 1.5}
RANDOM_DRAWS = 5

Columns = dict[str, list[Any]]
Made = tuple[dict[str, Any], dict[str, Columns]]


def fake_evidence(spec: RunSpec, kind: AnyKind, inputs: EvidenceInputs) -> ArtifactTables:
    """Evidence of `kind` for a circuit: faithfulness rises with K, fastest of the own circuit."""
    graph = _graph_of(len(inputs.own))
    meta, tables = _MAKE[kind](spec, inputs, graph)
    return ArtifactTables(meta, {name: table(name, columns) for name, columns in tables.items()})


def _faithfulness(spec: RunSpec, inputs: EvidenceInputs, graph: Graph) -> Made:
    n_edges = graph.n_edges
    sizes = [size for size in (0, 10, 20, 50, 100, 200, 500, 1000) if size < n_edges] + [n_edges]
    shares = SHARE | {"own": SHARE["own"] * (1.0 if spec.is_arm else 1.5)}
    rows = []
    for circuit in CIRCUITS:
        for draw in range(RANDOM_DRAWS if circuit == "random" else 1):
            for size in sizes if inputs.size is None else [inputs.size]:
                edges = n_edges - size if circuit == "complement" else size
                f = min(1.0, edges / (edges + shares[circuit] * n_edges) * (1 + shares[circuit]) + 0.01 * draw)
                parts = (TOTAL, step_part(0), step_part(1)) if circuit in ("own", "other") else (TOTAL,)
                rows += [
                    {
                        "circuit": circuit, "draw": draw, "size": size, "edges": edges, "part": part,
                        "f": f, "f_low": f - 0.05, "f_high": f + 0.05, "metric": CORRUPTED + f * (FULL - CORRUPTED),
                        "right": f if part == TOTAL else None,
                    }
                    for part in parts
                ]  # fmt: skip
    own = shares["own"]
    reached = {tau: math.ceil(tau * own * n_edges / (1 + own - tau)) for tau in TAUS}
    smallest = [{"circuit": "own", "tau": tau, "size": k, "below": k - 1} for tau, k in reached.items()]
    meta: dict[str, Any] = {
        "full": FULL, "corrupted": CORRUPTED, "spread": 1.0, "right_full": 1.0, "right_corrupted": 0.0, "remark": None,
    }  # fmt: skip
    areas = {name: {"cpr": [0.9, 0.85, 0.95], "cmd": [0.1, 0.05, 0.15]} for name in ("own", "signed", "other")}
    areas["random"] = {"cpr": [0.3, None, None], "cmd": [0.7, None, None]}  # type: ignore[list-item]
    if inputs.size is None:
        meta["areas"] = areas
        return meta, {"circuit_runs": _columns(rows), "smallest_circuits": _columns(smallest)}
    return meta, {"circuit_runs": _columns(rows)}


def _knockouts(spec: RunSpec, inputs: EvidenceInputs, graph: Graph) -> Made:
    generator = _generator(spec)
    nodes = [node for node in range(graph.n_sources) if node]  # `input` is not knocked out
    rows = [
        {
            "node": node, "replaced_by": by, "part": part, "change": change, "change_low": change - 0.5,
            "change_high": change + 0.5, "right": max(0.0, 1 + change / 16) if part == TOTAL else None,
        }
        for node, change in zip(nodes, -generator.exponential(2.0, len(nodes)).clip(0, 16), strict=True)
        for by in REPLACEMENTS
        for part in (TOTAL, step_part(0), step_part(1))
    ]  # fmt: skip
    groups = [
        {
            "selection": group, "draw": draw, "removed": removed,
            "metric": FULL - removed * (0.2 if group == "random" else 1.0),
            "right": float(np.exp(-removed / (40 if group == "random" else 8))),
        }
        for group in GROUPS
        for draw in range(RANDOM_DRAWS if group == "random" else 1)
        for removed in ((0, 1, 2, 4, 8, 16) if group in ("strongest", "random") else (6,))
        if removed < graph.n_sources
    ]  # fmt: skip
    meta = {"full": FULL, "corrupted": CORRUPTED, "right_full": 1.0}
    return meta, {"knockouts": _columns(rows), "group_knockouts": _columns(groups)}


def _audit(spec: RunSpec, inputs: EvidenceInputs, graph: Graph) -> Made:
    generator, order = _generator(spec), order_of(inputs.own)
    ranks = list(range(min(20, graph.n_edges // 2))) + list(range(20, graph.n_edges, max(1, graph.n_edges // 40)))
    rows = []
    for rank in sorted(set(ranks)):
        edge = int(order[rank])
        exact = float(inputs.own[edge])
        estimates = {name: exact * float(1 + 0.3 * generator.standard_normal()) for name in ESTIMATORS}
        selection = "strongest" if rank < 20 else "even"
        rows.append({"edge": edge, "rank": rank, "selection": selection, "exact": exact, **estimates})
    return {"full": FULL, "corrupted": CORRUPTED, "rounding": 1e-5}, {"audited_edges": _columns(rows)}


def _graph_of(n_edges: int) -> Graph:
    """A small graph that has so many edges."""
    graphs = (Graph(layers, heads) for layers in range(1, 13) for heads in range(1, 13))
    return next(graph for graph in graphs if graph.n_edges == n_edges)


def _generator(spec: RunSpec) -> np.random.Generator:
    return np.random.default_rng([*spec.model.encode(), len(spec.task), spec.seed])


def _columns(rows: list[dict[str, Any]]) -> Columns:
    return {name: [row[name] for row in rows] for name in rows[0]}


_MAKE: dict[AnyKind, Callable[[RunSpec, EvidenceInputs, Graph], Made]] = {
    "faithfulness": _faithfulness,
    "faithfulness_at": _faithfulness,
    "knockouts": _knockouts,
    "audit": _audit,
}
