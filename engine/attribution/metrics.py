"""Metrics: the number per row that a circuit explains, read at its sites (METHOD, "Examples and readout sites")."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from engine.attribution.sites import AttributionInput


def at_sites(values: Tensor, rows: Sequence[AttributionInput]) -> Tensor:
    """[site, ...]: `values` [row, pos, ...] where logits are read, the sites of the rows one after the other."""
    indices = [i for i, row in enumerate(rows) for _ in row.sites]
    return values[indices, [site.read for row in rows for site in row.sites]]


def row_metrics(
    metric: str, logits: Tensor, rows: Sequence[AttributionInput], clean_logits: Tensor | None = None
) -> Tensor:
    """[row]: weight * sum over sites, so that an example's rows sum to its mean over sites.

    `logits` [site, vocab] as `at_sites` orders them. "logit_diff": log-odds of the right against the wrong candidates,
    the plain logit difference when each is one token. "log_prob": log-probability of the right ones. "kl": minus the
    divergence from the clean output (needs `clean_logits`), so that larger is always closer to clean.
    """
    sites = [site for row in rows for site in row.sites]
    right, wrong = [site.right for site in sites], [site.wrong for site in sites]
    dtype = torch.promote_types(logits.dtype, torch.float32)
    if metric == "logit_diff":
        by_site = _pooled(logits, right, dtype) - _pooled(logits, wrong, dtype)
    elif metric == "log_prob":
        by_site = _pooled(logits.to(dtype).log_softmax(-1), right, dtype)
    elif metric == "kl" and clean_logits is not None:
        clean = clean_logits.to(dtype).log_softmax(-1)
        by_site = -kl_div(logits.to(dtype).log_softmax(-1), clean, log_target=True, reduction="none").sum(-1)
    else:
        raise ValueError(f"unknown metric {metric!r}, or no clean logits for it")
    weights = torch.tensor([row.weight for row in rows for _ in row.sites], dtype=dtype, device=logits.device)
    at = torch.tensor([i for i, row in enumerate(rows) for _ in row.sites], device=logits.device)
    return by_site.new_zeros(len(rows)).index_add(0, at, weights * by_site)


def _pooled(values: Tensor, tokens: Sequence[tuple[int, ...]], dtype: torch.dtype) -> Tensor:
    """[site]: logsumexp of `values` [site, vocab] over every site's tokens."""
    width = max(map(len, tokens))
    index = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in tokens], device=values.device)
    absent = torch.tensor([[i >= len(ids) for i in range(width)] for ids in tokens], device=values.device)
    return values.gather(1, index).to(dtype).masked_fill(absent, -torch.inf).logsumexp(1)
