"""How well estimates of edge scores agree with exact ones (METHOD, "Audit"): correlations and signs. Pure numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.circuits.edges import Floats

ALL = "all"  # the edges of every selection, each once
SCORED = "scored"  # of these the ones to which every estimator gives a score other than 0


@dataclass(frozen=True)
class Agreement:
    """Of one estimator on one selection of edges; nan where there is no such number."""

    selection: str
    estimator: str
    edges: int
    pearson: float
    spearman: float
    signs: float  # share of the `signed` edges whose estimate has the sign of the exact score
    signed: int  # edges whose exact score is above rounding


def agreement(
    columns: Mapping[str, Sequence[Any] | NDArray[Any]],
    rounding: float,
    estimators: Sequence[str],
    selections: Sequence[str] = ("strongest", "even"),
) -> list[Agreement]:
    """From columns [row] of audited edges: "edge", "selection", "exact" and one of every estimator.

    An exact score whose absolute value is up to `rounding`, in the metric's unit, has no sign.
    """
    edge, selection = np.asarray(columns["edge"]), np.asarray(columns["selection"])
    exact = np.asarray(columns["exact"], dtype=np.float64)
    estimates = {name: np.asarray(columns[name], dtype=np.float64) for name in estimators}
    once = np.unique(edge, return_index=True)[1]
    scored = np.all([values[once] != 0 for values in estimates.values()], axis=0)
    rows = {ALL: once, SCORED: once[scored], **{name: np.flatnonzero(selection == name) for name in selections}}
    return [
        _agreement(name, estimator, exact[at], estimates[estimator][at], rounding)
        for name, at in rows.items()
        for estimator in estimators
    ]


def exact_circuit(
    columns: Mapping[str, Sequence[Any] | NDArray[Any]],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(edge index, exact score) of all audited edges, strongest first, each once; others are not part of it."""
    edge, first = np.unique(np.asarray(columns["edge"], dtype=np.int64), return_index=True)
    exact = np.asarray(columns["exact"], dtype=np.float64)[first]
    order = np.argsort(-np.abs(exact), kind="stable")
    return edge[order], exact[order]


def pearson(x: Floats, y: Floats) -> float:
    """The correlation of x and y [edge]; nan where one of them does not vary."""
    if not len(x) or np.ptp(x) == 0 or np.ptp(y) == 0:  # asked of the values: less its rounded mean a constant varies
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x * x).sum()) * np.sqrt((y * y).sum()))
    return float((x * y).sum()) / size if size > 0 else float("nan")


def spearman(x: Floats, y: Floats) -> float:
    """The correlation of the ranks of x and y [edge]; nan as `pearson`'s."""
    return pearson(ranks(x), ranks(y))


def ranks(x: Floats) -> NDArray[np.float64]:
    """[edge]: from 0 for the smallest; equal numbers have the mean of their ranks."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[inverse]


def _agreement(selection: str, estimator: str, exact: Floats, estimate: Floats, rounding: float) -> Agreement:
    has_sign = np.abs(exact) > rounding
    right = np.sign(estimate[has_sign]) == np.sign(exact[has_sign])
    return Agreement(
        selection,
        estimator,
        len(exact),
        pearson(exact, estimate),
        spearman(exact, estimate),
        float(right.mean()) if len(right) else float("nan"),
        len(right),
    )
