"""The tokens that neurons read and write: a property of the weights alone, whatever the input.

A neuron's output direction is its row of W_out under the final norm's weight, unembedded (METHOD, "Neuron lens",
without the activation). Its input directions are its columns of the weights it reads with, under the weight of the
norm before the MLP; they are compared with token embeddings. Where the norm centres, so do both.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import normalize

from engine.inspection.lens import TopTokens, top_tokens, unembed
from engine.models import activation_cache
from engine.models.model import Model
from engine.schema.vocabulary import NEURON_TOKENS

VALUES_AT_ONCE = 2**26  # neurons x tokens


@torch.no_grad()
def output_tokens(model: Model, layer: int) -> TopTokens:
    """The tokens that every neuron of a layer promotes and suppresses most: [neuron, NEURON_TOKENS] each."""
    norm, weights = (
        activation_cache.final_norm(model),
        activation_cache.neuron_weights(model, layer, "W_out"),
    )  # [neuron, d_model]
    vocab = model.bridge.W_U.shape[1]
    chunks = []
    for chunk in weights.split(max(1, VALUES_AT_ONCE // vocab)):
        direction = norm.weight * norm.centre(chunk.float())
        chunks.append(top_tokens(unembed(model, direction), min(NEURON_TOKENS, vocab)))
    columns = ("promoted", "promoted_logits", "suppressed", "suppressed_logits")
    return TopTokens(*(torch.cat([getattr(part, column) for part in chunks]) for column in columns))


@dataclass(frozen=True)
class NearestTokens:
    """The token embeddings nearest to some directions by cosine, the nearest first: [direction, NEURON_TOKENS] each."""

    tokens: Tensor
    cosines: Tensor


@dataclass(frozen=True)
class InputTokens:
    """The tokens that some neurons of a layer read: `gate` feeds the non-linearity; `up` is None without a gate."""

    gate: NearestTokens
    up: NearestTokens | None


@torch.no_grad()
def input_tokens(model: Model, layer: int, neurons: Tensor) -> InputTokens:
    """The nearest embeddings to the input directions of `neurons` [k] of a layer."""
    norm, embeddings = activation_cache.ln2(model, layer), activation_cache.embedding_weights(model)
    ins, gates = (activation_cache.neuron_weights(model, layer, name) for name in ("W_in", "W_gate"))

    def nearest(weights: Tensor) -> NearestTokens:
        directions = norm.centre(norm.weight * weights[:, neurons].T.float())  # [k, d_model]
        return _nearest(directions, norm.centre(embeddings.float()))

    return InputTokens(nearest(ins), None) if gates is None else InputTokens(nearest(gates), nearest(ins))


def _nearest(directions: Tensor, embeddings: Tensor) -> NearestTokens:
    """By cosine, from [k, d_model] and [vocab, d_model]."""
    directions, embeddings = normalize(directions, dim=-1), normalize(embeddings, dim=-1)
    most = min(NEURON_TOKENS, len(embeddings))
    tops = [(chunk @ embeddings.T).topk(most) for chunk in directions.split(max(1, VALUES_AT_ONCE // len(embeddings)))]
    return NearestTokens(torch.cat([top.indices for top in tops]), torch.cat([top.values for top in tops]))


def token_texts(model: Model) -> pa.Array:
    """Every token a model has an embedding or a logit for, by id."""
    rows = max(len(model.bridge.W_E), model.bridge.W_U.shape[1])
    return pa.array(model.words(range(rows)), pa.string())
