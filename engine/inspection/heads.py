"""What attention heads do on a task: where they attend, by token and by the task's roles, and how much they write.

1. `token_roles` spreads a task's roles over the tokens of an example.
2. `Heads` observes the survey's batches (engine/inspection/observers.py): attention by role, patterns, norms of what
   heads write.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.circuits.graph import Graph
from engine.inspection.activations import regions
from engine.inspection.observers import Batch, Input
from engine.models import activation_cache
from engine.models.activation_cache import ActivationCache
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

    def norm_table(self) -> pa.Table:
        """The columns of `heads` (docs/tables.md) that come from activations: a row a head."""
        norms = (self.norms / self.tokens.clamp(min=1)).flatten(0, 1).float().cpu().numpy()  # [head, region]
        columns = {f"norm_{region}": norms[:, i] for i, region in enumerate(REGIONS)}
        return arrow.table("heads", {"node": head_nodes(self.model.graph), **columns}, "activity")

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


def head_nodes(graph: Graph) -> pa.Array:
    """[layer * head]: the node of every head, in the order of the rows of `heads`."""
    places = product(range(graph.n_layers), range(graph.n_heads))
    return pa.array([graph.head(layer, head) for layer, head in places], pa.int32())
