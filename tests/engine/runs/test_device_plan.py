"""What models need and what follows from what a machine has."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.models.architecture import Shape, shape_in
from engine.models.pairs import pair_named
from engine.runs import device_plan
from engine.runs.device_plan import GIB, Device, fitting_dtype, plan, refuse_too_large
from tests import checkpoints, tiny


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
    for config in checkpoints.FORMATS[name]:
        (tmp_path / "config.json").write_text(json.dumps(config.config))
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


def test_a_pair_of_unknown_shape_takes_its_own_preference(tmp_path: Path) -> None:
    nowhere = replace(pair_named("dream"), arm=str(tmp_path / "a"), mdm=str(tmp_path / "m"), shape=None)
    assert (fitting_dtype(nowhere), fitting_dtype(replace(nowhere, dtype=None))) == ("bfloat16", "float32")


def test_gpus_are_read_from_the_drivers_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\necho "81559, 80000"\necho "24576, 1000"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(device_plan, "version", lambda name: "2.13.0")
    device_plan._gpus.cache_clear()
    largest, both, cpu = device_plan.devices()
    assert largest == Device("cuda", 81559 * 2**20, 80000 * 2**20)
    assert both == Device("cuda", 106135 * 2**20, 81000 * 2**20, 2)
    assert cpu.name == "cpu" and cpu.total >= cpu.free > 0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    device_plan._gpus.cache_clear()
    assert [device.total for device in device_plan.devices()[:-1]] == [24576 * 2**20]
    monkeypatch.setattr(device_plan, "version", lambda name: "2.13.0+cpu")
    device_plan._gpus.cache_clear()
    assert [device.name for device in device_plan.devices()] == ["cpu"]
    device_plan._gpus.cache_clear()


def test_planning_needs_no_torch() -> None:
    code = (
        "import sys\nfrom engine.runs.device_plan import fitting_dtype\nfrom engine.models.pairs import pair_named\n"
        "print(fitting_dtype(pair_named('embedded')))\nsys.exit('torch' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (0, "float32\n"), process.stderr
