"""Choose the device and the number format of a model by what it needs and what this machine has; without torch.

Choices go by what the machine has in all, not by what is free at the moment, so that the same machine always chooses
the same: the number format is a part of what a run is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from engine.attribution.footprint import BYTES, footprint, row_named
from engine.errors import UserError
from engine.evidence.footprint import footprint as evidence_footprint
from engine.evidence.footprint import rows_at_once
from engine.models.architecture import Shape, shape_in
from engine.models.pair import DTYPES, Pair
from engine.models.sources import there

if TYPE_CHECKING:
    from engine.attribution.sites import AttributionInput

GIB = 2**30
USABLE = 0.9  # of a device; the rest is the libraries' own and what fragments
TOKENS = {"cuda": 128, "cpu": 1024}  # of a batch: the smallest useful one where batches shrink until they fit
ROW = 64  # tokens of an input, about
CGROUP = Path("/sys/fs/cgroup")  # whose limit of memory may be below what the machine has
SLACK = 1.25  # for what a step needs in passing, and for what an allocator does not give back


@dataclass(frozen=True)
class Device:
    """A place for a model; `total` and `free` in bytes, over all `count` of its GPUs."""

    name: str  # "cuda" or "cpu"
    total: int
    free: int
    count: int = 1


@dataclass(frozen=True)
class DevicePlan:
    """How a model is loaded. `spread`: over several GPUs. `fits`: whether weights and work do."""

    dtype: str
    device: Device
    spread: bool
    weights: int  # bytes
    work: int  # bytes, beside the weights

    @property
    def needed(self) -> int:
        return self.weights + self.work

    @property
    def fits(self) -> bool:
        return self.needed <= USABLE * self.device.total

    @property
    def where(self) -> str:
        return f"{self.device.count} GPUs" if self.spread else self.device.name

    @property
    def short(self) -> str:
        """For whoever waits."""
        return f"{self.dtype} on {self.where}, about {self.needed / GIB:.1f} GiB"

    def __str__(self) -> str:
        there = f"{self.device.total / GIB:.1f} GiB there, {self.device.free / GIB:.1f} GiB free"
        return f"{self.dtype} on {self.where}, needs about {self.needed / GIB:.1f} GiB ({there})"


def gib(size: int) -> str:
    """Bytes as text, as in "14.2 GiB"."""
    return f"{size / GIB:.1f} GiB"


def shape_of(pair: Pair) -> Shape | None:
    """The numbers of a pair's architecture: its models' own where one is here, else the registry's; None: unknown."""
    for model in ("arm", "mdm"):
        try:
            folder = there(pair.folder(model))
            if folder is not None:
                return shape_in(folder)
        except UserError:
            continue
    return pair.shape


def fitting_dtype(pair: Pair) -> str:
    """The number format in which a pair's models fit this machine: the pair's preference, else fp32, else bf16."""
    shape = shape_of(pair)
    if shape is None:
        return pair.dtype or DTYPES[0]
    return plan(shape, formats(pair)).dtype


def formats(pair: Pair) -> tuple[str, ...]:
    """Number formats in the order in which a pair tries them."""
    return tuple(dict.fromkeys((pair.dtype or DTYPES[0], *DTYPES)))


def plan(shape: Shape, dtypes: tuple[str, ...], longest: int = ROW) -> DevicePlan:
    """The first device that holds a model in one of `dtypes`, the first of which is preferred; GPUs before the CPU.

    `longest`: tokens of the longest input. Where no device does, the plan that comes nearest: its `fits` is False.
    """
    tried = [_plan(shape, dtype, device, longest) for device in devices() for dtype in dtypes]
    fitting = (option for option in tried if option.fits)
    return next(fitting, None) or min(tried, key=lambda option: option.needed / option.device.total)


def refuse_too_large(plan: DevicePlan, source: str) -> None:
    """A sentence instead of a killed process.

    Raises:
        UserError: the weights alone are more than the device holds.
    """
    if plan.weights > plan.device.total:
        raise UserError(
            f"The model {source} takes {plan.weights / GIB:.1f} GiB in {plan.dtype}, but there are "
            f"{plan.device.total / GIB:.1f} GiB on this machine's {plan.device.name}. Compute it on a larger one, and "
            "bring the numbers here: python -m engine bundle there, python -m engine import here."
        )


def refuse_inputs_too_large(
    shape: Shape | None,
    dtype: str,
    rows: Sequence[AttributionInput],
    prompts: Sequence[str],
    points: int,
    first: int = 0,
) -> None:
    """A sentence instead of a killed process, once the inputs are known; `prompts` by example.

    `first`: the number in its run of example 0, where the rows are a part of it.

    Raises:
        UserError: the longest of the rows needs more than the device holds, by itself and without any slack.
    """
    if shape is None or not rows:
        return
    row, device = max(rows, key=lambda row: len(row.clean)), plan(shape, (dtype,)).device
    tokens = len(row.clean)
    needed = footprint(shape, tokens, tokens, dtype, device.name, points).peak
    if needed > device.total:
        other = "" if dtype == DTYPES[-1] else f"{DTYPES[-1]}, "
        named = row_named(first + row.example, tokens, prompts[row.example])
        raise UserError(
            f"Edges can't be scored on {named}: by itself it takes {needed / GIB:.1f} GiB in "
            f"{dtype}, weights among them, but there are {device.total / GIB:.1f} GiB on this machine's "
            f"{device.name}. Use shorter prompts, {other}fewer integration points or a larger machine."
        )


def refuse_evidence_too_large(
    shape: Shape | None, dtype: str, rows: Sequence[AttributionInput], prompts: Sequence[str], circuits: int
) -> int:
    """Bytes that running so many circuits takes at most, weights among them; 0 where the shape is not known.

    Raises:
        UserError: one circuit on the longest of the rows needs more than the device holds.
    """
    if shape is None or not rows:
        return 0
    row, device = max(rows, key=lambda row: len(row.clean)), plan(shape, (dtype,)).device
    tokens = len(row.clean)
    needed = evidence_footprint(shape, 1, 1, tokens, dtype, device.name).peak
    if needed > device.total:
        raise UserError(
            f"Circuits can't be run on {row_named(row.example, tokens, prompts[row.example])}: one of them takes "
            f"{needed / GIB:.1f} GiB in {dtype}, weights among them, but there are {device.total / GIB:.1f} GiB on "
            f"this machine's {device.name}. Use shorter prompts or a larger machine."
        )
    at_once = rows_at_once(shape, len(rows), tokens, dtype, device.name)
    return evidence_footprint(shape, circuits, at_once, tokens, dtype, device.name).peak


def gpus_needed(shape: Shape, dtype: str, gpu_memory: int) -> int:
    """The smallest number of GPUs of so many bytes each that hold a model and its work; 0 where there are none."""
    if not gpu_memory:
        return 0
    needed = weight_bytes(shape, dtype) + work_bytes(shape, dtype, "cuda")
    return max(1, ceil(needed / (USABLE * gpu_memory)))


def weight_bytes(shape: Shape, dtype: str) -> int:
    return shape.parameters * BYTES[dtype]


def work_bytes(shape: Shape, dtype: str, device: str, longest: int = ROW) -> int:
    """What attribution holds beside the weights with one batch on "cuda" or "cpu", with some slack.

    `longest`: tokens of the longest input, of which a batch holds one at least. Measured in fp32 with full batches on
    a CPU: 2.0 GiB where this says 2.1 (30 layers, d_model 576).
    """
    whole = footprint(shape, max(TOKENS[device], longest), longest, dtype, device)
    return int(SLACK * (whole.peak - whole.weights))


def devices() -> list[Device]:
    """Where a model can be on this machine, the best first: one GPU, all of them together, the CPU."""
    places = []
    gpus = _gpus()
    if gpus:
        places.append(Device("cuda", *max(gpus)))
    if len(gpus) > 1:
        places.append(Device("cuda", sum(total for total, _ in gpus), sum(free for _, free in gpus), len(gpus)))
    return [*places, Device("cpu", *cpu_memory())]


def gpu_memories() -> tuple[int, ...]:
    """Bytes of every GPU that this process may use."""
    return tuple(total for total, _ in _gpus())


def cpu_memory() -> tuple[int, int]:
    """Bytes of main memory that this process may use: in all, and free."""
    system = psutil.virtual_memory()
    limit = _number(CGROUP / "memory.max")
    if limit is not None and limit < system.total:
        used = _number(CGROUP / "memory.current") or 0
        return limit, min(system.available, max(0, limit - used))
    return system.total, system.available


def _plan(shape: Shape, dtype: str, device: Device, longest: int) -> DevicePlan:
    work = work_bytes(shape, dtype, device.name, longest)
    return DevicePlan(dtype, device, device.count > 1, weight_bytes(shape, dtype), work)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None


def visible_indices(uuids: Sequence[str], visible: str | None) -> list[int]:
    """Which of a machine's GPUs a value of CUDA_VISIBLE_DEVICES names, by number or by a beginning of the UUID.

    As in CUDA, an entry that names none ends the list (CUDA Programming Guide, "CUDA Environment Variables").
    """
    if visible is None:
        return list(range(len(uuids)))
    indices: list[int] = []
    for name in map(str.strip, visible.split(",")):
        if name.isdecimal():
            named = [int(name)] if int(name) < len(uuids) else []
        else:
            named = [index for index, uuid in enumerate(uuids) if name and uuid.startswith(name)]
        if len(named) != 1 or named[0] in indices:
            break
        indices += named
    return indices


@cache
def _gpus() -> tuple[tuple[int, int], ...]:
    """Bytes in all and free of every GPU that torch would see, as NVIDIA's driver tells them; none without a driver."""
    try:
        if version("torch").endswith("+cpu"):
            return ()
        import pynvml
    except (PackageNotFoundError, ImportError):
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver here
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        uuids = [str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles] if visible else [""] * len(handles)
        memory = [pynvml.nvmlDeviceGetMemoryInfo(handles[index]) for index in visible_indices(uuids, visible)]
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()
    return tuple((int(gpu.total), int(gpu.free)) for gpu in memory)
