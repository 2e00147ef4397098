"""What attention heads do: where they attend, by token and by the task's roles, how much they write, what they copy.

1. `token_roles` spreads a task's roles over the tokens of an example.
2. `Heads` observes the survey's batches (engine/inspection/observers.py): attention by role, patterns, norms of what
   heads write.
3. `repeated_scores` finds previous-token, duplicate-token and induction heads on repeated random tokens.
4. `copying_scores` reads from the weights alone whether a head writes towards the token that it reads.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.attribution.soundness import refuse_unsound
from engine.inspection.activations import regions
from engine.inspection.observers import Batch, Input
from engine.models import activation_cache
from engine.models.activation_cache import ActivationCache, recording
from engine.models.encoding import Encoded, Span, spell
from engine.models.example import Example
from engine.models.model import Model
from engine.schema import arrow
from engine.schema.list_columns import ragged
from engine.schema.vocabulary import REGIONS
from engine.tasks.base import OTHER, Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PATTERN_BUDGET = 20_000_000  # numbers of all stored attention patterns together
REPEATED_LENGTH = 16  # tokens, which then come once more
REPEATED_SEQUENCES = 8
VOCAB_CHUNK = 8192  # tokens whose embeddings are multiplied at once

Roles = tuple[str, ...]


def token_roles(
    task: Task, example: Example, encoded: Encoded, tokenizer: PreTrainedTokenizerBase
) -> tuple[Roles, Roles]:
    """A role for every token of the prompt and of the answer, as `encode` made them.

    A token has the role of the piece that holds its first character that is no space; a space between prompt and
    answer that is a token of the prompt, that of the prompt's end. The tokenizer's own tokens, such as one that begins
    every prompt, are no part of the task. A masked answer position keeps its piece's role.
    """
    spelled = spell(example.prompt, example.answer, example.join, tokenizer)
    if (len(spelled.prompt), len(spelled.answer)) != (len(encoded.prompt), len(encoded.answer)):
        raise ValueError(f"{example.prompt!r} {example.answer!r} was encoded as other tokens")
    prompt, answer = task.roles(example)
    return (
        _spread(prompt, task.piece, example.prompt, spelled.prompt_spans),
        _spread(answer, task.piece, example.answer, spelled.answer_spans),
    )


def _spread(roles: Sequence[str], piece: re.Pattern[str], text: str, spans: Sequence[Span]) -> Roles:
    pieces = [OTHER] * len(text)  # by character
    for role, match in zip(roles, piece.finditer(text), strict=True):
        pieces[match.start() : match.end()] = [role] * (match.end() - match.start())
    by_token = []
    for start, end in spans:
        inside = [i for i in range(start, min(end, len(text))) if not text[i].isspace()]
        behind = roles[-1] if start >= len(text) else OTHER
        by_token.append(pieces[inside[0]] if inside else behind)
    return tuple(by_token)


class Heads:
    """Observes attention on every input; `roles[i]` are those of all tokens of example i, prompt and answer.

    `kept` are the places of the inputs whose patterns are stored, as far as the budget goes. Padding is never counted.
    """

    def __init__(self, model: Model, roles: Sequence[Roles], inputs: Sequence[Input], kept: Sequence[int]) -> None:
        graph, device = model.graph, model.device
        layers = range(graph.n_layers)
        self.model, self.roles = model, roles
        self.hooks = [f"blocks.{layer}.attn.{name}" for layer in layers for name in ("hook_pattern", "hook_z")]
        self.names = list(dict.fromkeys(role for of_example in roles for role in of_example))
        kinds, heads, double = len(self.names), (graph.n_layers, graph.n_heads), torch.float64
        self.attention = torch.zeros(*heads, kinds, kinds, dtype=double, device=device)  # sums over query tokens
        self.queries = torch.zeros(kinds, dtype=double, device=device)
        self.norms = torch.zeros(*heads, len(REGIONS), dtype=double, device=device)  # sums over tokens
        self.tokens = torch.zeros(len(REGIONS), dtype=double, device=device)
        # |z W_O| needs no more than W_O W_O^T, which is small.
        outputs = (activation_cache.output_weights(model, layer) for layer in layers)
        self.grams = [w @ w.transpose(1, 2) for w in outputs]  # by layer [head, d_head, d_head]
        fitting = within_budget([len(inputs[number].ids) for number in sorted(kept)], graph.n_layers * graph.n_heads)
        self.places = {number: place for place, number in enumerate(sorted(kept)[:fitting])}
        self.patterns: dict[tuple[int, int], NDArray[np.uint8]] = {}  # by place and node

    def observe(self, batch: Batch, cache: ActivationCache) -> None:
        kinds = self._kinds(batch)
        inside = torch.stack(list(regions(batch).values()), -1).float()  # [batch, pos, region]
        self.queries += kinds.sum((0, 1)).double()
        self.tokens += inside.sum((0, 1)).double()
        for layer, gram in enumerate(self.grams):
            pattern = cache[f"blocks.{layer}.attn.hook_pattern"].float()  # [batch, head, query, key]
            to_kinds = pattern @ kinds[:, None]  # [batch, head, query, kind]
            self.attention[layer] += torch.einsum("bqr,bhqs->hrs", kinds, to_kinds).double()
            z = cache[f"blocks.{layer}.attn.hook_z"].float()  # [batch, pos, head, d_head]
            norms = torch.einsum("bphd,hde,bphe->bph", z, gram, z).clamp_min(0).sqrt()
            self.norms[layer] += torch.einsum("bph,bpr->hr", norms, inside).double()
            self._keep_patterns(batch, layer, pattern)

    def _kinds(self, batch: Batch) -> Tensor:
        """[batch, pos, kind]: 1 for a token's role; nothing for padding."""
        kinds = torch.zeros(*batch.ids.shape, len(self.names))
        for i, item in enumerate(batch.inputs):
            at = [self.names.index(role) for role in self.roles[item.example]]
            kinds[i, range(len(at)), at] = 1
        return kinds.to(batch.ids.device)

    def _keep_patterns(self, batch: Batch, layer: int, pattern: Tensor) -> None:
        for i, (number, item) in enumerate(zip(batch.numbers, batch.inputs, strict=True)):
            if number not in self.places:
                continue
            size = len(item.ids)
            scaled = (255 * pattern[i, :, :size, :size]).round().to(torch.uint8).cpu().numpy()
            for head, values in enumerate(scaled):
                self.patterns[self.places[number], self.model.graph.head(layer, head)] = values.ravel()

    def head_table(self, seed: int = 0) -> pa.Table:
        """`heads` of docs/tables.md: a row a head."""
        graph = self.model.graph
        norms = self.norms / self.tokens.clamp(min=1)
        columns = dict(zip([f"norm_{region}" for region in REGIONS], norms.unbind(-1), strict=True))
        columns |= repeated_scores(self.model, seed)
        columns["copying"] = copying_scores(self.model)
        nodes = [graph.head(layer, head) for layer in range(graph.n_layers) for head in range(graph.n_heads)]
        values = {name: value.flatten().float().cpu().numpy() for name, value in columns.items()}
        copying = values.pop("copying")
        return arrow.table(
            "heads",
            {
                "node": pa.array(nodes, pa.int32()),
                **{name: pa.array(value) for name, value in values.items()},
                "copying": pa.array(copying, mask=np.isnan(copying)),
            },
        )

    def role_table(self) -> pa.Table:
        """`attention_roles` of docs/tables.md: every head's mean attention between the roles that occur."""
        graph = self.model.graph
        there = self.queries.nonzero()[:, 0]
        weights = (self.attention / self.queries[:, None])[:, :, there][..., there].cpu()  # [layer, head, query, key]
        layer, head, query, key = np.indices(weights.shape).reshape(4, -1)
        names = np.array(self.names, dtype=object)[there.cpu().numpy()]
        return arrow.table(
            "attention_roles",
            {
                "node": pa.array([graph.head(*place) for place in zip(layer, head, strict=True)], pa.int32()),
                "query": pa.array(names[query], pa.string()),
                "key": pa.array(names[key], pa.string()),
                "weight": weights.flatten().float().numpy(),
                "queries": self.queries[there].cpu().numpy().astype(np.int32)[query],
            },
        )

    def pattern_table(self) -> pa.Table:
        """`attention_patterns` of docs/tables.md; inputs are numbered as in `inputs`."""
        keys = sorted(self.patterns)
        sizes = np.array([len(self.patterns[key]) for key in keys])
        return arrow.table(
            "attention_patterns",
            {
                "input": pa.array([place for place, _ in keys], pa.int32()),
                "node": pa.array([node for _, node in keys], pa.int32()),
                "pattern": ragged(np.concatenate([self.patterns[key] for key in keys]), sizes),
            },
        )


def within_budget(lengths: Sequence[int], heads: int, budget: int = PATTERN_BUDGET) -> int:
    """How many of the first inputs have attention patterns that fit, all heads together; at least one."""
    sizes = np.cumsum([heads * length**2 for length in lengths])
    return max(1, int((sizes < budget).sum()))


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
