"""The plain way to score edges: one input per destination, autograd through it, one dot product per edge.

Works on models that have a key and value head per query head (`tiny.with_own_keys`), so that every destination of
METHOD has a hook of its own. Slow, short, and independent of the head-space algebra in
engine/attribution/edge_scores.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from engine.attribution.edge_scores import integration_points
from engine.attribution.metrics import at_sites, row_metrics
from engine.attribution.sites import AttributionInput
from engine.models.model import Model


def destination_hooks(model: Model) -> list[tuple[str, int | None]]:
    """(hook, head) of every destination, in the graph's order."""
    hooks: list[tuple[str, int | None]] = []
    for layer in range(model.graph.n_layers):
        heads = range(model.graph.n_heads)
        hooks += [(f"blocks.{layer}.attn.hook_{part}_input", head) for part in "qkv" for head in heads]
        hooks.append((f"blocks.{layer}.ln2.hook_in", None))
    return [*hooks, ("ln_final.hook_in", None)]


def hooked(model: Model, hooks: Sequence[tuple[str, Callable[[Tensor, Any], Tensor | None]]]) -> AbstractContextManager:
    model.bridge.set_use_split_qkv_input(True)
    return model.bridge.hooks(fwd_hooks=[(name, lambda t, hook, f=f: f(t, hook)) for name, f in hooks])


def source_writes(model: Model, ids: Tensor) -> list[Tensor]:
    """What every source writes, [batch, pos, d_model] each, in the graph's order."""
    cache: dict[str, Tensor] = {}
    layers = range(model.graph.n_layers)
    names = ["embed.hook_out", *(f"blocks.{i}.{n}" for i in layers for n in ("attn.hook_z", "hook_mlp_out"))]

    def keeping(name: str) -> Callable[[Tensor, Any], None]:
        return lambda tensor, hook: cache.__setitem__(name, tensor.detach())

    with hooked(model, [(name, keeping(name)) for name in names]), torch.no_grad():
        model.logits(ids)
    writes = [cache["embed.hook_out"]]
    for layer in layers:
        z, w = cache[f"blocks.{layer}.attn.hook_z"], model.bridge.blocks[layer].attn.W_O
        writes += [z[:, :, head] @ w[head] for head in range(model.graph.n_heads)]
        writes.append(cache[f"blocks.{layer}.hook_mlp_out"])
    return writes


def destination_gradients(
    model: Model, row: AttributionInput, alpha: float, metric: str
) -> tuple[list[Tensor], list[Tensor]]:
    """Per destination what it reads and the metric's gradient there, both [pos, d_model], at one point."""
    clean, corrupt = torch.tensor([row.clean]), torch.tensor([row.corrupt])
    e_clean, e_corrupt = source_writes(model, clean)[0], source_writes(model, corrupt)[0]
    point = (e_corrupt + alpha * (e_clean - e_corrupt)).requires_grad_()
    cache: dict[str, Tensor] = {}

    def keeping(name: str) -> Callable[[Tensor, Any], Tensor]:
        def keep(tensor: Tensor, hook: Any) -> Tensor:
            # A copy, so that the gradient is this destination's own and not also what flows on past it.
            cache[name] = tensor.clone()
            return cache[name]

        return keep

    destinations = destination_hooks(model)
    names = list(dict.fromkeys(name for name, _ in destinations))
    hooks = [("embed.hook_out", lambda tensor, hook: point), *((name, keeping(name)) for name in names)]
    with torch.no_grad():
        clean_logits = at_sites(model.logits(clean), [row])
    with hooked(model, hooks):
        value = row_metrics(metric, at_sites(model.logits(clean), [row]), [row], clean_logits).sum()
    gradients = dict(zip(names, torch.autograd.grad(value, [cache[name] for name in names]), strict=True))

    def pick(tensors: dict[str, Tensor]) -> list[Tensor]:
        return [tensors[n][0] if h is None else tensors[n][0, :, h] for n, h in destinations]

    return [x.detach() for x in pick(cache)], pick(gradients)


def plain_scores(model: Model, rows: Sequence[AttributionInput], method: str, m: int, metric: str) -> Tensor:
    """[source, destination]: the sum over rows, zero where there is no edge."""
    scores = torch.zeros(model.graph.n_sources, model.graph.n_destinations)
    alphas = integration_points(method, m)
    for row in rows:
        clean = source_writes(model, torch.tensor([row.clean]))
        corrupt = source_writes(model, torch.tensor([row.corrupt]))
        deltas = torch.stack([(a - b)[0] for a, b in zip(clean, corrupt, strict=True)])  # [source, pos, d_model]
        for alpha in alphas:
            _, gradients = destination_gradients(model, row, alpha, metric)
            for v, gradient in enumerate(gradients):
                n = int(model.graph.readable_sources[v])
                scores[:n, v] += torch.einsum("upd,pd->u", deltas[:n], gradient) / len(alphas)
    return scores
