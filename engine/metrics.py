"""What a circuit explains: a number per row, read at its sites (METHOD, "Examples and readout sites")."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from engine.sites import Row


def row_metrics(metric: str, logits: Tensor, rows: Sequence[Row], clean_logits: Tensor | None = None) -> Tensor:
    """[row]: weight * sum over sites, so that an example's rows sum to its mean over sites.

    `logits` [row, pos, vocab]. "logit_diff": log-odds of the right against the wrong candidates, the plain logit
    difference when each is one token. "log_prob": log-probability of the right ones. "kl": minus the divergence
    from the clean output (needs `clean_logits`), so that larger is always closer to clean.
    """
    return torch.stack([row.weight * _row(metric, logits[i], row, clean_logits, i) for i, row in enumerate(rows)])


def _row(metric: str, logits: Tensor, row: Row, clean_logits: Tensor | None, i: int) -> Tensor:
    dtype = torch.promote_types(logits.dtype, torch.float32)
    total = logits.new_zeros((), dtype=dtype)
    for site in row.sites:
        at = logits[site.read].to(dtype)  # [vocab]
        if metric == "logit_diff":
            total = total + _pooled(at, site.right) - _pooled(at, site.wrong)
        elif metric == "log_prob":
            total = total + _pooled(at.log_softmax(-1), site.right)
        elif metric == "kl" and clean_logits is not None:
            clean = clean_logits[i, site.read].to(dtype).log_softmax(-1)
            total = total - kl_div(at.log_softmax(-1), clean, log_target=True, reduction="sum")
        else:
            raise ValueError(f"unknown metric {metric!r}, or no clean logits for it")
    return total


def _pooled(values: Tensor, tokens: tuple[int, ...]) -> Tensor:
    return values[list(tokens)].logsumexp(-1) if len(tokens) > 1 else values[tokens[0]]
