"""One model at a time in memory: loading again keeps no second copy, and memory returns after a run."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from engine.errors import UserError
from engine.models import model as models
from engine.models.batching import release
from engine.models.model import Model
from engine.models.pair import Pair
from engine.runs import compute
from engine.runs.records import Progress
from engine.runs.spec import RunSpec
from engine.training.word_tokenizer import build_tokenizer, vocabulary
from tests import checkpoints
from tests.checkpoints import Format

LOAD_TWICE = """
import json, sys, torch
from pathlib import Path
from engine.models.batching import release
from engine.models.model import load
from engine.models.pair import Pair

def own_megabytes():  # memory that belongs to this process alone, so not the pages of files
    pages = Path("/proc/self/statm").read_text().split()
    return (int(pages[1]) - int(pages[2])) * 4096 / 2**20

pair = Pair("big", "Big", sys.argv[1], sys.argv[1], mask_id=3)
small = Pair("small", "Small", sys.argv[2], sys.argv[2], mask_id=3)
load(small, "mdm", device="cpu").logits(torch.tensor([[5, 6, 7]]))
release()
seen = [own_megabytes()]
for _ in range(3):
    model = load(pair, "mdm", device="cpu")
    model.logits(torch.tensor([[5, 6, 7]]))
    seen.append(own_megabytes())
    del model
    release()
    seen.append(own_megabytes())
print(json.dumps(seen))
"""


def saved(folder: Path, layers: int, width: int) -> float:
    """A Llama in bf16, which takes twice the file's size once it is fp32; megabytes of that."""
    settings = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=512, num_hidden_layers=layers, **settings)).bfloat16()
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters()) * 4 / 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loading_again_keeps_no_second_copy_and_all_of_it_returns(tmp_path: Path) -> None:
    size = saved(tmp_path / "big", layers=4, width=512)
    saved(tmp_path / "small", layers=1, width=16)
    assert size > 60
    command = [sys.executable, "-c", LOAD_TWICE, str(tmp_path / "big"), str(tmp_path / "small")]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    base, *seen = json.loads(process.stdout.splitlines()[-1])
    for loaded, released in zip(seen[::2], seen[1::2], strict=True):
        assert 0.9 * size < loaded - base < 1.5 * size
        assert released - base < 0.75 * size  # the loader's threads let go of the file, half of it, a little later


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunSpec:
    """A run of a pair of two tiny models, made short."""
    words = len(vocabulary())
    config = checkpoints.qwen2_config(words, tied=False)
    for seed, name in enumerate(("arm", "mdm")):
        checkpoints.write(tmp_path / name, Format(checkpoints.qwen2(words, tied=False), config), seed)
    pair = Pair("tiny", "Tiny", str(tmp_path / "arm"), str(tmp_path / "mdm"), mask_id=3, prompts="words")
    monkeypatch.setattr("engine.runs.provenance.pair_named", lambda name: pair)
    monkeypatch.setattr(compute, "ACCURACY_EXAMPLES", 2)
    monkeypatch.setattr(compute, "STEPS_EXAMPLES", 2)
    return RunSpec(pair="tiny", n=2, points=1)


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many earlier models were still in memory when the next one was loaded."""
    seen: list[weakref.ref[torch.nn.Module]] = []
    counts: list[int] = []

    def watched(pair: Pair, model: str, dtype: str, device: str | None = None) -> Model:
        release()
        counts.append(sum(earlier() is not None for earlier in seen))
        loaded = models.load(pair, model, dtype, device)
        seen.extend((weakref.ref(loaded.plain), weakref.ref(loaded.bridge)))
        return loaded

    monkeypatch.setattr(compute, "load", watched)
    yield counts
    gc.collect()
    assert [earlier() for earlier in seen if earlier() is not None] == []


def test_one_model_at_a_time(spec: RunSpec, alive: list[int]) -> None:
    for model in ("arm", "mdm"):
        compute.compute(RunSpec(**{**spec.as_dict(), "model": model, "task": "greater_than"}), lambda progress: None)
    assert alive == [0, 0]


def test_a_run_that_fails_leaves_no_model_behind(spec: RunSpec, alive: list[int]) -> None:
    def stop(progress: Progress) -> None:
        if progress.stage == "edge scores":
            raise UserError("stopped")

    for _ in range(2):
        with pytest.raises(UserError, match="stopped"):
            compute.compute(spec, stop)
    assert alive == [0, 0]
