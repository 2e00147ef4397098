"""What attention heads are by their weights alone, whatever the task: scores on random tokens, and what they copy.

1. `repeated_scores` finds previous-token, duplicate-token and induction heads on repeated random tokens.
2. `copying_scores` reads from the weights whether a head writes towards the token that it reads.
3. `head_scores_table` is the table of both.
"""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from engine.attribution.soundness import refuse_unsound
from engine.inspection.heads import head_nodes
from engine.models import activation_cache
from engine.models.activation_cache import recording
from engine.models.model import Model
from engine.schema import arrow

REPEATED_LENGTH = 16  # tokens, which then come once more
REPEATED_SEQUENCES = 8
VOCAB_CHUNK = 8192  # tokens whose embeddings are multiplied at once


def head_scores_table(model: Model, seed: int = 0) -> pa.Table:
    """The columns of `heads` (docs/tables.md) that come from the weights; `seed` is that of the random tokens."""
    scores = {name: values.flatten().cpu().numpy() for name, values in repeated_scores(model, seed).items()}
    copying = copying_scores(model).flatten().cpu().numpy()
    columns = {**scores, "copying": pa.array(copying, mask=np.isnan(copying))}
    return arrow.table("heads", {"node": head_nodes(model.graph), **columns}, "weights")


def previous_token_score(pattern: Tensor, ids: Tensor) -> Tensor:
    """[head]: mean attention to the token just before (Olsson et al. 2022, arXiv 2209.11895).

    `pattern` [batch, head, query, key], `ids` [batch, pos]. Like the other two scores it is a mean over the query
    tokens that have such a token to attend to, and 1 when they attend to nothing else.
    """
    places = torch.arange(ids.shape[1], device=ids.device)
    return _attention_to(pattern, (places[:, None] - 1 == places).expand(len(ids), -1, -1))


def duplicate_token_score(pattern: Tensor, ids: Tensor, causal: bool) -> Tensor:
    """[head]: mean attention to other occurrences of the same token (Wang et al. 2022, arXiv 2211.00593).

    Where attention is causal, to earlier ones.
    """
    return _attention_to(pattern, _same_token(ids, causal))


def induction_score(pattern: Tensor, ids: Tensor, causal: bool) -> Tensor:
    """[head]: mean attention to the tokens that follow other occurrences of the same token (Olsson et al. 2022).

    Where attention is causal, earlier ones.
    """
    same = _same_token(ids, causal)
    return _attention_to(pattern, torch.cat([torch.zeros_like(same[..., :1]), same[..., :-1]], -1))


def _same_token(ids: Tensor, causal: bool) -> Tensor:
    """[batch, query, key]: whether the key is another occurrence (an earlier one) of the query's token."""
    same = ids[:, :, None] == ids[:, None, :]
    return same.tril(-1) if causal else same & ~torch.eye(ids.shape[1], dtype=torch.bool, device=ids.device)


def _attention_to(pattern: Tensor, targets: Tensor) -> Tensor:
    """[head]: attention to `targets` [batch, query, key], a mean over the queries that have one."""
    looking = targets.any(-1)[:, None]  # [batch, 1, query]
    return ((pattern * targets[:, None]).sum(-1) * looking).sum((0, 2)) / looking.sum()


def repeated_ids(model: Model, seed: int) -> Tensor:
    """[sequence, pos]: random ordinary tokens, each sequence once and then once more."""
    tokenizer = model.tokenizer
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder, model.mask_id}
    ordinary = [token for token in range(min(len(model.bridge.W_E), len(tokenizer))) if token not in special]
    length = min(REPEATED_LENGTH, model.bridge.cfg.n_ctx // 2, len(ordinary))
    rng = random.Random(f"repeated/{seed}")
    halves = [rng.sample(ordinary, length) for _ in range(REPEATED_SEQUENCES)]
    return torch.tensor([half + half for half in halves], device=model.device)


@torch.no_grad()
def repeated_scores(model: Model, seed: int) -> dict[str, Tensor]:
    """[layer, head] by name: what every head's attention on repeated random tokens makes it."""
    ids, layers = repeated_ids(model, seed), range(model.graph.n_layers)
    hooks = [f"blocks.{layer}.attn.hook_pattern" for layer in layers]
    with recording(model, hooks) as cache:
        model.logits(ids, at=[0])  # only what is recorded counts
    patterns = [cache[hook].float() for hook in hooks]
    return {
        "previous_token": torch.stack([previous_token_score(p, ids) for p in patterns]),
        "duplicate_token": torch.stack([duplicate_token_score(p, ids, model.causal) for p in patterns]),
        "induction": torch.stack([induction_score(p, ids, model.causal) for p in patterns]),
    }


@torch.no_grad()
def copying_scores(model: Model) -> Tensor:
    """[layer, head]: whether attending to a token raises that token's own logit: 1 always, -1 never.

    The sum of the eigenvalues of W_E W_V W_O W_U over the sum of their absolute values (Elhage et al. 2021, "A
    Mathematical Framework for Transformer Circuits", copying), with the linear parts of both norms folded in. A head's
    eigenvalues that aren't zero are those of the small W_O W_U W_E W_V, [d_head, d_head].
    """
    through = _token_to_token(model)
    scores = []
    for layer in range(model.graph.n_layers):
        w_v = (
            activation_cache.ln1(model, layer).weight[:, None] * activation_cache.qkv_weights(model, layer)[2]
        )  # [head, d_model, d_head]
        scores.append(positive_share(activation_cache.output_weights(model, layer) @ through @ w_v))
    return torch.stack(scores)


def positive_share(matrices: Tensor) -> Tensor:
    """[...]: sum of the eigenvalues of matrices [..., n, n] over the sum of their absolute values; nan where all are 0.

    Raises:
        Unsound: a matrix holds NaN or infinite numbers, on which LAPACK would end the process.
    """
    refuse_unsound(matrices, "the products of embedding, head and unembedding weights")
    eigenvalues = torch.linalg.eigvals(matrices.double().cpu())
    return (eigenvalues.sum(-1).real / eigenvalues.abs().sum(-1)).float()


def _token_to_token(model: Model) -> Tensor:
    """[d_model, d_model]: W_U W_E between the two norms, in chunks of tokens."""
    first, last = activation_cache.ln1(model, 0), activation_cache.final_norm(model)
    embeddings, unembeddings = activation_cache.embedding_weights(model), model.bridge.W_U.T  # [vocab, d_model] both
    width = embeddings.shape[1]
    through = torch.zeros(width, width, device=model.device)
    for start in range(0, min(len(embeddings), len(unembeddings)), VOCAB_CHUNK):
        chunk = slice(start, min(start + VOCAB_CHUNK, len(embeddings), len(unembeddings)))
        through += last.centre(last.weight * unembeddings[chunk].float()).T @ first.centre(embeddings[chunk].float())
    return through
