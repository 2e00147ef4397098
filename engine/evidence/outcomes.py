"""What is read at the sites of runs: metric and right answers by row, added up by part and example.

Rows that read the same inputs at other sites, as those of an ARM's example do, are run once (`Input`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.attribution.footprint import row_named
from engine.attribution.metrics import row_metrics
from engine.attribution.sites import AttributionInput, up_to_reads
from engine.evidence.changed_positions import first_change
from engine.models.batching import Capacity, in_batches
from engine.models.model import Model

Rows = Sequence[AttributionInput]


@dataclass(frozen=True)
class Outcomes:
    """What was read at the sites of some runs (circuits, a model without some nodes, or the whole model)."""

    metric: NDArray[np.float64]  # [run, example]
    right: NDArray[np.float64]  # [run, example], the share of the example's sites whose top token is right
    parts: dict[str, NDArray[np.float64]]  # by part, the metric [run, example]; they sum to it, 0 where nothing is read

    def of(self, runs: Sequence[int]) -> Outcomes:
        """Those of some runs, by index; a run may be there several times."""
        chosen = list(runs)
        return Outcomes(
            self.metric[chosen], self.right[chosen], {part: values[chosen] for part, values in self.parts.items()}
        )


@dataclass(frozen=True)
class BatchOutcomes:
    """What was read at the sites of a batch of rows."""

    metric: NDArray[np.float64]  # [run, row]
    right: NDArray[np.float64]  # [run, row], weighted as the metric is


@dataclass(frozen=True)
class Input:
    """A clean and a corrupted input that are run once, and the rows that are read from it."""

    run: AttributionInput  # with the sites of all rows, one row's after the other's; its part means nothing
    rows: tuple[AttributionInput, ...]


def outcomes_of_rows(
    model: Model,
    rows: Rows,
    n_examples: int,
    runs: Sequence[int],
    capacity: Capacity,
    work: Callable[[Rows, Rows], Sequence[BatchOutcomes]],
    on_rows: Callable[[int], None],
) -> list[Outcomes]:
    """Outcomes of several kinds of runs on all rows, in batches of at most `capacity` tokens of `sorted_inputs`.

    `runs`: how many there are of each kind. `work` runs a batch, given as what is run and as the rows that are read
    from it (both have the same sites in the same order), and returns what was read, kind by kind.

    Raises:
        UserError: a single input that does not fit in memory.
    """
    sums = [_Sums(n, n_examples) for n in runs]
    done = 0

    def work_on(batch: Sequence[Input]) -> Sequence[BatchOutcomes]:
        return work([each.run for each in batch], [row for each in batch for row in each.rows])

    inputs = sorted_inputs(model, rows)
    for batch, results in in_batches(inputs, length_of, capacity, work_on, input_name(model)):
        members = [row for each in batch for row in each.rows]
        for total, result in zip(sums, results, strict=True):
            total.add(members, result)
        done += len(members)
        on_rows(done)
    return [total.outcomes() for total in sums]


def inputs_to_run(model: Model, rows: Rows) -> list[Input]:
    """The inputs of `rows`, each once; a causal model's without the tokens on which nothing that is read depends."""
    same: dict[object, list[AttributionInput]] = {}
    for row in rows:
        same.setdefault((row.example, row.clean, row.corrupt), []).append(row)
    inputs = []
    for members in same.values():
        run = replace(members[0], sites=tuple(site for row in members for site in row.sites))
        inputs.append(Input(up_to_reads(run) if model.causal else run, tuple(members)))
    return inputs


def sorted_inputs(model: Model, rows: Rows) -> list[Input]:
    """`inputs_to_run`, the shortest first, of the same length those whose first change comes first.

    So a batch has inputs alike, and few of their positions are run in vain.
    """
    return sorted(inputs_to_run(model, rows), key=lambda each: (length_of(each), first_change(model, [each.run])))


def input_name(model: Model) -> Callable[[Input], str]:
    """Names an input in a message."""
    return lambda each: row_named(
        each.run.example, len(each.run.clean), str(model.tokenizer.decode(list(each.run.clean)))
    )


def length_of(each: Input) -> int:
    """In tokens."""
    return len(each.run.clean)


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
