"""One pass of the clean inputs in which chosen nodes write something else (METHOD, "Knockouts").

Several removals of nodes run at once, each a copy of the rows. Nothing changes before the first layer that has one of
their nodes, so that

1. the pass begins with the clean run's residual before that layer; what its heads computed (z) is known as well;
2. in every layer from there on, z of removed heads is replaced before the output projection, which is linear, and so
   is the output of a removed MLP; all else is computed by the model's own modules from what it reads now;
3. the last layer's MLP and the logits are computed where they are read only.

Where nodes write what they do in the corrupted run, nothing changes before the first position that differs in any row
of a causal model either (engine/evidence/changed_positions.py).

`tests/engine/evidence/test_knockouts.py` does the same with hooks on the whole model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from engine.attribution.metrics import at_sites
from engine.attribution.sites import AttributionInput
from engine.circuits.graph import Graph
from engine.evidence.kept_run import EarlierKeys, Kept, KeptRun
from engine.models.fast_model import Block, final_norm_of, hooked, output_logits
from engine.models.model import Model

SCORES = 4  # of attention, in fp32, that are held at once: mask, products, softmax, and in the model's number format


@dataclass(frozen=True)
class Removal:
    """Nodes whose writes are replaced together."""

    nodes: tuple[int, ...]  # heads and MLPs
    replaced_by: str  # a key of Batch.replacements


@dataclass(frozen=True)
class Replacement:
    """What nodes write instead, by layer; everything [row or 1, pos or 1, ...]."""

    heads: Kept  # z [..., head * d_head]
    mlps: Kept  # [..., d_model]


@dataclass(frozen=True)
class Batch:
    """Rows with what every removal's pass of them needs, from the first position on that these replacements change."""

    rows: Sequence[AttributionInput]  # their reads counted from there
    clean: KeptRun
    replacements: Mapping[str, Replacement]
    rotation: tuple[Tensor, Tensor] | None  # cos and sin [1, pos, d_head]
    bias: Tensor  # of attention [row, 1, pos, every pos]
    earlier: EarlierKeys | None  # of the positions before


def first_layer(graph: Graph, removal: Removal) -> int:
    """The first layer of which a node is removed; beyond the last where none is."""
    return min((int(graph.node_layer[node]) for node in removal.nodes), default=graph.n_layers)


def ablated_logits(model: Model, blocks: Sequence[Block], batch: Batch, removals: Sequence[Removal]) -> Tensor:
    """[removal, site, vocab]: the logits at the rows' sites (as metrics.at_sites orders them), without the nodes."""
    graph, copies, device = model.graph, len(removals), batch.bias.device
    first = min(first_layer(graph, removal) for removal in removals)
    start = batch.clean.before[first] if first < graph.n_layers else batch.clean.last[0]
    residual = start.to(device).repeat(copies, 1, 1)  # [removal * row, pos, d_model]
    options: dict[str, Any] = {"attention_mask": batch.bias.repeat(copies, 1, 1, 1), "sink": None}
    options["past_key_values"] = batch.earlier
    if batch.rotation is not None:
        options["position_embeddings"] = batch.rotation
    for layer in range(first, graph.n_layers):
        block, heads = blocks[layer], [graph.head(layer, head) for head in range(graph.n_heads)]
        instead = {name: of.heads[layer] for name, of in batch.replacements.items()}
        replace_heads = partial(_replaced, removals, heads, instead)
        if layer == first:
            z = replace_heads(batch.clean.heads[layer].repeat(copies, 1, 1))
            residual = residual + _called(block.out, z, device)
        else:
            with hooked([block.out.register_forward_pre_hook(partial(_replace_input, replace_heads))]):
                attention = block.attention(_called(block.ln1, residual, device), **options)
            residual = residual + attention[0].to(device)
        instead = {name: of.mlps[layer] for name, of in batch.replacements.items()}
        if layer == graph.n_layers - 1:  # only what is read goes on: as if sites were positions of a single row
            instead = {name: _at_sites(write, batch) for name, write in instead.items()}
            residual = at_sites(residual, [*batch.rows] * copies).unflatten(0, (copies, -1))
        written = _called(block.mlp, _called(block.ln2, residual, device), device)
        residual = residual + _replaced(removals, [graph.mlp(layer)], instead, written)
    if first == graph.n_layers:
        residual = at_sites(residual, [*batch.rows] * copies).unflatten(0, (copies, -1))
    return output_logits(model.plain, _called(final_norm_of(model.plain), residual, device))


def ablated_bytes(model: Model, blocks: Sequence[Block], rows: Sequence[AttributionInput], length: int) -> int:
    """What the pass of one removal on rows of at most `length` tokens holds: a layer, or the logits at their sites."""
    vocabulary, d_model = model.bridge.W_E.shape
    graph, block, size = model.graph, blocks[0], model.bridge.W_E.element_size()
    tokens = len(rows) * length
    attention = 4 * size * graph.n_heads * block.d_head + SCORES * 4 * graph.n_heads * length
    layer = tokens * (size * 3 * d_model + max(attention, (3 if block.joint is None else 4) * size * block.n_neurons))
    return max(layer, 3 * 4 * sum(len(row.sites) for row in rows) * vocabulary)


def _replaced(
    removals: Sequence[Removal], nodes: Sequence[int], instead: Mapping[str, Tensor], values: Tensor
) -> Tensor:
    """`values` [removal * row, pos, node * width] with those of removed ones of `nodes` replaced.

    `instead`: by replacement, [row or 1, pos or 1, node * width].
    """
    parts = values.unflatten(-1, (len(nodes), -1)).unflatten(0, (len(removals), -1))
    for name, write in instead.items():
        removed = [[r.replaced_by == name and node in r.nodes for node in nodes] for r in removals]
        if any(map(any, removed)):
            mask = torch.tensor(removed, device=parts.device)[:, None, None, :, None]
            parts = torch.where(mask, write.to(parts).unflatten(-1, (len(nodes), -1)), parts)
    return parts.flatten(0, 1).flatten(2)


def _at_sites(write: Tensor, batch: Batch) -> Tensor:
    """[1, site, width] of what a node writes instead, [row or 1, pos or 1, width]."""
    return at_sites(write.expand(*batch.bias.shape[:3:2], -1), batch.rows)[None]


def _replace_input(replace: Any, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (replace(inputs[0]), *inputs[1:])


def _called(module: nn.Module, x: Tensor, device: torch.device) -> Tensor:
    """What a module returns for x, on a device, wherever the module's own weights are."""
    result: Tensor = module(x)
    return result.to(device)
