"""Faithfulness: how much of what the model does a circuit does alone (METHOD, "Faithfulness").

f = (m(circuit) - m(corrupted)) / (m(full) - m(corrupted)), m being the metric's mean over examples. f over the size of
circuits has two areas, those of the MIB benchmark (Mueller et al. 2025, arXiv 2504.13151): CPR under f, and CMD of
|1 - f|. Pure numpy; intervals are those of engine/circuits/intervals.py, with the same draws of examples for all
circuits, the full model and the corrupted run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.circuits.edges import Floats
from engine.circuits.intervals import Estimate, estimate, redrawn_means

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of all edges, at which MIB measures
CLOSE = 0.05  # of the metric's spread: less apart, clean and corrupted metric are taken for the same
ROUNDING = 4 * float(np.finfo(np.float32).eps)  # in which metrics are computed, whatever the model's precision


@dataclass(frozen=True)
class Ends:
    """What faithfulness lies between: the metric on clean and on corrupted prompts."""

    full: float  # mean over examples
    corrupted: float
    spread: float  # standard deviation over examples: root mean square of that on clean and on corrupted prompts
    rounding: float  # up to here a difference may be a rounding error

    @property
    def close(self) -> bool:
        """Whether there is hardly a difference that a circuit could explain."""
        return not abs(self.full - self.corrupted) > max(CLOSE * self.spread, self.rounding)


@dataclass(frozen=True)
class Faithfulness:
    """Of some circuits of one model. Where the ends are close f means nothing: all values are nan."""

    ends: Ends
    values: NDArray[np.float64]  # [1 + draw, circuit]: f on all examples, then on every draw of their blocks

    @property
    def given(self) -> bool:
        return not self.ends.close

    @property
    def f(self) -> NDArray[np.float64]:
        """[circuit]"""
        return self.values[0]

    @property
    def estimates(self) -> list[Estimate]:
        """[circuit], with intervals."""
        return [estimate(values) for values in self.values.T]

    @property
    def remark(self) -> str | None:
        """Why there is no f; None where there is."""
        if self.given:
            return None
        return (
            f"The metric is nearly the same on clean and on corrupted prompts ({self.ends.full:.3g} and "
            f"{self.ends.corrupted:.3g}; its standard deviation over examples is {self.ends.spread:.3g}): there is "
            "hardly a difference that a circuit could explain, and faithfulness is not given."
        )


@dataclass(frozen=True)
class Areas:
    """Over the share of edges, from MIB's smallest to its largest; nan where f is not given."""

    cpr: Estimate  # under f: larger is better
    cmd: Estimate  # of |1 - f|: smaller is better


def ends_of(full: Floats, corrupted: Floats) -> Ends:
    """From the metric on clean and on corrupted prompts, [example] each."""
    full, corrupted = full.astype(np.float64), corrupted.astype(np.float64)
    spread = float(np.sqrt((full.var() + corrupted.var()) / 2))
    rounding = ROUNDING * max(1.0, float(np.maximum(np.abs(full), np.abs(corrupted)).mean()))
    return Ends(float(full.mean()), float(corrupted.mean()), spread, rounding)


def faithfulness(metric: Floats, full: Floats, corrupted: Floats) -> Faithfulness:
    """From the metric of circuits [circuit, example], of the full model and of the corrupted run [example].

    Of a part of a run, a denoising step for example, where these are the part's.
    """
    ends = ends_of(full, corrupted)
    means = redrawn_means(np.column_stack([full, corrupted, *metric]))  # [1 + draw, 2 + circuit]
    if ends.close:
        return Faithfulness(ends, np.full((1, len(metric)), np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):  # a draw whose ends are the same has no f, and no interval
        values = (means[:, 2:] - means[:, 1:2]) / (means[:, :1] - means[:, 1:2])
    return Faithfulness(ends, values)


def grid_sizes(n_edges: int) -> list[int]:
    """K = int(p N) at MIB's shares p of N edges."""
    return [int(share * n_edges) for share in SHARES]


def areas(measured: Faithfulness, shares: Sequence[float] = SHARES) -> Areas:
    """CPR and CMD of circuits with these shares of all edges, ascending: trapezoids, linear in the share."""
    widths = np.diff(np.asarray(shares, dtype=np.float64))

    def area(heights: NDArray[np.float64]) -> Estimate:
        return estimate(((heights[:, 1:] + heights[:, :-1]) / 2) @ widths)

    return Areas(area(measured.values), area(np.abs(1 - measured.values)))
