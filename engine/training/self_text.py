"""Text that a language model writes itself: with it in the mixture an adapter stays near the model it adapts.

Sequences of one length, drawn token by token from the model's own distribution after the token that stands between the
documents of its training. The mean cross-entropy on such text is the model's entropy plus the divergence of the adapted
model from it, so that training on it holds the divergence down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

TOGETHER = 128  # sequences drawn at once


@torch.no_grad()
def sampled_text(model: LlamaForCausalLM, first: int, rows: int, length: int, seed: int) -> Tensor:
    """[rows, length] token ids that begin with the token `first`."""
    generator = torch.Generator().manual_seed(seed)
    parts = [_sampled(model, first, min(TOGETHER, rows - at), length, generator) for at in range(0, rows, TOGETHER)]
    return torch.cat(parts)


def _sampled(model: LlamaForCausalLM, first: int, rows: int, length: int, generator: torch.Generator) -> Tensor:
    ids, cache = torch.full((rows, 1), first), None
    while ids.shape[1] < length:
        result = model(input_ids=ids[:, -1:], past_key_values=cache, use_cache=True)
        cache, logits = result.past_key_values, result.logits[:, -1].float()  # [row, vocab]
        # The largest of logits with independent Gumbel noise is a draw from their softmax.
        noise = torch.empty_like(logits).exponential_(generator=generator).log_()
        ids = torch.cat([ids, (logits - noise).argmax(-1, keepdim=True)], 1)
    return ids
