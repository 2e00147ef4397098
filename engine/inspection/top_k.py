"""The few largest or smallest of many numbers: as torch.topk, but fast on a CPU, and of equals always the first.

Rows are as wide as a vocabulary. One pass finds the largest of each block of a row; only the blocks that lead are
looked at again. What is not in such a block is below (or equal to and after) enough numbers that are.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 32  # numbers of a row


def top_k(values: Tensor, most: int, largest: bool = True) -> tuple[Tensor, Tensor]:
    """Of every row of values [row, n] the `most` largest (or smallest) and their columns, [row, most] each, in order.

    NaN counts as largest, as in torch.
    """
    width = values.shape[1]
    blocks = width // BLOCK
    if blocks <= 2 * most:  # so few that sorting all is no more work
        order = values.sort(dim=1, descending=largest, stable=True)
        return order.values[:, :most], order.indices[:, :most]
    inside = values[:, : blocks * BLOCK].unflatten(1, (blocks, BLOCK))
    _, leading = top_k(inside.amax(2) if largest else inside.amin(2), most, largest)  # [row, most]
    within = torch.arange(BLOCK, device=values.device)  # blocks in ascending order, so that of equals the first stay so
    columns = (leading.sort(1).values[:, :, None] * BLOCK + within).flatten(1)
    rest = torch.arange(blocks * BLOCK, width, device=values.device).expand(len(values), -1)
    columns = torch.cat([columns, rest], 1)
    order = values.gather(1, columns).sort(dim=1, descending=largest, stable=True)
    return order.values[:, :most], columns.gather(1, order.indices[:, :most])
