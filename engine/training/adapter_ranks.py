"""An adapter of a lower rank that is as near as can be, for checkpoints that have to be small.

The nearest matrix of rank r to a product B A, in the sum of squares, is that of its r largest singular values (Eckart
and Young 1936). They are found from the QR decompositions of both factors: B A = Q_B (R_B R_A^T) Q_A^T, where the
bracket is a matrix of the adapter's rank only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from engine.training.low_rank import Shape

A, B = ".lora_A.weight", ".lora_B.weight"


def of_rank(tensors: Mapping[str, Tensor], shape: Shape, rank: int) -> tuple[dict[str, Tensor], Shape]:
    """An adapter's tensors at a lower rank, and its shape then; the scale stays. What is no factor stays as it is."""
    lower = dict(tensors)
    for name in [name.removesuffix(A) for name in tensors if name.endswith(A)]:
        lower[name + A], lower[name + B] = _nearest(tensors[name + A], tensors[name + B], rank)
    return lower, replace(shape, rank=rank, alpha=shape.scale * rank)


def _nearest(a: Tensor, b: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """A [rank, in] and B [out, rank] whose product is nearest to b a; both get the square root of a singular value."""
    q_a, r_a = torch.linalg.qr(a.float().T)
    q_b, r_b = torch.linalg.qr(b.float())
    left, values, right = torch.linalg.svd(r_b @ r_a.T)
    root = values[:rank].sqrt()
    return root[:, None] * (right[:rank] @ q_a.T), q_b @ left[:, :rank] * root
