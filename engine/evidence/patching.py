"""Run circuits: clean inputs, every edge outside a circuit patched to the corrupted run (METHOD, "Faithfulness").

Per batch of rows, the same rows as an attribution's (engine/attribution/sites.py):

1. Run the corrupted inputs and keep what every node read and wrote; run the clean inputs for what is to be explained.
2. Drop edges on no path from input to logits: they change nothing.
3. Run the circuits, from the smallest on and as many at once as the buffer holds, each with the nodes that it needs
   (engine/evidence/patched_pass.py).

The memory that this takes is told beforehand by engine/evidence/footprint.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.attribution.contraction import buffer_on
from engine.attribution.footprint import row_named
from engine.attribution.metrics import at_sites, row_metrics
from engine.attribution.sites import AttributionInput, up_to_reads
from engine.attribution.soundness import refuse_unsound
from engine.evidence.corrupted_run import CorruptedRun, Rotation
from engine.evidence.footprint import circuits_at_once, token_bytes
from engine.evidence.live_nodes import live_nodes, pruned_circuits
from engine.evidence.patched_pass import Batch, patched_logits
from engine.models.batching import Capacity, in_batches, padded, token_capacity
from engine.models.fast_model import Block, blocks_of, embed, hidden, hooked, output_logits
from engine.models.model import Model

Edges = NDArray[np.intp]


@dataclass(frozen=True)
class Outcomes:
    """What was read at the sites of some runs (circuits, or the whole model)."""

    metric: NDArray[np.float64]  # [run, example]
    right: NDArray[np.float64]  # [run, example], the share of the example's sites whose top token is right
    parts: dict[str, NDArray[np.float64]]  # by part, the metric [run, example]; they sum to it, 0 where nothing is read


@dataclass(frozen=True)
class CircuitRuns:
    """Circuits with what they lie between; `corrupted` and `full` hold one run each."""

    circuits: Outcomes
    corrupted: Outcomes  # every edge patched
    full: Outcomes | None  # clean inputs, nothing patched; None where it was not asked for


def circuit_masks(n_edges: int, circuits: Sequence[NDArray[np.integer]]) -> NDArray[np.bool_]:
    """[circuit, edge] of circuits that are arrays of edge indices."""
    masks = np.zeros((len(circuits), n_edges), dtype=np.bool_)
    for mask, edges in zip(masks, circuits, strict=True):
        mask[edges] = True
    return masks


def run_circuits(
    model: Model,
    rows: Sequence[AttributionInput],
    n_examples: int,
    circuits: NDArray[np.bool_],
    metric: str = "logit_diff",
    on_rows: Callable[[int], None] = lambda done: None,
    with_full: bool = True,
    buffer: int | None = None,
) -> CircuitRuns:
    """Run every one of `circuits` [circuit, edge] on every row.

    Without `with_full` the clean run is left out, unless the metric needs it: a stored circuit has its metric already.
    `buffer`: bytes for circuits that run together and for the rows of a batch, of which there is one at least
    (footprint.footprint); left out, what suits the device.

    Raises:
        UserError: an architecture that is not known, or a single row that does not fit in memory.
        Unsound: logits that are no numbers.
    """
    buffer = buffer_on(model.device) if buffer is None else buffer
    capacity = Capacity(max(1, min(token_capacity(model.plain).size, buffer // _token_bytes(model))))
    with_full = with_full or metric == "kl"
    run = _Run(model, blocks_of(model.plain), pruned_circuits(model.graph, circuits), metric, buffer, with_full)
    outcomes = [_Sums(n, n_examples) for n in (len(circuits), 1, 1)[: 2 + with_full]]
    done = 0
    members = sorted([up_to_reads(row) for row in rows] if model.causal else rows, key=lambda row: len(row.clean))
    for batch, results in in_batches(members, lambda row: len(row.clean), capacity, run.batch, run.name):
        for sums, result in zip(outcomes, results, strict=True):
            sums.add(batch, result)
        done += len(batch)
        on_rows(done)
    circuit_runs, corrupted, *full = (sums.outcomes() for sums in outcomes)
    return CircuitRuns(circuit_runs, corrupted, full[0] if full else None)


@dataclass(frozen=True)
class _Read:
    """Of some runs of a batch."""

    metric: NDArray[np.float64]  # [run, row]
    right: NDArray[np.float64]  # [run, row], weighted as the metric is


@dataclass(frozen=True)
class _Run:
    model: Model
    blocks: Sequence[Block]
    circuits: list[Edges]  # pruned
    metric: str
    buffer: int
    with_full: bool

    def name(self, row: AttributionInput) -> str:
        return row_named(row.example, len(row.clean), str(self.model.tokenizer.decode(list(row.clean))))

    @torch.no_grad()
    def batch(self, rows: Sequence[AttributionInput]) -> list[_Read]:
        """Of the circuits, the corrupted run and, where it is wanted, the full model."""
        model, plain = self.model, self.model.plain
        clean_ids, real = padded(model, [row.clean for row in rows])
        corrupt_ids, _ = padded(model, [row.corrupt for row in rows])
        bias, clean, corrupt = model.attention_bias(real), embed(plain, clean_ids), embed(plain, corrupt_ids)
        corrupted, rotation = CorruptedRun(), Rotation()
        with hooked(corrupted.hooks(plain, self.blocks) + rotation.hooks(plain)):
            corrupt_logits = output_logits(plain, at_sites(hidden(plain, corrupt, bias), rows))
        refuse_unsound(corrupt_logits, "its logits on corrupted prompts")
        clean_logits = output_logits(plain, at_sites(hidden(plain, clean, bias), rows)) if self.with_full else None
        if clean_logits is not None:  # [site, vocab]
            refuse_unsound(clean_logits, "its logits on clean prompts")
        shared = Batch(rows, clean - corrupt, corrupted, rotation.cos_sin, bias)
        metrics, rights = (np.zeros((len(self.circuits), len(rows))) for _ in range(2))
        for chosen in self._chunks(clean_ids.numel()):
            live = live_nodes(model.graph, [self.circuits[i] for i in chosen], shared.difference)
            logits = patched_logits(model, self.blocks, shared, live)
            refuse_unsound(logits, "its logits when circuits are run")
            read = self._read(logits, rows, clean_logits)
            metrics[chosen], rights[chosen] = read.metric, read.right
        ends = [corrupt_logits] if clean_logits is None else [corrupt_logits, clean_logits]
        return [_Read(metrics, rights), *(self._read(logits[None], rows, clean_logits) for logits in ends)]

    def _chunks(self, tokens: int) -> Iterator[list[int]]:
        """Circuits by index, those of similar size together, as many as the buffer holds."""
        order = sorted(range(len(self.circuits)), key=lambda i: len(self.circuits[i]))
        at_once = circuits_at_once(len(order), tokens * _token_bytes(self.model), self.buffer)
        for start in range(0, len(order), at_once):
            yield order[start : start + at_once]

    def _read(self, logits: Tensor, rows: Sequence[AttributionInput], clean_logits: Tensor | None) -> _Read:
        """Of runs' logits [run, site, vocab]."""
        runs, every_row = len(logits), list(rows) * len(logits)
        clean = clean_logits.repeat(runs, 1) if clean_logits is not None and self.metric == "kl" else None
        by_row = row_metrics(self.metric, logits.flatten(0, 1), every_row, clean)
        return _Read(by_row.view(runs, len(rows)).double().cpu().numpy(), self._right(logits, rows))

    def _right(self, logits: Tensor, rows: Sequence[AttributionInput]) -> NDArray[np.float64]:
        """[run, row]: the weight of the sites whose top token is right; an MDM never answers with its mask."""
        if self.model.mask_id is not None and not self.model.causal:
            logits = logits.index_fill(-1, torch.tensor([self.model.mask_id], device=logits.device), -torch.inf)
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

    def add(self, rows: Sequence[AttributionInput], read: _Read) -> None:
        for i, row in enumerate(rows):
            part = self._parts.setdefault(row.part, np.zeros(self._shape))
            part[:, row.example] += read.metric[:, i]
            self._right[:, row.example] += read.right[:, i]

    def outcomes(self) -> Outcomes:
        return Outcomes(
            sum(self._parts.values(), np.zeros(self._shape)), self._right, dict(sorted(self._parts.items()))
        )


def _token_bytes(model: Model) -> int:
    embedding = model.bridge.W_E  # [vocab, d_model]
    return token_bytes(model.graph, embedding.shape[1], embedding.element_size())
