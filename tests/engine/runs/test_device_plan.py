"""What models need and what follows from what a machine has."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest

from engine.attribution.sites import AttributionInput
from engine.errors import UserError
from engine.models.architecture import Shape, shape_in
from engine.models.pairs import pair_named
from engine.runs import device_plan
from engine.runs.device_plan import (
    GIB,
    Device,
    fitting_dtype,
    plan,
    refuse_evidence_too_large,
    refuse_inputs_too_large,
    refuse_too_large,
)
from tests import checkpoints, tiny

MIB = 2**20


def shape_of(name: str) -> Shape:
    shape = device_plan.shape_of(pair_named(name))
    assert shape is not None
    return shape


def machine(monkeypatch: pytest.MonkeyPatch, cpu: float, *gpus: float) -> None:
    """A machine with so many GiB."""
    monkeypatch.setattr(device_plan, "_gpus", lambda: tuple((int(size * GIB), int(size * GIB)) for size in gpus))
    monkeypatch.setattr(device_plan, "cpu_memory", lambda: (int(cpu * GIB), int(cpu * GIB)))


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_the_weights_of_a_shape_are_those_of_the_model(tmp_path: Path, architecture: str) -> None:
    model = tiny.hf_model(architecture)
    model.config.save_pretrained(tmp_path)
    shape = shape_in(tmp_path)
    small = ("norm", "ln_", "bias", "wpe")
    counted = sum(p.numel() for name, p in model.named_parameters() if not any(part in name for part in small))
    assert shape.parameters == counted
    assert (shape.layers, shape.heads, shape.mlp, shape.vocabulary) == (2, 4, shape.mlp, tiny.VOCAB)


@pytest.mark.parametrize("name", checkpoints.FORMATS)
def test_a_published_config_is_read_without_knowing_its_type(tmp_path: Path, name: str) -> None:
    for checkpoint in checkpoints.FORMATS[name]:
        (tmp_path / "config.json").write_text(json.dumps(checkpoint.config))
        shape, registered = shape_in(tmp_path), pair_named(name).shape
        assert registered is not None and (shape.tied, shape.gated) == (registered.tied, registered.gated)
        assert (shape.layers, shape.heads, shape.d_model) == (2, 4, 16)


@pytest.mark.parametrize(
    ("name", "cpu", "gpus", "dtype", "device", "spread", "fits"),
    [
        ("dream", 64, (80,), "bfloat16", "cuda", False, True),
        ("dream", 128, (16,), "bfloat16", "cpu", False, True),
        ("dream", 16, (16, 16), "bfloat16", "cuda", True, True),
        ("dream", 128, (), "bfloat16", "cpu", False, True),
        ("dream", 8, (), "bfloat16", "cpu", False, False),
        ("qwen3-mdlm", 24, (), "float32", "cpu", False, True),
        ("qwen3-mdlm", 24, (80,), "float32", "cuda", False, True),
        ("embedded", 4, (), "float32", "cpu", False, True),
        ("qwen3-mdlm", 6, (), "bfloat16", "cpu", False, True),
        ("dream", 64, (24,), "bfloat16", "cuda", False, True),
    ],
)
def test_the_plan_follows_the_machine(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    cpu: float,
    gpus: tuple[float, ...],
    dtype: str,
    device: str,
    spread: bool,
    fits: bool,
) -> None:
    machine(monkeypatch, cpu, *gpus)
    chosen = plan(shape_of(name), device_plan.formats(pair_named(name)))
    assert (chosen.dtype, chosen.device.name, chosen.spread, chosen.fits) == (dtype, device, spread, fits)
    assert fitting_dtype(pair_named(name)) == dtype
    assert f"{dtype} on {'2 GPUs' if spread else device}, needs about" in str(chosen)


def test_a_plan_does_not_change_with_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 24)
    before = fitting_dtype(pair_named("qwen3-mdlm"))
    monkeypatch.setattr(device_plan, "cpu_memory", lambda: (24 * GIB, GIB))
    assert fitting_dtype(pair_named("qwen3-mdlm")) == before


def test_weights_larger_than_the_machine_are_refused_before_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 8)
    with pytest.raises(UserError, match=r"takes 14\.2 GiB in bfloat16, but there are 8\.0 GiB .*cpu.*engine bundle"):
        refuse_too_large(plan(shape_of("dream"), ("bfloat16",)), "Dream")
    machine(monkeypatch, 16)
    refuse_too_large(plan(shape_of("dream"), ("bfloat16",)), "Dream")


def test_the_plan_is_for_the_longest_input(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 16)
    shape = shape_of("qwen3-mdlm")
    short, long = plan(shape, ("float32",)), plan(shape, ("float32",), longest=8000)
    assert short == plan(shape, ("float32",), longest=64) and short.fits
    assert long.weights == short.weights and long.work > 4 * short.work and not long.fits


def rows_of(*lengths: int) -> list[AttributionInput]:
    inputs = [tuple([5] * length) for length in lengths]
    return [AttributionInput(i, "step-00", tokens, tokens, (), 1.0) for i, tokens in enumerate(inputs)]


def test_an_input_that_never_fits_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 16)
    shape, rows, prompts = shape_of("qwen3-mdlm"), rows_of(20, 9000, 30), ["Who?", "Once upon a time " * 500, "Why?"]
    message = (
        r"can't be scored on example 1, whose input has 9,000 tokens \(Once upon a .* \.\.\.\): by itself it takes "
        r"\d+\.\d GiB in float32, .*but there are 16\.0 GiB on this machine's cpu\. Use shorter prompts, bfloat16, "
    )
    with pytest.raises(UserError, match=message):
        refuse_inputs_too_large(shape, "float32", rows, prompts, points=5)
    with pytest.raises(UserError, match=r"in bfloat16.* Use shorter prompts, fewer integration points"):
        refuse_inputs_too_large(shape, "bfloat16", rows, prompts, points=5)
    refuse_inputs_too_large(shape, "float32", rows[::2], prompts, points=5)
    refuse_inputs_too_large(None, "float32", rows, prompts, points=5)
    refuse_inputs_too_large(shape, "float32", [], [], points=5)


def test_what_running_circuits_takes_is_told_and_refused_where_it_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = shape_of("dream")
    machine(monkeypatch, 64, 80)
    short, long = rows_of(20)[0], rows_of(400_000)[0]
    told = refuse_evidence_too_large(shape, "bfloat16", [short] * 64, ["a"], 100)
    assert 14 * GIB < told < 26 * GIB  # weights of 7B, and a buffer of 4 GiB
    assert refuse_evidence_too_large(shape, "bfloat16", [short], ["a"], 1) < told
    with pytest.raises(UserError, match=r"Circuits can't be run on .*GiB in bfloat16.*Use shorter prompts"):
        refuse_evidence_too_large(shape, "bfloat16", [short, long], ["a"], 100)
    assert refuse_evidence_too_large(None, "bfloat16", [long], ["a"], 100) == 0
    assert refuse_evidence_too_large(shape, "bfloat16", [], [], 100) == 0


def test_a_pair_of_unknown_shape_takes_its_own_preference(tmp_path: Path) -> None:
    nowhere = replace(pair_named("dream"), arm=str(tmp_path / "a"), mdm=str(tmp_path / "m"), shape=None)
    assert (fitting_dtype(nowhere), fitting_dtype(replace(nowhere, dtype=None))) == ("bfloat16", "float32")


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """NVIDIA's driver with two GPUs, and a torch that can use them."""
    memory = [SimpleNamespace(total=81559 * MIB, free=80000 * MIB), SimpleNamespace(total=24576 * MIB, free=1000 * MIB)]
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: len(memory))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda handle: ("GPU-3f00", "GPU-aa11")[handle])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda handle: memory[handle])
    monkeypatch.setattr(device_plan, "version", lambda name: "2.13.0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    device_plan._gpus.cache_clear()
    yield
    device_plan._gpus.cache_clear()


@pytest.mark.usefixtures("driver")
def test_gpus_are_read_from_the_driver() -> None:
    largest, both, cpu = device_plan.devices()
    assert largest == Device("cuda", 81559 * MIB, 80000 * MIB)
    assert both == Device("cuda", 106135 * MIB, 81000 * MIB, 2)
    assert cpu.name == "cpu" and cpu.total >= cpu.free > 0


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("visible", "totals"), [("1", [24576]), ("1,0", [81559, 106135]), ("GPU-aa", [24576]), ("", []), ("7", [])]
)
def test_gpus_that_are_hidden_from_torch_are_not_counted(
    monkeypatch: pytest.MonkeyPatch, visible: str, totals: list[int]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [device.total // MIB for device in device_plan.devices()[:-1]] == totals


def no_driver() -> None:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetCount"])
def test_without_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    monkeypatch.setattr(pynvml, function, no_driver)
    assert [device.name for device in device_plan.devices()] == ["cpu"]


@pytest.mark.usefixtures("driver")
def test_a_torch_without_cuda_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_plan, "version", lambda name: "2.13.0+cpu")
    assert [device.name for device in device_plan.devices()] == ["cpu"]


@pytest.mark.parametrize(
    ("limit", "used", "memory"),
    [
        (None, None, (8 * GIB, 6 * GIB)),
        ("max", "1", (8 * GIB, 6 * GIB)),
        (str(4 * GIB), str(GIB), (4 * GIB, 3 * GIB)),
        (str(7 * GIB), "0", (7 * GIB, 6 * GIB)),
        (str(4 * GIB), str(5 * GIB), (4 * GIB, 0)),
        (str(16 * GIB), "0", (8 * GIB, 6 * GIB)),
    ],
)
def test_a_container_may_use_less_than_the_machine_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str | None, used: str | None, memory: tuple[int, int]
) -> None:
    monkeypatch.setattr(device_plan, "CGROUP", tmp_path)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=8 * GIB, available=6 * GIB))
    for name, value in (("memory.max", limit), ("memory.current", used)):
        if value is not None:
            (tmp_path / name).write_text(f"{value}\n")
    assert device_plan.cpu_memory() == memory


def test_planning_needs_no_torch() -> None:
    code = (
        "import sys\nfrom engine.runs.device_plan import fitting_dtype\nfrom engine.models.pairs import pair_named\n"
        "print(fitting_dtype(pair_named('embedded')))\nsys.exit('torch' in sys.modules)"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stdout) == (0, "float32\n"), outcome.stderr
