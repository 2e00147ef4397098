"""One pass through a model whose destinations each read a residual of their own: circuits with all else corrupted.

With D_u = a_u(now) - a_u(corrupted), destination v reads its residual less the sum of D_u over sources u outside the
circuit. That is v's corrupted residual plus the sum of D_u over the sources inside it, and so is computed here, layer
by layer, for several circuits at once:

1. One matrix product gives what q, k and v of every live head and the MLP read from all layers before.
2. Each head computes its query, key and value from its own three residuals; what the norm multiplies with is folded
   into the weights, so that of a residual itself only the norm's scale has to be computed.
3. Heads write D in the model's space; the MLP reads those of its own layer as well, and writes its D.
4. The logits are computed where they are read only.

All of it from the first position on that differs in any row (engine/evidence/changed_positions.py): D is zero before.

`tests/engine/evidence/literal.py` does the same literally: it runs the whole model and takes the writes of the
sources outside the circuit off what each destination reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.attribution.sites import AttributionInput
from engine.evidence.kept_run import KeptRun
from engine.evidence.live_nodes import SLOTS, LiveNodes
from engine.models.fast_model import Block, final_norm_of, output_logits
from engine.models.model import Model
from engine.models.norms import Norm, rotate
from engine.models.sliding_windows import narrowed

Rotated = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Batch:
    """Rows with what every circuit's pass of them needs, from the first position on that differs."""

    rows: Sequence[AttributionInput]  # their reads counted from there
    difference: Tensor  # of the embeddings, clean minus corrupted [row, pos, d_model]
    corrupted: KeptRun
    rotation: Rotated | None  # cos and sin [1, pos, d_head]
    bias: Tensor  # of attention [row, 1, pos, every pos]


def patched_logits(model: Model, blocks: Sequence[Block], batch: Batch, live: LiveNodes) -> Tensor:
    """[circuit, site, vocab]: the logits at the rows' sites (as metrics.at_sites orders them), of every circuit."""
    writes = batch.difference.new_empty(live.reads.shape[2], len(live.reads), *batch.difference.shape)
    writes[:SLOTS] = 0  # a slot is read by a zero before it is filled, and what is no number stays none then
    writes[SLOTS : live.before(1)] = batch.difference  # the input, unless nothing is live
    for layer, block in enumerate(blocks):
        _run_layer(model, layer, block, batch, live, writes)
    at = [(i, site.read) for i, row in enumerate(batch.rows) for site in row.sites]
    rows, positions = (torch.tensor(index, device=writes.device) for index in zip(*at, strict=True))
    writes[0] = batch.corrupted.last[0]
    read = torch.bmm(live.reads[:, -1:], writes[:, :, rows, positions].flatten(2).transpose(0, 1))
    final = read.view(len(live.reads), len(at), -1)  # [circuit, site, d_model]
    return output_logits(model.plain, called(final_norm_of(model.plain), final))


def _run_layer(model: Model, layer: int, block: Block, batch: Batch, live: LiveNodes, writes: Tensor) -> None:
    """Put D of a layer's live heads and MLP into `writes` [column, circuit, row, pos, d_model]."""
    graph, heads, has_mlp = model.graph, live.heads[layer], live.mlps[layer]
    if not len(heads) and not has_mlp:
        return
    writes[0], writes[1] = batch.corrupted.before[layer], batch.corrupted.between[layer]
    start, first, mlp = graph.attention_destinations(layer).start, live.before(graph.head(layer, 0)), graph.mlp(layer)
    destinations = [start + part * graph.n_heads + int(head) for part in range(3) for head in heads]
    destinations += [graph.mlp_destination(layer)] if has_mlp else []
    residuals = _sums(live.reads[:, destinations, :first], writes[:first])  # [destination, circuit, row, pos, d_model]
    if len(heads):
        bias = narrowed(batch.bias, model.windows[layer]) if model.causal and model.windows else batch.bias
        values = queries_keys_values(block, batch.rotation, heads, graph.n_heads, residuals)
        z = attend(block, batch.corrupted.attended(layer, heads, graph.n_heads, values), bias)
        corrupted = batch.corrupted.heads[layer].to(z).unflatten(2, (graph.n_heads, -1))[:, :, heads]
        z -= corrupted.permute(2, 0, 1, 3)[:, None]  # [head, circuit, row, pos, d_head]
        written = writes[first : first + len(heads)].flatten(1, 3)
        torch.bmm(z.flatten(1, 3), block.output_weights()[heads].to(z), out=written)
    if has_mlp:
        residual = residuals[-1]
        if len(heads):
            own = live.reads[:, destinations[-1:], first : first + len(heads)]
            residual += _sums(own, writes[first : first + len(heads)])[0]
        now = called(block.mlp, called(block.ln2, residual))
        torch.sub(now, batch.corrupted.mlps[layer].to(now), out=writes[live.before(mlp)])


def _sums(reads: Tensor, writes: Tensor) -> Tensor:
    """[destination, circuit, row, pos, d_model]: what each of `reads` [circuit, destination, column] sums up.

    `writes` [column, circuit, row, pos, d_model].
    """
    sums = writes.new_empty(reads.shape[1], *writes.shape[1:])
    for circuit, matrix in enumerate(reads):  # each a matrix product of its own, without a copy of any write
        torch.mm(matrix, writes[:, circuit].flatten(1), out=sums[:, circuit].flatten(1))
    return sums


def queries_keys_values(
    block: Block, rotation: Rotated | None, heads: NDArray[np.intp], n_heads: int, residuals: Tensor
) -> list[Tensor]:
    """q, k and v [head, circuit, row, pos, d_head] of some heads, each from its own residual.

    `rotation`: cos and sin [1, pos, d_head]; none where the model does not rotate.
    `residuals` [3 * head or more, circuit, row, pos, d_model]; every query head has a key and a value of its own.
    """
    norm = Norm.of(block.ln1).on(residuals.device)
    values = []
    for part, (weights, constant) in enumerate(zip(block.weights(), block.constants(Norm.of(block.ln1)), strict=True)):
        own = torch.as_tensor(heads, device=weights.device) // (n_heads // len(weights))
        folded = norm.centre(weights[own].to(residuals.device).float() * norm.weight)  # [head, d_head, d_model]
        read = residuals[part * len(heads) : (part + 1) * len(heads)]
        value = torch.bmm(read.flatten(1, 3), folded.to(read).transpose(1, 2)).unflatten(1, read.shape[1:4])
        value /= _scale(norm, read)
        value += constant[own].to(value)[:, None, None, None]
        values.append(value)
    for index, module in enumerate(block.norms.values()):
        values[index] = called(module, values[index])
    if rotation is not None:
        cos, sin = (part.to(values[0]) for part in rotation)
        values[:2] = (rotate(value.flatten(0, 1), cos, sin).view_as(value) for value in values[:2])
    return values


def _scale(norm: Norm, x: Tensor) -> Tensor:
    """Norm.scale of x [..., d_model], [..., 1], without a copy of x."""
    if norm.centred:
        square = x.var(-1, correction=0, keepdim=True)
    else:
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32).square() / x.shape[-1]
    return (square.float() + norm.eps).sqrt().to(x.dtype)


def attend(block: Block, values: Sequence[Tensor], bias: Tensor) -> Tensor:
    """z [head, circuit, row, pos, d_head] of q of the same shape, and of k and v that may have positions before those.

    The softmax is in fp32.
    """
    q, k, v = values
    scale: float = block.attention.scaling  # type: ignore[assignment]
    scores = (q @ k.transpose(3, 4)).float().mul_(scale)
    scores += bias[:, 0].to(scores.device)  # [row, query, key]
    return scores.softmax(-1).to(v.dtype) @ v


def called(module: nn.Module, x: Tensor) -> Tensor:
    """What a module returns for x, on x's device, wherever the module's own weights are."""
    result: Tensor = module(x)
    return result.to(x.device)
