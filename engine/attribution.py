"""Edge scores: EAP and EAP-IG (Hanna et al. 2024, arXiv 2403.17806), as METHOD defines them.

Scores are linear in the gradient, so the gradients at all integration points are summed before they meet the source
differences. Per batch of rows:

1. Run the corrupted and the clean inputs; keep what every head (z) and MLP wrote, and the token embeddings.
2. At every integration point run the clean input with interpolated embeddings and take the gradient of the metric
   at the attention scores, head outputs (z), norm outputs and neurons. From these follow, in head space, the gradients
   of every query head's own q, k and v; one scalar per token, head and point carries the norm's own derivative.
   Neurons meet their differences at once (METHOD, "Neuron lens").
3. Per layer, expand to G [destination, row, pos, d_model], the gradient at the pre-norm residual as that destination
   alone reads it, and contract with the source differences: one matrix product per row, all rows in one call.

`tests/oracle.py` computes the same scores the plain way, one destination at a time; `tests/engine/test_attribution.py`
holds the two together and against finite differences.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine import tape as taped
from engine.metrics import row_metrics
from engine.models import Model
from engine.norms import Norm, rotate_back
from engine.sites import Row
from engine.tape import Tape, recording, repeat_heads

DELTA_BUDGET = 2**31  # bytes of source differences held at once; larger batches are contracted in chunks of rows
TOKENS_PER_BATCH = 1024
BLOCKS = 32  # example i belongs to block i % BLOCKS; even, so that blocks split into even and odd examples


@dataclass(frozen=True)
class Attribution:
    """Scores as sums over examples: divide for METHOD's mean. Parts sum to the total, and so do blocks."""

    scores: dict[str, Tensor]  # by part, [source, destination]
    blocks: Tensor  # [min(BLOCKS, examples), source, destination]: every part of the examples of a block
    neurons: Tensor  # [2, layer, neuron]: of even and of odd examples
    metric_clean: Tensor  # [example]
    metric_corrupt: Tensor  # [example]

    @property
    def total(self) -> Tensor:
        """[source, destination]"""
        return torch.stack(list(self.scores.values())).sum(0)

    @property
    def halves(self) -> Tensor:
        """[2, source, destination]: of even and of odd examples; zeros where there are none."""
        return torch.stack([self.blocks[half::2].sum(0) for half in (0, 1)])


def integration_points(method: str, m: int) -> list[float]:
    """The alphas at which gradients are averaged: 1 is the clean input, 0 the corrupted one."""
    if method == "eap-ig":
        return [k / m for k in range(m)]
    if method == "eap-ig-midpoint":
        return [(k + 0.5) / m for k in range(m)]
    return {"eap": [1.0], "clean-corrupted": [0.0, 1.0]}[method]


def attribute(
    model: Model,
    rows: Sequence[Row],
    n_examples: int,
    method: str = "eap-ig",
    points: int = 5,
    metric: str = "logit_diff",
    on_rows: Callable[[int], None] = lambda done: None,
    delta_budget: int = DELTA_BUDGET,
) -> Attribution:
    """Score every edge, separately per part and per block of examples, and every neuron."""
    alphas = integration_points(method, points)
    graph, device = model.graph, model.device
    shape = (graph.n_sources, graph.n_destinations)
    scores: dict[str, Tensor] = defaultdict(lambda: torch.zeros(shape, device=device))
    blocks = torch.zeros(min(BLOCKS, n_examples), *shape, device=device)
    neurons = torch.zeros(2, graph.n_layers, len(model.bridge.blocks[0].mlp.W_out), device=device)
    clean_metric, corrupt_metric = torch.zeros(n_examples), torch.zeros(n_examples)
    done = 0
    for part, batch in _batches(rows):
        result = _attribute_batch(model, batch, alphas, metric, delta_budget)
        at = torch.tensor([row.example for row in batch])
        scores[part] += result.scores.sum(0)
        blocks.index_add_(0, (at % BLOCKS).to(device), result.scores)
        neurons.index_add_(0, (at % 2).to(device), result.neurons)
        clean_metric.index_add_(0, at, result.metric_clean.float().cpu())
        corrupt_metric.index_add_(0, at, result.metric_corrupt.float().cpu())
        done += len(batch)
        on_rows(done)
    return Attribution(dict(scores), blocks, neurons, clean_metric, corrupt_metric)


@dataclass(frozen=True)
class _BatchResult:
    scores: Tensor  # [row, source, destination]
    neurons: Tensor  # [row, layer, neuron]
    metric_clean: Tensor  # [row]
    metric_corrupt: Tensor  # [row]


def _batches(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Batches of one part, rows of similar length together."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.part].append(row)
    for part, members in sorted(groups.items()):
        members.sort(key=lambda row: len(row.clean))
        size = max(1, TOKENS_PER_BATCH // len(members[-1].clean))
        for start in range(0, len(members), size):
            yield part, members[start : start + size]


def padded(model: Model, inputs: Sequence[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
    """ids and real (False: padding), both [batch, pos], right-padded."""
    width = max(map(len, inputs))
    ids = torch.full((len(inputs), width), model.pad_id)
    real = torch.zeros(len(inputs), width, dtype=torch.bool)
    for i, tokens in enumerate(inputs):
        ids[i, : len(tokens)] = torch.tensor(tokens)
        real[i, : len(tokens)] = True
    return ids.to(model.device), real.to(model.device)


def _attribute_batch(
    model: Model, rows: Sequence[Row], alphas: Sequence[float], metric: str, budget: int
) -> _BatchResult:
    # 1. What every source wrote in both runs
    clean_ids, real = padded(model, [row.clean for row in rows])
    corrupt_ids, _ = padded(model, [row.corrupt for row in rows])
    clean, clean_logits = _writes(model, clean_ids, real)
    corrupt, corrupt_logits = _writes(model, corrupt_ids, real)
    difference = {name: clean[name] - corrupt[name] for name in clean}

    # 2. Gradients along the path
    gradients = _Gradients(model, [difference.pop(name) for name in _neuron_names(model)])
    for alpha in alphas:
        embedding = corrupt["embed.hook_out"] + alpha * difference["embed.hook_out"]
        gradients.add_point(rows, clean_ids, real, embedding, metric, clean_logits)

    # 3. Contract
    return _BatchResult(
        _contract(model, difference, gradients, budget) / len(alphas),
        torch.stack(gradients.neurons, 1) / len(alphas),
        row_metrics(metric, clean_logits, rows, clean_logits),
        row_metrics(metric, corrupt_logits, rows, clean_logits),
    )


def _write_names(model: Model) -> list[str]:
    blocks = range(model.graph.n_layers)
    per_layer = ("attn.hook_z", "hook_mlp_out")
    writes = [f"blocks.{layer}.{name}" for layer in blocks for name in per_layer]
    return ["embed.hook_out", *writes, *_neuron_names(model)]


def _neuron_names(model: Model) -> list[str]:
    return [f"blocks.{layer}.mlp.hook_post" for layer in range(model.graph.n_layers)]


@torch.no_grad()
def _writes(model: Model, ids: Tensor, real: Tensor) -> tuple[Tape, Tensor]:
    """What sources wrote (heads before W_O), neurons' activations, and the logits."""
    with recording(model, _write_names(model)) as tape:
        logits = model.logits(ids, real)
    return tape, logits


@dataclass
class _Gradients:
    """Sums over integration points; lists are by layer, inner lists by point."""

    model: Model
    activations: list[Tensor]  # clean - corrupt of every neuron [batch, pos, neuron]
    residuals: list[list[Tensor]] = field(default_factory=list)  # centred x_k [batch, pos, d_model]
    norm_terms: list[list[Tensor]] = field(default_factory=list)  # c_k [batch, pos, 3, head]
    heads: list[Tensor] = field(default_factory=list)  # sum of g_k / r_k [batch, pos, 3, head, d_head]
    mlps: list[Tensor] = field(default_factory=list)  # G [batch, pos, d_model]
    logits: Tensor = field(default_factory=lambda: torch.zeros(()))  # G [batch, pos, d_model]
    neurons: list[Tensor] = field(default_factory=list)  # scores [batch, neuron]

    def __post_init__(self) -> None:
        layers, zero = self.model.graph.n_layers, torch.zeros((), device=self.model.device)
        self.residuals = [[] for _ in range(layers)]
        self.norm_terms = [[] for _ in range(layers)]
        self.heads, self.mlps, self.neurons = [zero] * layers, [zero] * layers, [zero] * layers
        self.logits = zero

    def add_point(
        self,
        rows: Sequence[Row],
        ids: Tensor,
        real: Tensor,
        embedding: Tensor,
        metric: str,
        clean_logits: Tensor,
    ) -> None:
        """Forward and backward at one interpolated embedding; backward goes to activations only."""
        model = self.model
        read, wanted = _tape_names(model)
        with recording(model, [*read, *wanted], embedding.detach().requires_grad_()) as tape:
            logits = model.logits(ids, real)
        total = row_metrics(metric, logits, rows, clean_logits).sum()
        gradients = dict(zip(wanted, torch.autograd.grad(total, [tape[name] for name in wanted]), strict=True))
        tape = {name: value.detach() for name, value in tape.items()}
        for layer in range(model.graph.n_layers):
            self._add_layer(layer, tape, gradients)
        self.logits = self.logits + taped.final_norm(model).pull_back(
            tape["ln_final.hook_in"].float(), gradients["ln_final.hook_out"].float()
        )

    def _add_layer(self, layer: int, tape: Tape, gradients: Tape) -> None:
        at, norm = f"blocks.{layer}.", taped.ln1(self.model, layer)
        x = tape[at + "hook_resid_pre"].float()  # [batch, pos, d_model]
        r = norm.scale(x)[..., None, None]  # [batch, pos, 1, 1, 1]
        values, g = _head_gradients(self.model, layer, tape, gradients)  # both [batch, pos, 3, head, d_head]
        values = values - taped.qkv_biases(self.model, layer)
        self.residuals[layer].append(norm.centre(x))
        self.norm_terms[layer].append(((values * g).sum(-1, keepdim=True) / (x.shape[-1] * r**2))[..., 0])
        self.heads[layer] = self.heads[layer] + g / r
        self.mlps[layer] = self.mlps[layer] + taped.ln2(self.model, layer).pull_back(
            tape[at + "ln2.hook_in"].float(), gradients[at + "ln2.hook_out"].float()
        )
        slope = gradients[at + "mlp.hook_post"].float()  # [batch, pos, neuron]
        self.neurons[layer] = self.neurons[layer] + (self.activations[layer].float() * slope).sum(1)


def _tape_names(model: Model) -> tuple[list[str], list[str]]:
    """Hooks whose values are read, and hooks whose gradients are wanted."""
    read = ["hook_resid_pre", "ln2.hook_in", "attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.hook_pattern"]
    wanted = ["attn.hook_attn_scores", "attn.hook_z", "ln2.hook_out", "mlp.hook_post"]
    shared: list[str] = []
    if taped.has_hook(model, "rotary_emb.hook_cos"):
        read += ["attn.hook_rot_q", "attn.hook_rot_k"]
        shared = ["rotary_emb.hook_cos", "rotary_emb.hook_sin"]
    blocks = range(model.graph.n_layers)
    return (
        [f"blocks.{layer}.{name}" for layer in blocks for name in read] + ["ln_final.hook_in", *shared],
        [f"blocks.{layer}.{name}" for layer in blocks for name in wanted] + ["ln_final.hook_out"],
    )


def _head_gradients(model: Model, layer: int, tape: Tape, gradients: Tape) -> tuple[Tensor, Tensor]:
    """q, k, v of every query head before rotation, and the metric's gradient there: [batch, pos, 3, head, d_head].

    Taken after keys and values are repeated, so that heads that share a key get a gradient each:
    dQ = scale dS K, dK = scale dS^T Q, dV = P^T dz.
    """
    at, heads = f"blocks.{layer}.attn.", model.graph.n_heads
    q, k, v = (repeat_heads(tape[f"{at}hook_{part}"].float(), heads, 2) for part in "qkv")
    d_scores, pattern = gradients[at + "hook_attn_scores"].float(), tape[at + "hook_pattern"].float()
    rotated = at + "hook_rot_q" in tape
    # The bridge hands out rotated queries and keys as [batch, pos, head, d_head], like the unrotated ones.
    q_read = tape[at + "hook_rot_q"].float() if rotated else q
    k_read = repeat_heads(tape[at + "hook_rot_k"].float(), heads, 2) if rotated else k
    scale = _attention_scale(model, layer)
    dq = scale * torch.einsum("bhqk,bkhd->bqhd", d_scores, k_read)
    dk = scale * torch.einsum("bhqk,bqhd->bkhd", d_scores, q_read)
    dv = torch.einsum("bhqk,bqhd->bkhd", pattern, gradients[at + "hook_z"].float())
    if rotated:
        cos, sin = tape["rotary_emb.hook_cos"], tape["rotary_emb.hook_sin"]
        dq, dk = rotate_back(dq, cos, sin), rotate_back(dk, cos, sin)
    module = model.bridge.blocks[layer].attn.original_component
    if getattr(module, "q_norm", None) is not None:
        dq, dk = Norm.of(module.q_norm).pull_back(q, dq), Norm.of(module.k_norm).pull_back(k, dk)
    return torch.stack([q, k, v], 2), torch.stack([dq, dk, dv], 2)


def _attention_scale(model: Model, layer: int) -> float:
    module = model.bridge.blocks[layer].attn.original_component
    return float(getattr(module, "scaling", model.bridge.cfg.d_head**-0.5))


def _contract(model: Model, difference: Tape, gradients: _Gradients, budget: int) -> Tensor:
    """[row, source, destination]: source differences times G, in chunks that fit the budget."""
    graph = model.graph
    rows, positions, d_model = difference["embed.hook_out"].shape
    scores = torch.zeros(rows, graph.n_sources, graph.n_destinations, device=model.device)
    for chunk in _chunks(rows, positions, budget // (4 * graph.n_sources * d_model)):
        out = scores[chunk[0]]
        embed = difference["embed.hook_out"][chunk]  # [row, pos, d_model]
        delta = torch.empty(graph.n_sources, *embed.shape, device=embed.device)
        delta[0] = embed.float()
        for layer in range(graph.n_layers):
            first, last = graph.head(layer, 0), graph.mlp(layer)
            at = graph.attention_destinations(layer)
            out[:, :first, at] += _dot(delta[:first], _head_destinations(model, layer, gradients, chunk))
            z = difference[f"blocks.{layer}.attn.hook_z"][chunk].float().flatten(0, 1)  # [token, head, d_head]
            torch.bmm(z.transpose(0, 1), taped.output_weights(model, layer), out=delta[first:last].flatten(1, 2))
            g = gradients.mlps[layer][chunk]
            out[:, :last, graph.mlp_destination(layer)] += _dot(delta[:last], g[None])[..., 0]
            delta[last] = difference[f"blocks.{layer}.hook_mlp_out"][chunk].float()
        out[..., -1] += _dot(delta, gradients.logits[chunk][None])[..., 0]
    return scores


Chunk = tuple[slice, slice]  # rows, positions


def _chunks(rows: int, positions: int, tokens: int) -> Iterator[Chunk]:
    """Whole rows, as many as `tokens` hold; where they hold less than one, a row in pieces."""
    height, width = max(1, tokens // positions), max(1, min(positions, tokens))
    for row in range(0, rows, height):
        for position in range(0, positions, width):
            yield slice(row, row + height), slice(position, position + width)


def _head_destinations(model: Model, layer: int, gradients: _Gradients, chunk: Chunk) -> Tensor:
    """G [3 * head, row, pos, d_model] = w * W^T sum_k(g_k / r_k) - sum_k c_k x_k."""
    norm = taped.ln1(model, layer)
    heads = gradients.heads[layer][chunk]  # [row, pos, 3, head, d_head]
    g = heads.flatten(2, 3).flatten(0, 1)  # [token, 3 * head, d_head]
    weights = taped.qkv_weights(model, layer).flatten(0, 1)  # [3 * head, d_model, d_head]
    linear = norm.weight * torch.bmm(g.transpose(0, 1), weights.transpose(1, 2))  # [3 * head, token, d_model]
    x = torch.stack([_tokens(point[chunk]) for point in gradients.residuals[layer]], 1)  # [token, point, d_model]
    c = torch.stack([_tokens(point[chunk]).flatten(1) for point in gradients.norm_terms[layer]], 2)
    found = norm.centre(linear) - torch.bmm(c, x).transpose(0, 1)  # c: [token, 3 * head, point]
    return found.unflatten(1, heads.shape[:2])


def _dot(delta: Tensor, g: Tensor) -> Tensor:
    """[row, source, destination] from [source, row, pos, d_model] and [destination, row, pos, d_model]."""
    return torch.bmm(delta.flatten(2).transpose(0, 1), g.flatten(2).permute(1, 2, 0))


def _tokens(x: Tensor) -> Tensor:
    """Row and position as one token axis."""
    return x.flatten(0, 1)
