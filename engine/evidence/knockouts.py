"""Knockouts: the model run on clean inputs without some of its heads and MLPs (METHOD, "Knockouts").

What a removed node writes is replaced at every position by the corrupted run's write, or by its mean over the task;
everything downstream is computed anew. Per batch of rows, the same rows as an attribution's:

1. Run the clean and the corrupted inputs and keep what every node read and wrote.
2. Run the removals of nodes, those that begin in the same layer and at the same position together and as many at once
   as the buffer holds, from there on (engine/evidence/ablated_pass.py).

Means over the task are taken first, in a pass of the clean inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from engine.attribution.contraction import buffer_on
from engine.attribution.metrics import at_sites
from engine.attribution.sites import AttributionInput
from engine.attribution.soundness import refuse_unsound
from engine.evidence.ablated_pass import Batch, Removal, Replacement, ablated_bytes, ablated_logits, first_layer
from engine.evidence.changed_positions import first_change, reads_from
from engine.evidence.footprint import circuits_at_once
from engine.evidence.kept_run import Kept, KeptRun, Rotation
from engine.evidence.outcomes import (
    BatchOutcomes,
    Input,
    Outcomes,
    batch_outcomes,
    input_name,
    inputs_to_run,
    length_of,
    outcomes_of_rows,
)
from engine.models.batching import Capacity, in_batches, padded, token_capacity
from engine.models.fast_model import Block, blocks_of, embed, hidden, hooked, output_logits
from engine.models.model import Model
from engine.schema.evidence_tables import REPLACEMENTS

CORRUPTED, MEAN = REPLACEMENTS  # what a removed node's write is replaced by


@dataclass(frozen=True)
class Knockouts:
    """Removals of nodes with the runs that they are compared with; `corrupted` and `full` hold one run each."""

    without: Outcomes  # [removal, example]
    corrupted: Outcomes  # corrupted inputs, nothing replaced
    full: Outcomes  # clean inputs, nothing replaced


def run_without(
    model: Model,
    rows: Sequence[AttributionInput],
    n_examples: int,
    removals: Sequence[Removal],
    metric: str = "logit_diff",
    on_rows: Callable[[int], None] = lambda done: None,
    buffer: int | None = None,
) -> Knockouts:
    """Run every one of `removals` on every row.

    `buffer`: bytes for removals that run together, and for what is kept of a batch's clean and corrupted run, each of
    which has one row at least; left out, what suits the device.

    Raises:
        UserError: an architecture that is not known, or a single row that does not fit in memory.
        Unsound: logits that are no numbers.
        ValueError: a removal of what is neither head nor MLP, or by what is no replacement.
    """
    _refuse_unknown(model, removals)
    buffer = buffer_on(model.device) if buffer is None else buffer
    blocks = blocks_of(model.plain)
    capacity = Capacity(max(1, min(token_capacity(model.plain).size, buffer // _kept_bytes(model, blocks))))
    wants_mean = any(removal.replaced_by == MEAN for removal in removals)
    mean = task_mean(model, rows, capacity) if wants_mean else None
    run = _Run(model, blocks, removals, mean, metric, buffer)
    runs = (len(removals), 1, 1)
    return Knockouts(*outcomes_of_rows(model, rows, n_examples, runs, capacity, run.batch, on_rows))


def task_mean(model: Model, rows: Sequence[AttributionInput], capacity: Capacity | None = None) -> Replacement:
    """What every node writes on average over all tokens of the clean inputs, each run once; everything [1, 1, ...].

    A head's mean z stands for its mean write, which is z times the output weights.
    """
    blocks, layers = blocks_of(model.plain), range(model.graph.n_layers)
    capacity, inputs = capacity or token_capacity(model.plain), inputs_to_run(model, rows)

    @torch.no_grad()
    def sums(batch: Sequence[Input]) -> tuple[Tensor, Tensor]:
        """Of z [layer, head * d_head] and of MLPs' outputs [layer, d_model]."""
        ids, real = padded(model, [each.run.clean for each in batch])
        kept = KeptRun()
        with hooked(kept.hooks(model.plain, blocks)):
            hidden(model.plain, embed(model.plain, ids), model.attention_bias(real))
        return _sums(kept.heads, real), _sums(kept.mlps, real)

    added = [result for _, result in in_batches(inputs, length_of, capacity, sums, input_name(model))]
    tokens = sum(map(length_of, inputs))
    heads, mlps = (torch.stack(batches).sum(0) / tokens for batches in zip(*added, strict=True))
    return Replacement(*({layer: of[layer, None, None] for layer in layers} for of in (heads, mlps)))


@dataclass(frozen=True)
class _Run:
    model: Model
    blocks: Sequence[Block]
    removals: Sequence[Removal]
    mean: Replacement | None
    metric: str
    buffer: int

    @torch.no_grad()
    def batch(self, rows: Sequence[AttributionInput], read: Sequence[AttributionInput]) -> list[BatchOutcomes]:
        """Of the removals, the corrupted run and the full model; `read` as outcomes_of_rows has it."""
        model = self.model
        clean_ids, real = padded(model, [row.clean for row in rows])
        corrupt_ids, _ = padded(model, [row.corrupt for row in rows])
        bias, rotation, start = model.attention_bias(real), Rotation(), first_change(model, rows)
        clean, corrupted = KeptRun(), KeptRun(start)
        clean_logits = self._run(clean_ids, bias, rows, clean, rotation)
        corrupt_logits = self._run(corrupt_ids, bias, rows, corrupted, rotation)
        refuse_unsound(clean_logits, "its logits on clean prompts")
        refuse_unsound(corrupt_logits, "its logits on corrupted prompts")
        replacements = {CORRUPTED: Replacement(corrupted.heads, corrupted.mlps)}
        if self.mean is not None:
            replacements[MEAN] = self.mean
        starts = {CORRUPTED: start, MEAN: 0}  # the first position that a replacement changes
        batches = {
            at: Batch(
                reads_from(rows, at), clean.since(at), {by: of for by, of in replacements.items() if starts[by] == at},
                rotation.since(at), bias[:, :, at:], corrupted.earlier if at else None,
            )
            for at in {*starts.values()}
        }  # fmt: skip
        metrics, rights = (np.zeros((len(self.removals), len(read))) for _ in range(2))
        for at, chosen in self._chunks(ablated_bytes(model, self.blocks, rows, clean_ids.shape[1]), starts):
            logits = ablated_logits(model, self.blocks, batches[at], [self.removals[i] for i in chosen])
            refuse_unsound(logits, "its logits without some of its nodes")
            outcomes = batch_outcomes(model, self.metric, logits, read, clean_logits)
            metrics[chosen], rights[chosen] = outcomes.metric, outcomes.right
        ends = (corrupt_logits, clean_logits)
        read_ends = (batch_outcomes(model, self.metric, logits[None], read, clean_logits) for logits in ends)
        return [BatchOutcomes(metrics, rights), *read_ends]

    def _run(
        self, ids: Tensor, bias: Tensor, rows: Sequence[AttributionInput], kept: KeptRun, rotation: Rotation
    ) -> Tensor:
        """Run `ids` [row, pos], keep what `kept` and `rotation` are to have of it; its logits [site, vocab]."""
        plain = self.model.plain
        with hooked(kept.hooks(plain, self.blocks) + rotation.hooks(plain)):
            last = at_sites(hidden(plain, embed(plain, ids), bias), rows)
        return output_logits(plain, last)

    def _chunks(self, each: int, starts: Mapping[str, int]) -> Iterator[tuple[int, list[int]]]:
        """Removals by index that begin at the same position and in the same layer, as many as the buffer holds."""
        graph = self.model.graph
        begin = [(starts[removal.replaced_by], first_layer(graph, removal)) for removal in self.removals]
        order = sorted(range(len(begin)), key=begin.__getitem__)
        for (start, _), members in groupby(order, key=begin.__getitem__):
            same = list(members)
            at_once = circuits_at_once(len(same), each, self.buffer)
            for first in range(0, len(same), at_once):
                yield start, same[first : first + at_once]


def _refuse_unknown(model: Model, removals: Sequence[Removal]) -> None:
    for removal in removals:
        if not all(0 < node < model.graph.logits for node in removal.nodes):
            raise ValueError(f"{removal.nodes} are to be removed, of which some are neither heads nor MLPs")
        if removal.replaced_by not in REPLACEMENTS:
            raise ValueError(f"nodes can't be replaced by {removal.replaced_by!r}, only by {', '.join(REPLACEMENTS)}")


def _kept_bytes(model: Model, blocks: Sequence[Block]) -> int:
    """What is kept of both runs for a token."""
    written, embedding = model.graph.n_heads * blocks[0].d_head, model.bridge.W_E  # [vocab, d_model]
    return 2 * model.graph.n_layers * (3 * embedding.shape[1] + written) * embedding.element_size()


def _sums(kept: Kept, real: Tensor) -> Tensor:
    """[layer, width]: of what is kept [row, pos, width] at tokens that are real [row, pos], no padding; in fp32."""
    mask = real[..., None]
    return torch.stack([kept[layer].to(real.device).float().mul(mask).sum((0, 1)) for layer in sorted(kept)])
