"""What is read at the sites of runs: metric and right answers by row, added up by part and example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.attribution.footprint import row_named
from engine.attribution.metrics import row_metrics
from engine.attribution.sites import AttributionInput, up_to_reads
from engine.models.batching import Capacity, in_batches
from engine.models.model import Model

Rows = Sequence[AttributionInput]


@dataclass(frozen=True)
class Outcomes:
    """What was read at the sites of some runs (circuits, a model without some nodes, or the whole model)."""

    metric: NDArray[np.float64]  # [run, example]
    right: NDArray[np.float64]  # [run, example], the share of the example's sites whose top token is right
    parts: dict[str, NDArray[np.float64]]  # by part, the metric [run, example]; they sum to it, 0 where nothing is read


@dataclass(frozen=True)
class BatchOutcomes:
    """What was read at the sites of a batch of rows."""

    metric: NDArray[np.float64]  # [run, row]
    right: NDArray[np.float64]  # [run, row], weighted as the metric is


def outcomes_of_rows(
    model: Model,
    rows: Rows,
    n_examples: int,
    runs: Sequence[int],
    capacity: Capacity,
    work: Callable[[Rows], Sequence[BatchOutcomes]],
    on_rows: Callable[[int], None],
) -> list[Outcomes]:
    """Outcomes of several kinds of runs on all rows, in batches of at most `capacity` tokens, the shortest rows first.

    `runs`: how many there are of each kind; `work` runs a batch of rows and returns what was read, kind by kind.

    Raises:
        UserError: a single row that does not fit in memory.
    """
    sums = [_Sums(n, n_examples) for n in runs]
    done = 0
    members = sorted(rows_to_run(model, rows), key=lambda row: len(row.clean))
    for batch, results in in_batches(members, lambda row: len(row.clean), capacity, work, row_name(model)):
        for total, result in zip(sums, results, strict=True):
            total.add(batch, result)
        done += len(batch)
        on_rows(done)
    return [total.outcomes() for total in sums]


def rows_to_run(model: Model, rows: Rows) -> Rows:
    """The rows as they are run: a causal model's without the tokens on which nothing that is read depends."""
    return [up_to_reads(row) for row in rows] if model.causal else rows


def row_name(model: Model) -> Callable[[AttributionInput], str]:
    """Names a row in a message."""
    return lambda row: row_named(row.example, len(row.clean), str(model.tokenizer.decode(list(row.clean))))


def batch_outcomes(
    model: Model, metric: str, logits: Tensor, rows: Rows, clean_logits: Tensor | None = None
) -> BatchOutcomes:
    """From runs' logits [run, site, vocab], sites as metrics.at_sites orders them.

    `clean_logits` [site, vocab] are needed for the KL divergence only.
    """
    runs = len(logits)
    clean = clean_logits.repeat(runs, 1) if clean_logits is not None and metric == "kl" else None
    by_row = row_metrics(metric, logits.flatten(0, 1), list(rows) * runs, clean)
    return BatchOutcomes(by_row.view(runs, len(rows)).double().cpu().numpy(), _right(model, logits, rows))


def _right(model: Model, logits: Tensor, rows: Rows) -> NDArray[np.float64]:
    """[run, row]: the weight of the sites whose top token is right; an MDM never answers with its mask."""
    if model.mask_id is not None and not model.causal:
        logits = logits.index_fill(-1, torch.tensor([model.mask_id], device=logits.device), -torch.inf)
    top = logits.argmax(-1).cpu().numpy()  # [run, site]
    sites = [(i, site.right, row.weight) for i, row in enumerate(rows) for site in row.sites]
    right = np.zeros((len(logits), len(rows)))
    for column, (i, tokens, weight) in enumerate(sites):
        right[:, i] += weight * np.isin(top[:, column], tokens)
    return right


class _Sums:
    """Outcomes as they add up, batch by batch."""

    def __init__(self, n_runs: int, n_examples: int) -> None:
        self._shape = n_runs, n_examples
        self._right = np.zeros(self._shape)
        self._parts: dict[str, NDArray[np.float64]] = {}

    def add(self, rows: Rows, read: BatchOutcomes) -> None:
        for i, row in enumerate(rows):
            part = self._parts.setdefault(row.part, np.zeros(self._shape))
            part[:, row.example] += read.metric[:, i]
            self._right[:, row.example] += read.right[:, i]

    def outcomes(self) -> Outcomes:
        return Outcomes(
            sum(self._parts.values(), np.zeros(self._shape)), self._right, dict(sorted(self._parts.items()))
        )
