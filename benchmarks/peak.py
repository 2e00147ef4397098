"""The most bytes that tensors took at once while something ran."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine.models.batching import release


def peak(work: Callable[[], None], device: str, weights: Iterable[Tensor]) -> int:
    """Bytes, `weights` included: as the allocator counts them on a GPU, by the tensors that operations make on the CPU.

    A processor's resident memory would also count what the C library keeps and what libraries load on the way.
    """
    release()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated()
    with _Counting(weights) as counting:
        work()
    return counting.most


class _Counting(TorchDispatchMode):
    """Adds up the storages that operations return, and takes off those that are let go."""

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()
        self._alive: set[int] = set()
        self._now = self.most = 0
        for tensor in held:
            self._count(tensor)

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = operation(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self._count(leaf)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        name, size = storage._cdata, storage.nbytes()  # noqa: SLF001
        if name in self._alive:
            return
        self._alive.add(name)
        self._now += size
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._let_go, name, size)

    def _let_go(self, name: int, size: int) -> None:
        self._alive.discard(name)
        self._now -= size
