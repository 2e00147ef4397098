"""Patch single edges for real: one edge of a clean run carries what it carries in the corrupted one (METHOD, "Audit").

Per batch of rows, the same rows as an attribution's (engine/attribution/sites.py):

1. Run the clean and the corrupted inputs; keep what every node read and wrote in the clean run, and what it wrote in
   the corrupted one.
2. Of every edge u -> v take a_u(clean) - a_u(corrupted) off what v alone reads, and compute v anew. Where v is a head's
   q, k or v, that head is computed alone, and what it now writes goes into the residual.
3. Run the model from there on: layers before v's are those of the clean run, and so are positions before the first that
   differs in any row of a causal model. In the last layer only the positions that are read go on.

engine/evidence/patching.py patches many edges at once; of a single edge this is the same, in a part of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.attribution.metrics import at_sites, row_metrics
from engine.attribution.sites import AttributionInput
from engine.attribution.soundness import refuse_unsound
from engine.circuits.edges import Ints
from engine.evidence.changed_positions import first_change, reads_from
from engine.evidence.kept_run import KeptRun, Rotation
from engine.evidence.live_nodes import MLP_KIND
from engine.evidence.outcomes import Input, input_name, length_of, sorted_inputs
from engine.evidence.patched_pass import Rotated, attend, called, queries_keys_values
from engine.models.batching import in_batches, padded, token_capacity
from engine.models.fast_model import Block, blocks_of, embed, final_norm_of, hidden, hooked, output_logits
from engine.models.model import Model
from engine.models.sliding_windows import narrowed

LOGITS_KIND = 4  # in Graph.destination_kind


@dataclass(frozen=True)
class EdgeEffects:
    """The metric with single edges patched, and without."""

    without: NDArray[np.float64]  # [edge, example]
    full: NDArray[np.float64]  # [example]
    corrupted: NDArray[np.float64]  # [example]

    @property
    def exact(self) -> NDArray[np.float64]:
        """[edge]: the exact scores, means over examples."""
        return (self.full - self.without).mean(1)


def patch_edges(
    model: Model,
    rows: Sequence[AttributionInput],
    n_examples: int,
    edges: Ints,
    metric: str = "logit_diff",
    on_rows: Callable[[int], None] = lambda done: None,
) -> EdgeEffects:
    """Patch every one of `edges` [edge], Graph's indices, alone.

    Raises:
        UserError: an architecture that is not known, or a single row that does not fit in memory.
        Unsound: logits that are no numbers.
    """
    blocks = blocks_of(model.plain)
    effects = np.zeros((len(edges) + 2, n_examples))

    def work(batch: Sequence[Input]) -> NDArray[np.float64]:
        return _metrics(model, blocks, [each.run for each in batch], edges, metric)

    done = 0
    inputs = sorted_inputs(model, rows)  # sites of an input have one weight, and are added up
    for batch, result in in_batches(inputs, length_of, token_capacity(model.plain), work, input_name(model)):
        for each, values in zip(batch, result.T, strict=True):
            effects[:, each.run.example] += values
            done += len(each.rows)
        on_rows(done)
    return EdgeEffects(effects[2:], effects[0], effects[1])


@dataclass(frozen=True)
class _Clean:
    """The clean run of a batch, and what its nodes write more than in the corrupted run.

    Everything from the first position on that differs.
    """

    model: Model
    blocks: Sequence[Block]
    rows: Sequence[AttributionInput]  # their reads counted from there
    kept: KeptRun
    corrupted: KeptRun
    embeddings: Tensor  # clean minus corrupted [row, pos, d_model]
    rotation: Rotated | None
    bias: Tensor  # of attention [row, 1, pos, every pos]

    def without(self, edge: int) -> Tensor:
        """[site, vocab]: the logits with an edge patched."""
        graph = self.model.graph
        source, destination = int(graph.edge_source[edge]), int(graph.edge_destination[edge])
        kind, written = int(graph.destination_kind[destination]), self._written(source)
        if kind == LOGITS_KIND:
            return self._logits(at_sites(self.kept.last[0] - written.to(self.kept.last[0]), self.rows))
        layer = int(graph.node_layer[graph.destination_node[destination]])
        x = self.kept.between[layer]
        if kind == MLP_KIND:
            return self._from_mlp(layer, x, x - written.to(x))
        x = x + self._change_of_head(layer, destination, kind, written).to(x)
        return self._from_mlp(layer, x, x)

    def _written(self, source: int) -> Tensor:
        """[row, pos, d_model]: what a node writes in the clean run less what it writes in the corrupted one."""
        graph = self.model.graph
        if source == 0:
            return self.embeddings
        layer = int(graph.node_layer[source])
        if source == graph.mlp(layer):
            return self.kept.mlps[layer] - self.corrupted.mlps[layer]
        head = source - graph.head(layer, 0)
        z, corrupted = (
            run.heads[layer].unflatten(2, (graph.n_heads, -1))[:, :, head] for run in (self.kept, self.corrupted)
        )
        return (z - corrupted) @ self.blocks[layer].output_weights()[head].to(z)

    def _change_of_head(self, layer: int, destination: int, kind: int, written: Tensor) -> Tensor:
        """[row, pos, d_model]: what a head writes more when its q, k or v (`kind` 0, 1, 2) reads `written` less.

        Both are computed alike, so that rounding cancels.
        """
        block, n_heads, x = self.blocks[layer], self.model.graph.n_heads, self.kept.before[layer]
        head = (destination - self.model.graph.attention_destinations(layer).start) % n_heads
        both = torch.stack([x, x])  # whole and patched
        residuals = both.expand(3, -1, -1, -1, -1).clone()  # [q, k, v; whole or patched; row, pos, d_model]
        residuals[kind, 1] -= written.to(x)
        bias = narrowed(self.bias, self.model.windows[layer]) if self.model.causal and self.model.windows else self.bias
        values = queries_keys_values(block, self.rotation, np.array([head]), n_heads, residuals)
        values = self.kept.attended(layer, np.array([head]), n_heads, values)
        z = attend(block, values, bias)[0]  # [whole or patched, row, pos, d_head]
        return (z[1] - z[0]) @ block.output_weights()[head].to(z)

    def _from_mlp(self, layer: int, x: Tensor, read: Tensor) -> Tensor:
        """[site, vocab]: the rest of the model after a layer's attention, whose MLP reads another residual than x."""
        options: dict[str, Any] = {"attention_mask": self.bias, "past_key_values": self.kept.earlier}
        if self.rotation is not None:
            options["position_embeddings"] = self.rotation
        last = len(self.blocks) - 1
        for later, block in enumerate(self.blocks[layer:], layer):
            if later > layer:
                read = x = x + block.attention(called(block.ln1, x), **options)[0].to(x.device)
            if later == last:
                x, read = at_sites(x, self.rows), at_sites(read, self.rows)
            x = x + called(block.mlp, called(block.ln2, read))
        return self._logits(x)

    def _logits(self, x: Tensor) -> Tensor:
        """[site, vocab] of the last residual at the sites [site, d_model]."""
        return output_logits(self.model.plain, called(final_norm_of(self.model.plain), x))


@torch.no_grad()
def _metrics(
    model: Model, blocks: Sequence[Block], rows: Sequence[AttributionInput], edges: Ints, metric: str
) -> NDArray[np.float64]:
    """[2 + edge, row]: of the clean run, of the corrupted run, and with every edge patched."""
    plain, rotation, runs = model.plain, Rotation(), []
    clean_ids, real = padded(model, [row.clean for row in rows])
    embeddings = [embed(plain, ids) for ids in (clean_ids, padded(model, [row.corrupt for row in rows])[0])]
    bias, logits, start = model.attention_bias(real), [], first_change(model, rows)
    for embedding, what in zip(
        embeddings, ("its logits on clean prompts", "its logits on corrupted prompts"), strict=True
    ):
        runs.append(KeptRun(start))
        with hooked(runs[-1].hooks(plain, blocks) + rotation.hooks(plain)):
            logits.append(output_logits(plain, at_sites(hidden(plain, embedding, bias), rows)))
        refuse_unsound(logits[-1], what)
    clean = _Clean(
        model, blocks, reads_from(rows, start), runs[0], runs[1], (embeddings[0] - embeddings[1])[:, start:],
        rotation.since(start), bias[:, :, start:],
    )  # fmt: skip
    values = [row_metrics(metric, each, rows, logits[0]) for each in logits]
    values += [row_metrics(metric, clean.without(int(edge)), rows, logits[0]) for edge in edges]
    metrics = torch.stack(values)
    refuse_unsound(metrics, "its metrics when edges are patched")
    return metrics.double().cpu().numpy()
