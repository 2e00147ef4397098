"""How many inputs run together: a fixed size on the CPU, what fits on a GPU, half as many when memory runs out.

A batch costs as much as its inputs would if all were as long as the longest. What finished is kept: a batch that did
not fit is the only work that is done again.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from engine.errors import UserError

if TYPE_CHECKING:
    from engine.models.model import Model

TOKENS = 1024  # in a batch on the CPU, and in the first one on a GPU
MOST_TOKENS = 16_384  # beyond this a GPU gets no faster
USED = 0.8  # of the memory that is free, so that a batch of another shape still fits

T = TypeVar("T")
R = TypeVar("R")


class Capacity:
    """What a batch may cost, in the caller's unit; learned from one batch to the next."""

    def __init__(self, size: int, devices: Iterable[torch.device] = (), most: int | None = None) -> None:
        """`devices` are measured where they are GPUs; without any the size only ever falls."""
        self.size, self._most = size, size if most is None else most
        self._devices = [device for device in devices if device.type == "cuda"]

    def run(self, work: Callable[[], R], cost: int) -> list[R]:
        """What `work`, a batch of this cost, returns; nothing when it did not fit in memory."""
        free = {device: free_bytes(device) for device in self._devices}
        for device in self._devices:
            torch.cuda.reset_peak_memory_stats(device)
        before = {device: torch.cuda.memory_allocated(device) for device in self._devices}
        results: list[R] = []
        try:
            results.append(work())
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        if not results:  # only after the block above is freed what the failed batch allocated
            self._most = self.size = max(1, cost // 2)
            release()
            return results
        taken = {device: torch.cuda.max_memory_allocated(device) - before[device] for device in self._devices}
        if taken:
            room = min(free[device] * cost / max(1, taken[device]) for device in taken)
            self.size = max(1, min(self._most, int(USED * room)))
        return results


def token_capacity(model: nn.Module) -> Capacity:
    """In tokens, for whatever runs a model."""
    devices = {parameter.device for parameter in model.parameters()}
    return Capacity(TOKENS, devices, MOST_TOKENS if any(device.type == "cuda" for device in devices) else TOKENS)


def in_batches(
    items: Sequence[T],
    cost: Callable[[T], int],
    capacity: Capacity,
    work: Callable[[Sequence[T]], R],
    name: Callable[[T], str] = lambda item: "a single prompt",
) -> Iterator[tuple[Sequence[T], R]]:
    """Every batch of `items`, in order, with what `work` made of it; `work` runs again on fewer where memory ran out.

    `name` of an item, as in "a single prompt", is for a message.

    Raises:
        UserError: a single item does not fit.
    """
    done = 0
    while done < len(items):
        batch, total = _first(items[done:], cost, capacity.size)
        results = capacity.run(partial(work, batch), total)
        if results:
            done += len(batch)
            yield batch, results.pop()
        elif len(batch) == 1:
            raise UserError(f"Memory ran out on {name(batch[0])}. Use shorter prompts, bfloat16, or a larger device.")


def is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def release() -> None:
    """Give memory that is no longer referenced back to the device, and to the system.

    A model's modules refer to each other in circles, and the C library keeps what was freed in pieces.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(OSError, AttributeError):  # other C libraries have no such function
        ctypes.CDLL(None).malloc_trim(0)


def _first(items: Sequence[T], cost: Callable[[T], int], size: int) -> tuple[Sequence[T], int]:
    """As many of the first items as `size` holds, one at least, and what they cost together."""
    longest = cost(items[0])
    count = 1
    while count < len(items) and max(longest, cost(items[count])) * (count + 1) <= size:
        longest = max(longest, cost(items[count]))
        count += 1
    return items[:count], count * longest


def free_bytes(device: torch.device) -> int:
    """Bytes that could be allocated, those that torch keeps unused among them."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def padded(model: Model, inputs: Sequence[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
    """Inputs as ids and real (False: padding), both [batch, pos] and on the model's device, padded to the right."""
    width = max(map(len, inputs))
    ids = torch.full((len(inputs), width), model.pad_id)
    real = torch.zeros(len(inputs), width, dtype=torch.bool)
    for i, tokens in enumerate(inputs):
        ids[i, : len(tokens)] = torch.tensor(tokens)
        real[i, : len(tokens)] = True
    return ids.to(model.device), real.to(model.device)
