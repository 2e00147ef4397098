"""The largest and smallest of each row, against torch.topk where numbers differ and against a stable sort where not."""

from __future__ import annotations

import pytest
import torch

from engine.inspection import top_k as module
from engine.inspection.top_k import top_k

ends = pytest.mark.parametrize("largest", [True, False], ids=["largest", "smallest"])
WIDTHS = (5, 31, 64, 320, 321, 352, 353, 1000, 12_345)  # none, some and all in whole blocks; several levels of blocks


def first_of_equals(values: torch.Tensor, most: int, largest: bool) -> torch.Tensor:
    return values.argsort(dim=1, descending=largest, stable=True)[:, :most]


@ends
@pytest.mark.parametrize("width", WIDTHS)
def test_numbers_that_differ_are_those_of_torch(width: int, largest: bool) -> None:
    values = torch.stack([torch.randperm(width, generator=torch.Generator().manual_seed(seed)) for seed in range(4)])
    theirs = values.float().topk(5, largest=largest)
    mine, columns = top_k(values.float(), 5, largest)
    assert torch.equal(mine, theirs.values) and torch.equal(columns, theirs.indices)


@ends
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kinds", [1, 2, 3, 50])
def test_of_equals_the_first_comes_first(width: int, kinds: int, largest: bool) -> None:
    values = torch.randint(kinds, (6, width), generator=torch.Generator().manual_seed(kinds)).float()
    mine, columns = top_k(values, 5, largest)
    assert torch.equal(columns, first_of_equals(values, 5, largest))
    assert torch.equal(mine, values.gather(1, columns))


@ends
def test_the_best_may_all_lie_in_one_block_or_at_the_end(largest: bool) -> None:
    sign = 1.0 if largest else -1.0
    values = torch.zeros(2, 700)
    values[0, 32:37] = sign * torch.arange(1.0, 6.0)
    values[1, 695:] = sign * torch.arange(5.0, 0.0, -1.0)
    assert top_k(values, 5, largest)[1].tolist() == [[36, 35, 34, 33, 32], [695, 696, 697, 698, 699]]


def test_nan_counts_as_largest_as_in_torch() -> None:
    values = torch.arange(700.0)[None].clone()
    values[0, 100] = torch.nan
    best, columns = top_k(values, 3)
    assert best[0, 0].isnan() and columns.tolist() == [[100, 699, 698]]


def test_rows_shorter_than_asked_for_are_sorted() -> None:
    assert top_k(torch.tensor([[2.0, 3.0]]), 5)[1].tolist() == [[1, 0]]
    assert module.BLOCK > 1
