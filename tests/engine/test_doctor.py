"""What doctor tells of a pair before anything is downloaded or loaded, and the number format that runs then take."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.__main__ import main
from engine.runs import device_plan, stored
from engine.runs.device_plan import GIB
from tests.fakes import tiny_compute


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """24 GiB, no GPU, nothing downloaded."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(device_plan, "cpu_memory", lambda: (24 * GIB, 20 * GIB))
    monkeypatch.setattr(device_plan, "_gpus", tuple)


@pytest.mark.usefixtures("machine")
def test_doctor_tells_what_a_pair_takes_and_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--pair", "diffullama"]) == 0
    output = capsys.readouterr().out
    assert "hf download meta-llama/Llama-2-7b-hf --revision 01c7f73" in output
    assert "hf download diffusionfamily/diffullama." in output
    assert "licence     accepted at https://huggingface.co/meta-llama/Llama-2-7b-hf" in output
    assert "mask        token 811, shifted" in output
    assert "LlamaForCausalLM, 32 layers of 32 heads, 6,738 million parameters, 1,592,881 edges" in output
    assert "bfloat16    weights 12.6 GiB, work about" in output and "does not fit on this machine's cpu" in output
    assert "here        bfloat16 on cpu, needs about" in output and "(24.0 GiB there, 20.0 GiB free)" in output
    assert "as a bundle" in output


@pytest.mark.usefixtures("machine")
def test_doctor_tells_what_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--pair", "qwen3-mdlm"]) == 0
    output = capsys.readouterr().out
    assert "here        float32 on cpu" in output and "as a bundle" not in output
    assert main(["doctor", "--pair", "nobody"]) == 2


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(("flags", "dtype"), [([], "bfloat16"), (["--dtype", "float32"], "float32")])
def test_a_run_takes_the_format_that_fits_unless_told(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], dtype: str
) -> None:
    monkeypatch.setattr("engine.__main__.fitting_dtype", lambda pair: "bfloat16")
    assert main(["run", "--model", "arm", "--n", "2", *flags], tiny_compute) == 0
    assert [run.spec.dtype for run in stored.list_runs()] == [dtype]
