"""Run circuits: clean inputs, every edge outside a circuit patched to the corrupted run (METHOD, "Faithfulness").

Per batch of rows, the same rows as an attribution's (engine/attribution/sites.py):

1. Run the corrupted inputs and keep what every node read and wrote from the first position on that differs; run the
   clean inputs for what is to be explained.
2. Drop edges on no path from input to logits: they change nothing. Circuits that are the same then are run once.
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

from engine.attribution.contraction import buffer_on
from engine.attribution.metrics import at_sites
from engine.attribution.sites import AttributionInput
from engine.attribution.soundness import refuse_unsound
from engine.evidence.changed_positions import first_change, reads_from
from engine.evidence.footprint import circuits_at_once, token_bytes
from engine.evidence.kept_run import KeptRun, Rotation
from engine.evidence.live_nodes import live_nodes, pruned_circuits
from engine.evidence.outcomes import BatchOutcomes, Outcomes, batch_outcomes, outcomes_of_rows
from engine.evidence.patched_pass import Batch, patched_logits
from engine.models.batching import Capacity, padded, token_capacity
from engine.models.fast_model import Block, blocks_of, embed, hidden, hooked, output_logits
from engine.models.model import Model

Edges = NDArray[np.intp]


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
    different, which = _different(pruned_circuits(model.graph, circuits))
    run = _Run(model, blocks_of(model.plain), different, metric, buffer, with_full)
    runs = (len(different), 1, 1)[: 2 + with_full]
    outcomes = outcomes_of_rows(model, rows, n_examples, runs, capacity, run.batch, on_rows)
    circuit_runs, corrupted, *full = outcomes
    return CircuitRuns(circuit_runs.of(which), corrupted, full[0] if full else None)


def _different(circuits: Sequence[Edges]) -> tuple[list[Edges], list[int]]:
    """Circuits that differ, and which of them each of `circuits` is: every order ends with all edges, for example."""
    different = {edges.tobytes(): edges for edges in circuits}
    places = {content: place for place, content in enumerate(different)}
    return list(different.values()), [places[edges.tobytes()] for edges in circuits]


@dataclass(frozen=True)
class _Run:
    model: Model
    blocks: Sequence[Block]
    circuits: list[Edges]  # pruned
    metric: str
    buffer: int
    with_full: bool

    @torch.no_grad()
    def batch(self, rows: Sequence[AttributionInput], read: Sequence[AttributionInput]) -> list[BatchOutcomes]:
        """Of the circuits, the corrupted run and, where it is wanted, the full model; `read` as outcomes_of_rows."""
        model, plain = self.model, self.model.plain
        clean_ids, real = padded(model, [row.clean for row in rows])
        corrupt_ids, _ = padded(model, [row.corrupt for row in rows])
        bias, clean, corrupt = model.attention_bias(real), embed(plain, clean_ids), embed(plain, corrupt_ids)
        start = first_change(model, rows)
        corrupted, rotation = KeptRun(start), Rotation()
        with hooked(corrupted.hooks(plain, self.blocks) + rotation.hooks(plain)):
            corrupt_logits = output_logits(plain, at_sites(hidden(plain, corrupt, bias), rows))
        refuse_unsound(corrupt_logits, "its logits on corrupted prompts")
        clean_logits = output_logits(plain, at_sites(hidden(plain, clean, bias), rows)) if self.with_full else None
        if clean_logits is not None:  # [site, vocab]
            refuse_unsound(clean_logits, "its logits on clean prompts")
        difference = (clean - corrupt)[:, start:]
        shared = Batch(reads_from(rows, start), difference, corrupted, rotation.since(start), bias[:, :, start:])
        metrics, rights = (np.zeros((len(self.circuits), len(read))) for _ in range(2))
        for chosen in self._chunks(clean_ids.numel()):
            live = live_nodes(model.graph, [self.circuits[i] for i in chosen], shared.difference)
            logits = patched_logits(model, self.blocks, shared, live)
            refuse_unsound(logits, "its logits when circuits are run")
            outcomes = batch_outcomes(model, self.metric, logits, read, clean_logits)
            metrics[chosen], rights[chosen] = outcomes.metric, outcomes.right
        ends = [corrupt_logits] if clean_logits is None else [corrupt_logits, clean_logits]
        read_ends = (batch_outcomes(model, self.metric, logits[None], read, clean_logits) for logits in ends)
        return [BatchOutcomes(metrics, rights), *read_ends]

    def _chunks(self, tokens: int) -> Iterator[list[int]]:
        """Circuits by index, those of similar size together, as many as the buffer holds."""
        order = sorted(range(len(self.circuits)), key=lambda i: len(self.circuits[i]))
        at_once = circuits_at_once(len(order), tokens * _token_bytes(self.model), self.buffer)
        for start in range(0, len(order), at_once):
            yield order[start : start + at_once]


def _token_bytes(model: Model) -> int:
    embedding = model.bridge.W_E  # [vocab, d_model]
    return token_bytes(model.graph, embedding.shape[1], embedding.element_size())
