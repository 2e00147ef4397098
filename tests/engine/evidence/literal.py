"""Run a circuit literally: the whole model, and from what each destination reads what sources outside wrote is taken.

Works on models that have a key and value head per query head (`tiny.with_own_keys`), through the bridge's hooks.
Shares no code with engine/evidence.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.attribution.metrics import at_sites, row_metrics
from engine.attribution.sites import AttributionInput
from engine.models.model import Model
from tests import oracle


def literal_logits(model: Model, row: AttributionInput, mask: NDArray[np.bool_]) -> Tensor:
    """[site, vocab] of a circuit `mask` [edge] on one row; the row runs alone, without padding."""
    graph = model.graph
    inside = np.zeros(graph.legal.shape, dtype=bool)
    inside[graph.edge_source[mask], graph.edge_destination[mask]] = True
    corrupted = oracle.source_writes(model, torch.tensor([row.corrupt]))
    now: dict[int, Tensor] = {}  # by source

    def write(source: int, tensor: Tensor, hook: Any) -> None:
        now[source] = tensor

    def write_heads(layer: int, tensor: Tensor, hook: Any) -> None:
        for head in range(graph.n_heads):
            now[graph.head(layer, head)] = tensor[:, :, head] @ model.bridge.blocks[layer].attn.W_O[head]

    def read(destination: int, head: int | None, tensor: Tensor, hook: Any) -> Tensor:
        patched = tensor.clone()
        mine = patched if head is None else patched[:, :, head]
        for source in range(int(graph.readable_sources[destination])):
            if not inside[source, destination]:
                mine -= now[source] - corrupted[source]
        return patched

    hooks: list[Any] = [("embed.hook_out", partial(write, 0))]
    for layer in range(graph.n_layers):
        hooks.append((f"blocks.{layer}.attn.hook_z", partial(write_heads, layer)))
        hooks.append((f"blocks.{layer}.hook_mlp_out", partial(write, graph.mlp(layer))))
    for destination, (name, head) in enumerate(oracle.destination_hooks(model)):
        hooks.append((name, partial(read, destination, head)))
    with oracle.hooked(model, hooks), torch.no_grad():
        return at_sites(model.logits(torch.tensor([row.clean])), [row])


def literal_metrics(
    model: Model, rows: list[AttributionInput], mask: NDArray[np.bool_], metric: str = "logit_diff"
) -> list[float]:
    """[row]: the metric of a circuit on every row."""
    values = []
    for row in rows:
        with torch.no_grad():
            clean = at_sites(model.logits(torch.tensor([row.clean])), [row])
        values.append(float(row_metrics(metric, literal_logits(model, row, mask), [row], clean)))
    return values
