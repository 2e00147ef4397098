"""The plain transformers model behind a bridge, for passes that have to be fast.

It shares every weight with the bridge but keeps transformers' own modules. Hooks sit on those, and attention runs
through `_Attention`, whose backward pass reports the gradients of every query head's own query, key and value before
heads that share a key are summed. The 4D mask sets the direction of attention, as everywhere.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from engine.errors import UserError
from engine.models.config_fields import GPT2_LIKE, LLAMA_LIKE, SCORED
from engine.models.memory_saving import save_memory
from engine.models.norms import Norm

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle
    from transformers import PreTrainedModel

ATTENTION = "circuit_explorer"  # the name of `_attend` in transformers' registry


@dataclass(frozen=True)
class HeadGradients:
    """What attention of one layer used and the metric's gradients there; everything [batch, head, pos, d_head].

    Queries and keys are rotated where the model rotates. `k`, `v` have one head per key, the gradients one per query.
    """

    layer: int
    q: Tensor
    k: Tensor
    v: Tensor
    dq: Tensor
    dk: Tensor
    dv: Tensor


Sink = Callable[[HeadGradients], None]


@dataclass(frozen=True)
class Block:
    """The modules of a layer whose inputs or outputs are recorded, under the same names for every architecture."""

    attention: nn.Module
    ln1: nn.Module
    ln2: nn.Module
    mlp: nn.Module
    gate: nn.Module | None  # of the MLP, where it has one: what the activation function reads
    up: nn.Module  # what multiplies with it, or what the activation function reads where there is no gate
    activation: nn.Module
    out: nn.Module  # reads what the heads computed (z)
    down: nn.Module  # reads the neurons
    joint: nn.Module | None  # GPT-2's query, key and value in one
    qkv: tuple[nn.Module, ...]
    norms: dict[str, nn.Module]  # of queries ("q") and keys ("k"), where they have their own
    d_head: int

    def weights(self) -> list[Tensor]:
        """Of q, k and v: [head, d_head, d_model], views of the model's own; one head per key for k and v."""
        if self.joint is not None:
            return list(_tensor(self.joint, "weight").T.unflatten(0, (3, -1, self.d_head)))
        return [_tensor(module, "weight").unflatten(0, (-1, self.d_head)) for module in self.qkv]

    def constants(self, norm: Norm) -> list[Tensor]:
        """Of q, k and v: [head, d_head] in fp32, whatever does not depend on the residual's direction."""
        constants = []
        for weight, bias in zip(self.weights(), self._biases(), strict=True):
            constant = torch.zeros(weight.shape[:2], device=weight.device) if bias is None else bias.float()
            constants.append(constant if norm.bias is None else constant + weight.float() @ norm.bias)
        return constants

    def _biases(self) -> list[Tensor | None]:
        """Of q, k and v: [head, d_head], one head per key for k and v."""
        if self.joint is not None:
            return list(_tensor(self.joint, "bias").unflatten(0, (3, -1, self.d_head)))
        biases = [getattr(module, "bias", None) for module in self.qkv]
        return [None if bias is None else bias.unflatten(0, (-1, self.d_head)) for bias in biases]

    def output_weights(self) -> Tensor:
        """[head, d_head, d_model], a view of the model's own."""
        weight = _tensor(self.out, "weight")
        return (weight if self.joint is not None else weight.T).unflatten(0, (-1, self.d_head))

    @property
    def n_neurons(self) -> int:
        """Neurons of the MLP."""
        weight = _tensor(self.down, "weight")
        return weight.shape[0] if self.joint is not None else weight.shape[1]


def copy_sharing_weights(model: PreTrainedModel) -> PreTrainedModel:
    """A model of the same weights (no second copy of any) in modules of its own, before a bridge takes those apart."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, _attend)
    copied = copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})
    copied.set_attn_implementation(ATTENTION)
    save_memory(copied)
    return copied


def blocks_of(model: PreTrainedModel) -> list[Block]:
    """The layers of a model.

    Raises:
        UserError: an architecture whose layers are not known to write and read as METHOD says.
    """
    name, base = type(model).__name__, cast("Any", model.base_model)
    if name in LLAMA_LIKE:
        return [_llama_block(layer) for layer in base.layers]
    if name in GPT2_LIKE:
        return [_gpt2_block(layer) for layer in base.h]
    raise UserError(f"Edges of a {name} can't be scored: only {', '.join(SCORED)} are known.")


def final_norm_of(model: PreTrainedModel) -> nn.Module:
    base: Any = model.base_model
    return base.ln_f if type(model).__name__ in GPT2_LIKE else base.norm


def hidden(
    model: PreTrainedModel, embedding: Tensor, bias: Tensor, sink: Sink | None = None, patterns_held: bool = False
) -> Tensor:
    """What the unembedding reads, [batch, pos, d_model], from token embeddings [batch, pos, d_model].

    `bias` is the additive mask [batch, 1, pos, pos]; `sink` is called with every layer's gradients in a backward pass.
    With `patterns_held` attention patterns are constants to that: queries and keys get no gradient.
    """
    base: Any = model.base_model
    options = {"use_cache": False, "sink": sink, "patterns_held": patterns_held}
    return base(inputs_embeds=embedding, attention_mask=bias, **options).last_hidden_state


def embed(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """Token embeddings [batch, pos, d_model] of ids [batch, pos]."""
    return model.get_input_embeddings()(ids)


def output_logits(model: PreTrainedModel, x: Tensor) -> Tensor:
    """Logits [..., vocab] of what the final norm returns, x [..., d_model]."""
    return model.get_output_embeddings()(x)


@contextmanager
def hooked(handles: Sequence[RemovableHandle]) -> Iterator[None]:
    """Remove hooks at the end, whatever happens."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float,
    sink: Sink | None = None,
    patterns_held: bool = False,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention as transformers asks for it: [batch, head, pos, d_head] each -> [batch, pos, head, d_head]."""
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    return _Attention.apply(query, key, value, attention_mask, scaling, _WayBack(layer, sink, patterns_held)), None


@dataclass(frozen=True)
class _WayBack:
    """What the backward pass through a layer's attention does."""

    layer: int
    sink: Sink | None  # is told the gradients
    patterns_held: bool


class _Attention(torch.autograd.Function):
    """softmax(scale q k^T + mask) v with grouped keys, the softmax in fp32; reports its gradients head by head."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float, way_back: _WayBack) -> Tensor:
        grouped = _grouped(q, k.shape[1])  # [batch, key head, group * pos, d_head]
        scores = (grouped @ k.transpose(2, 3)).float().mul_(scale)
        scores = scores.unflatten(2, (-1, q.shape[2])) + mask[:, :, None]  # [batch, key head, group, pos, pos]
        pattern = scores.softmax(-1).to(q.dtype)
        ctx.save_for_backward(q, k, v, pattern)
        ctx.scale, ctx.way_back = scale, way_back
        z = pattern.flatten(2, 3) @ v
        return _ungrouped(z, q.shape[2]).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, dz: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, pattern = ctx.saved_tensors
        keys, positions = k.shape[1], q.shape[2]
        flat = _grouped(dz.transpose(1, 2), keys)
        dv = pattern.transpose(3, 4) @ flat.unflatten(2, (-1, positions))
        way_back: _WayBack = ctx.way_back
        if way_back.patterns_held:
            if way_back.sink is not None:
                zeros = torch.zeros_like(q)
                way_back.sink(HeadGradients(way_back.layer, q, k, v, zeros, zeros, dv.flatten(1, 2)))
            return None, None, dv.sum(2), None, None, None
        d_pattern = (flat @ v.transpose(2, 3)).unflatten(2, (-1, positions)).float()
        p = pattern.float()
        d_pattern -= (d_pattern * p).sum(-1, keepdim=True)
        d_scores = d_pattern.mul_(p).mul_(ctx.scale).to(q.dtype)  # [batch, key head, group, pos, pos]
        dq = _ungrouped(d_scores.flatten(2, 3) @ k, positions)
        dk = d_scores.transpose(3, 4) @ q.unflatten(1, (keys, -1))  # [batch, key head, group, pos, d_head]
        if way_back.sink is not None:
            way_back.sink(HeadGradients(way_back.layer, q, k, v, dq, dk.flatten(1, 2), dv.flatten(1, 2)))
        return dq, dk.sum(2), dv.sum(2), None, None, None


def _grouped(x: Tensor, keys: int) -> Tensor:
    """[batch, key head, group * pos, d_head] of [batch, head, pos, d_head]."""
    return x.unflatten(1, (keys, -1)).flatten(2, 3)


def _ungrouped(x: Tensor, positions: int) -> Tensor:
    return x.unflatten(2, (-1, positions)).flatten(1, 2)


def _llama_block(layer: Any) -> Block:
    attn, mlp = layer.self_attn, layer.mlp
    return Block(
        attention=attn,
        ln1=layer.input_layernorm,
        ln2=layer.post_attention_layernorm,
        mlp=mlp,
        gate=mlp.gate_proj,
        up=mlp.up_proj,
        activation=mlp.act_fn,
        out=attn.o_proj,
        down=mlp.down_proj,
        joint=None,
        qkv=(attn.q_proj, attn.k_proj, attn.v_proj),
        norms={part: getattr(attn, f"{part}_norm") for part in "qk" if hasattr(attn, f"{part}_norm")},
        d_head=attn.head_dim,
    )


def _gpt2_block(layer: Any) -> Block:
    attn, mlp = layer.attn, layer.mlp
    return Block(
        attention=attn,
        ln1=layer.ln_1,
        ln2=layer.ln_2,
        mlp=mlp,
        gate=None,
        up=mlp.c_fc,
        activation=mlp.act,
        out=attn.c_proj,
        down=mlp.c_proj,
        joint=attn.c_attn,
        qkv=(),
        norms={},
        d_head=attn.head_dim,
    )


def _tensor(module: nn.Module, name: str) -> Tensor:
    tensor: Tensor = getattr(module, name)
    return tensor
