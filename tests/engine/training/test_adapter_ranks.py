"""Adapters of a lower rank against the singular values of the whole product."""

from __future__ import annotations

import pytest
import torch

from engine.models.adapters import MASK_EMBEDDING
from engine.training.adapter_ranks import of_rank
from engine.training.low_rank import Shape

GENERATOR = torch.Generator().manual_seed(0)
TENSORS = {
    "q.lora_A.weight": torch.randn(6, 20, generator=GENERATOR),
    "q.lora_B.weight": torch.randn(11, 6, generator=GENERATOR),
    MASK_EMBEDDING: torch.ones(1, 20),
}
PRODUCT = TENSORS["q.lora_B.weight"] @ TENSORS["q.lora_A.weight"]


@pytest.mark.parametrize("rank", [1, 4, 6])
def test_nothing_of_that_rank_is_nearer(rank: int) -> None:
    lower, shape = of_rank(TENSORS, Shape(6, 12.0), rank)
    a, b = lower["q.lora_A.weight"], lower["q.lora_B.weight"]
    assert (a.shape, b.shape) == ((rank, 20), (11, rank))
    left, values, right = torch.linalg.svd(PRODUCT, full_matrices=False)
    torch.testing.assert_close(b @ a, left[:, :rank] * values[:rank] @ right[:rank], rtol=1e-4, atol=1e-4)
    missing = values[rank:].square().sum().sqrt()
    assert float((PRODUCT - b @ a).norm()) == pytest.approx(float(missing), abs=1e-4)
    assert (shape.rank, shape.scale) == (rank, 2.0)
    assert torch.equal(lower[MASK_EMBEDDING], TENSORS[MASK_EMBEDDING])
