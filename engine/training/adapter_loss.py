"""The losses of the two phases, on batches without padding.

ARM: the mean cross-entropy of the answer's tokens, attention causal.

MDM (Gong et al. 2025, arXiv 2410.17891): each of an answer's L tokens is masked with probability t ~ U(0, 1), the
cross-entropy of the masked ones is weighted by 1/t, and logits are shifted by one. Integrated over t, the mean of this
over L tokens is the mean, over k = 1 to L and over all sets of k tokens, of the mean cross-entropy of the tokens of the
set (Ou et al. 2025, arXiv 2406.03736). So

1. k is drawn from 1 to L, evenly spread over a batch, and k tokens chosen at random are masked;
2. the loss of a row is the mean cross-entropy of its masked tokens.

This has the expectation of the published loss, less variance, and no row without a masked token. The attention mask is
annealed from causal to full: one matrix of Bernoulli draws for a batch, its ratio rising from 0 to 1, is added to the
causal mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from engine.training.mixture import Batch


@dataclass(frozen=True)
class Inputs:
    """What a model reads and is asked: `read` [row, pos] is true one to the left of every token asked for.

    `allowed` [pos, pos]: which key a query attends to. `wanted`, `weight` [asked]: row by row, in order of positions;
    weights sum to 1.
    """

    ids: Tensor
    allowed: Tensor
    read: Tensor
    wanted: Tensor
    weight: Tensor

    def bias(self, dtype: torch.dtype) -> Tensor:
        """The additive mask of attention [1, 1, pos, pos]."""
        hidden = ~self.allowed[None, None]
        return torch.zeros(hidden.shape, dtype=dtype).masked_fill(hidden, torch.finfo(dtype).min)

    def loss(self, logits: Tensor) -> Tensor:
        return (cross_entropy(logits, self.wanted, reduction="none") * self.weight).sum()

    def solved(self, logits: Tensor) -> float:
        """The share of rows whose every asked token is the most probable one."""
        wrong = (logits.argmax(-1) != self.wanted).int()
        rows = self.read.nonzero()[:, 0]
        return float((torch.zeros(len(self.ids), dtype=torch.int).index_add(0, rows, wrong) == 0).float().mean())


def arm_inputs(batch: Batch) -> Inputs:
    asked = torch.zeros(batch.ids.shape, dtype=torch.bool)
    asked[:, batch.start :] = True
    wanted = batch.ids[asked]
    weight = torch.full(wanted.shape, 1 / len(wanted))
    return Inputs(batch.ids, causal(batch.ids.shape[1]), left_of(asked), wanted, weight)


def mdm_inputs(batch: Batch, mask_id: int, ratio: float, generator: torch.Generator) -> Inputs:
    """`ratio`: of the annealed attention mask; 0: causal, 1 and more: full."""
    rows, width = batch.ids.shape
    length = width - batch.start
    counts = masked_counts(rows, length, generator)  # [row]
    order = torch.rand(rows, length, generator=generator).argsort(1).argsort(1)  # [row, answer] random ranks
    masked = torch.zeros(batch.ids.shape, dtype=torch.bool)
    masked[:, batch.start :] = order < counts[:, None]
    weight = (1 / (rows * counts))[:, None].expand(-1, width)[masked]
    allowed = causal(width) | (torch.rand(width, width, generator=generator) < ratio)
    ids = batch.ids.masked_fill(masked, mask_id)
    return Inputs(ids, allowed, left_of(masked), batch.ids[masked], weight)


def masked_counts(rows: int, length: int, generator: torch.Generator) -> Tensor:
    """How many tokens of each row are masked: each is uniform on 1..length, together they are evenly spread."""
    offset = torch.rand(1, generator=generator)
    spread = (offset + torch.arange(rows) / rows) % 1
    return 1 + (spread * length).long().clamp(max=length - 1)


def causal(width: int) -> Tensor:
    return torch.ones(width, width, dtype=torch.bool).tril()


def left_of(asked: Tensor) -> Tensor:
    """The positions one to the left, where a shifted model predicts."""
    return asked.roll(-1, 1)
