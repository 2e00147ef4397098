"""A second device on a machine that has one: its tensors hold numbers, and meet no tensor of the first by accident.

Its name is "meta", the one device beside the CPU that every build of torch knows; here it computes. As on a GPU, an
operation on tensors of both devices is an error, but where one of them is a single number, copies from one to the
other, or is a CPU's index into the other's tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.hooks import attach_align_device_hook_on_blocks
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

SECOND = torch.device("meta")
aten = torch.ops.aten
COPIES = (aten.copy_.default, aten._to_copy.default)
INDEXING = (aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default)


class Second(Tensor):
    """A tensor on the second device; `held` has its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Second:
        return Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=SECOND, requires_grad=False,
        )  # fmt: skip

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"Second({self.held})"

    @property
    def is_meta(self) -> bool:  # type: ignore[override]
        """What asks for it wants to know whether there are numbers."""
        return False

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """Lists that torch makes tensors of would be without numbers on this device."""

    def __torch_function__(self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.tensor and _is_second(kwargs.get("device")):
            return func(*args, **{key: value for key, value in kwargs.items() if key != "device"}).to(SECOND)
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            places = args[1] if isinstance(args[1], tuple) else (args[1],)
            args = (
                args[0],
                tuple(torch.tensor(place) if isinstance(place, list) else place for place in places),
                *args[2:],
            )
        return func(*args, **kwargs)


@contextmanager
def second_device() -> Iterator[None]:
    with _Functions(), _Dispatch():
        yield


def spread(model: nn.Module, places: Mapping[str, str]) -> None:
    """Place modules by name, as accelerate does over several GPUs: weights once, inputs whenever a module is called."""
    for name, place in places.items():
        module = model.get_submodule(name)
        for owner in module.modules():
            for key, parameter in owner.named_parameters(recurse=False):
                setattr(owner, key, nn.Parameter(parameter.data.to(place), requires_grad=False))
            for key, buffer in owner.named_buffers(recurse=False):
                owner._buffers[key] = buffer.to(place)
    attach_align_device_hook_on_blocks(model, execution_device=dict(places), offload=dict.fromkeys(places, False))


def _is_second(device: Any) -> bool:
    return device is not None and torch.device(device).type == SECOND.type


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
    second = [tensor for tensor in tensors if isinstance(tensor, Second)]
    if second and func not in COPIES:
        mixed = [tensor for tensor in tensors if not isinstance(tensor, Second) and tensor.dim()]
        if mixed and not (func in INDEXING and isinstance(args[0], Second) and mixed == _indices(args)):
            raise RuntimeError(f"Expected all tensors to be on the same device, but found two: {func}")
    device = kwargs.get("device")
    on_second = _is_second(device) if device is not None else bool(second) and isinstance(_first(args), Second | None)
    if func is aten.copy_.default:
        on_second = isinstance(args[0], Second)
    inner = {**kwargs, **({"device": torch.device("cpu")} if device is not None else {})}
    result = func(*tree_map(_held, args), **tree_map(_held, inner))
    if not on_second:
        return result
    wrapped = tree_map(lambda leaf: Second(leaf) if isinstance(leaf, Tensor) else leaf, result)
    return wrapped if func in COPIES[1:] else return_and_correct_aliasing(func, args, kwargs, wrapped)


def _indices(args: tuple[Any, ...]) -> list[Tensor]:
    return [leaf for leaf in args[1] if isinstance(leaf, Tensor) and not isinstance(leaf, Second)]


def _first(args: tuple[Any, ...]) -> Tensor | None:
    """The first tensor that is no single number of the CPU; None: all are."""
    tensors = [leaf for leaf in tree_flatten(args)[0] if isinstance(leaf, Tensor)]
    return next((tensor for tensor in tensors if isinstance(tensor, Second)), None)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Second) else value
