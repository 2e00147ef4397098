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

from engine.inspection.lens import TopTokens
from engine.inspection.token_vectors import TokenVectors
from engine.models import activation_cache
from engine.models.model import Model
from engine.schema.vocabulary import NEURON_TOKENS


@torch.no_grad()
def unembedding_vectors(model: Model) -> TokenVectors:
    """What directions are multiplied with for a token's logit."""
    return TokenVectors(model.bridge.W_U.T)


@torch.no_grad()
def embedding_directions(model: Model) -> TokenVectors:
    """Token embeddings of length one, which the norms before the MLPs, all of a kind, have centred or not."""
    embeddings = activation_cache.embedding_weights(model).float()
    return TokenVectors(normalize(activation_cache.ln2(model, 0).centre(embeddings), dim=-1))


@torch.no_grad()
def output_tokens(model: Model, layer: int, unembeddings: TokenVectors) -> TopTokens:
    """The tokens that every neuron of a layer promotes and suppresses most: [neuron, NEURON_TOKENS] each."""
    norm = activation_cache.final_norm(model)
    weights = activation_cache.neuron_weights(model, layer, "W_out")  # [neuron, d_model]
    return unembeddings.ends(norm.weight * norm.centre(weights.float()), NEURON_TOKENS)


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
def input_tokens(model: Model, layer: int, neurons: Tensor, embeddings: TokenVectors) -> InputTokens:
    """The nearest embeddings to the input directions of `neurons` [k] of a layer."""
    norm = activation_cache.ln2(model, layer)
    ins, gates = (activation_cache.neuron_weights(model, layer, name) for name in ("W_in", "W_gate"))
    read = [weights[:, neurons].T.float() for weights in (gates, ins) if weights is not None]  # [k, d_model] each
    directions = normalize(norm.centre(norm.weight * torch.cat(read)), dim=-1)
    tokens, cosines = (x.split(len(neurons)) for x in embeddings.nearest(directions, NEURON_TOKENS))
    nearest = [NearestTokens(*of_weights) for of_weights in zip(tokens, cosines, strict=True)]
    return InputTokens(nearest[0], nearest[1] if len(nearest) > 1 else None)


def token_texts(model: Model) -> pa.Array:
    """Every token a model has an embedding or a logit for, by id."""
    rows = max(len(model.bridge.W_E), model.bridge.W_U.shape[1])
    return pa.array(model.words(range(rows)), pa.string())
