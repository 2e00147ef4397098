"""The gradients of RelP the literal way: a forward pass written out for tiny models, in which constants are detached.

Attention patterns come from plain transformers. Shares no code with engine/attribution but its metric.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.attribution.metrics import at_sites, row_metrics
from engine.attribution.sites import AttributionInput
from engine.models.model import Model
from tests import oracle, tiny

HEADS = 4


def literal_scores(architecture: str, model: Model, expanded: Model, rows: list[AttributionInput]) -> Tensor:
    """[source, destination]: the sum over rows; `expanded` has a key and value head per query head."""
    scores = torch.zeros(model.graph.n_sources, model.graph.n_destinations)
    for row in rows:
        clean = oracle.source_writes(expanded, torch.tensor([row.clean]))
        corrupt = oracle.source_writes(expanded, torch.tensor([row.corrupt]))
        deltas = torch.stack([(a - b)[0] for a, b in zip(clean, corrupt, strict=True)])  # [source, pos, d_model]
        for v, gradient in enumerate(literal_gradients(architecture, model, row)):
            if gradient is not None:
                n = int(model.graph.readable_sources[v])
                scores[:n, v] += torch.einsum("upd,pd->u", deltas[:n], gradient)
    return scores


def literal_gradients(architecture: str, model: Model, row: AttributionInput) -> list[Tensor | None]:
    """By destination [pos, d_model]; None for queries and keys, which patterns that are held do not read."""
    hf, ids = tiny.hf_model(architecture), torch.tensor(row.clean)
    patterns = tiny.eager_attentions(architecture, model, row.clean)  # [layer, head, query, key]
    is_gpt2 = architecture == "gpt2"
    layers = hf.base_model.h if is_gpt2 else hf.base_model.layers
    reads: list[Tensor | None] = []

    def read(x: Tensor, norm: nn.Module) -> Tensor:
        reads.append(x.clone())
        return _norm(reads[-1], norm)

    x = hf.get_input_embeddings().weight[ids].clone().requires_grad_()
    if is_gpt2:
        x = x + hf.base_model.wpe.weight[: len(ids)]
    for layer, pattern in zip(layers, patterns, strict=True):
        attention, first, second = (
            (layer.attn, layer.ln_1, layer.ln_2)
            if is_gpt2
            else (layer.self_attn, layer.input_layernorm, layer.post_attention_layernorm)
        )
        reads += [None] * 2 * HEADS
        written = torch.zeros_like(x) + (attention.c_proj.bias if is_gpt2 else 0)
        for head in range(HEADS):
            written = written + pattern[head] @ _value(attention, is_gpt2, head, read(x, first)) @ _output(
                attention, is_gpt2, head
            )
        x = x + written
        x = x + _mlp(layer.mlp, is_gpt2, read(x, second))
    final = read(x, hf.base_model.ln_f if is_gpt2 else hf.base_model.norm)
    logits = hf.get_output_embeddings()(final)[None]
    value = row_metrics("logit_diff", at_sites(logits, [row]), [row]).sum()
    gradients = iter(torch.autograd.grad(value, [alias for alias in reads if alias is not None]))
    return [None if alias is None else next(gradients) for alias in reads]


def _norm(x: Tensor, norm: nn.Module) -> Tensor:
    if isinstance(norm, nn.LayerNorm):
        centred = x - x.mean(-1, keepdim=True)
        return centred / (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt().detach() * norm.weight + norm.bias
    return x / (x.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon).sqrt().detach() * norm.weight


def _value(attention: nn.Module, is_gpt2: bool, head: int, x: Tensor) -> Tensor:
    if is_gpt2:
        d = x.shape[-1] // HEADS
        at = slice(2 * x.shape[-1] + head * d, 2 * x.shape[-1] + (head + 1) * d)
        return x @ attention.c_attn.weight[:, at] + attention.c_attn.bias[at]
    own, d = head // 2, attention.head_dim
    values = attention.v_proj(x)
    return values[:, own * d : (own + 1) * d]


def _output(attention: nn.Module, is_gpt2: bool, head: int) -> Tensor:
    weight = attention.c_proj.weight if is_gpt2 else attention.o_proj.weight.T
    return weight.unflatten(0, (HEADS, -1))[head]


def _mlp(mlp: nn.Module, is_gpt2: bool, x: Tensor) -> Tensor:
    if is_gpt2:
        before = mlp.c_fc(x)
        return mlp.c_proj(before * (mlp.act(before) / before).detach())
    gate, up = mlp.gate_proj(x), mlp.up_proj(x)
    ratio = (mlp.act_fn(gate) / gate).detach()
    product = ratio * gate * up
    return mlp.down_proj(product / 2 + (product / 2).detach())
