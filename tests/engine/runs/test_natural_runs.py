"""Whole runs on pairs that read natural text: every task and three kinds of tokenizer, with random models."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from engine import doctor
from engine.models.encoding import encode
from engine.models.pairs import pair_named
from engine.runs.compute import compute
from engine.runs.records import RunTables
from engine.runs.spec import RunSpec
from engine.tasks.base import END
from engine.tasks.countdown import problem_file, published_format
from engine.tasks.natural import variant_for
from engine.tasks.registry import TASKS, examples
from tests.tiny_tokenizers import KINDS, three_digits, tokenizer_like

SHAPE = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512,
}  # fmt: skip
MASK = 300  # an ordinary token, as DiffuLLaMA's and DiffuGPT's are


def model_of(kind: str, vocabulary: int, seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    model: PreTrainedModel = {
        "gpt2": lambda: GPT2LMHeadModel(
            GPT2Config(vocab_size=vocabulary, n_embd=32, n_layer=2, n_head=4, n_positions=512)
        ),
        "qwen": lambda: Qwen2ForCausalLM(Qwen2Config(vocab_size=vocabulary, **SHAPE)),
        "llama": lambda: LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, **SHAPE)),
    }[kind]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("natural")
    tables = []
    for kind in KINDS:
        tokenizer = tokenizer_like(kind)
        for seed, name in enumerate(("arm", "mdm")):
            model_of(kind, len(tokenizer), seed).save_pretrained(folder / kind / name)
            tokenizer.save_pretrained(folder / kind / name)
        tables.append(f'[{kind}]\ntitle = "{kind}"\narm = "{kind}/arm"\nmdm = "{kind}/mdm"\nmask_id = {MASK}\n')
    (folder / "pairs.toml").write_text("".join(tables))
    return folder / "pairs.toml"


@pytest.fixture(autouse=True)
def few(pairs_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRCUITS_PAIRS", str(pairs_file))
    monkeypatch.setattr("engine.runs.compute.ACCURACY_EXAMPLES", 4)
    monkeypatch.setattr("engine.runs.compute.STEPS_EXAMPLES", 2)
    monkeypatch.setattr("engine.runs.compute.SHOWN_EXAMPLES", 1)


def run(kind: str, model: str, task: str, n: int = 2) -> RunTables:
    return compute(RunSpec(pair=kind, model=model, task=task, n=n, points=1), lambda progress: None)


@pytest.mark.parametrize(
    ("kind", "model", "name"),
    [
        ("gpt2", "mdm", "ioi"),
        ("gpt2", "arm", "sudoku"),
        ("qwen", "arm", "greater_than"),
        ("qwen", "mdm", "countdown"),
        ("llama", "mdm", "greater_than"),
        ("llama", "arm", "countdown"),
    ],
)
def test_a_run_looks_at_the_natural_examples_and_at_their_contrasts(kind: str, model: str, name: str) -> None:
    tokenizer, computed = tokenizer_like(kind), run(kind, model, name)
    drawn = examples(variant_for(TASKS[name], None, tokenizer), 2, 0)
    encoded = [encode(e, tokenizer) for e in drawn]
    rows = computed.tables["examples"].to_pylist()
    assert [row["prompt"] for row in rows] == [tokenizer.convert_ids_to_tokens(list(e.prompt)) for e in encoded]
    assert [row["answer"] for row in rows] == [tokenizer.convert_ids_to_tokens(list(e.answer)) for e in encoded]
    assert all(len(row["predicted"]) == len(row["answer"]) for row in rows)
    assert computed.meta.n_sites == sum(len(e.contrasts) for e in encoded) and computed.accuracy.accuracy_n == 4
    for row in computed.tables["inputs"].to_pylist():
        assert len(row["roles"]) == len(row["tokens"]) and row["roles"][row["start"] - 1] == END
    scores = np.array(computed.tables["edges"]["score"])
    assert np.isfinite(scores).all() and np.abs(scores).max() > 0


def test_where_digits_are_tokens_greater_thans_metric_is_that_of_the_first_digit() -> None:
    tokenizer, computed = tokenizer_like("qwen"), run("qwen", "arm", "greater_than")
    assert computed.meta.parts == ("site-00",)
    (first, _) = (encode(e, tokenizer) for e in examples(variant_for(TASKS["greater_than"], None, tokenizer), 2, 0))
    model = model_of("qwen", len(tokenizer), seed=0).eval().requires_grad_(False)
    logits = model(torch.tensor([first.prompt + first.answer])).logits[0, len(first.prompt) - 1]
    expected = logits[list(first.right)].logsumexp(-1) - logits[list(first.wrong)].logsumexp(-1)
    assert computed.tables["examples"]["metric_clean"][0].as_py() == pytest.approx(float(expected), abs=1e-4)


def test_problems_of_a_file_are_run_in_their_order() -> None:
    kept = problem_file.save(list(published_format.drawn(4, 4, seed=0)), "CD4")
    computed = run("llama", "arm", kept.name)
    shown = ["".join(row["answer"]) for row in computed.tables["examples"].to_pylist()]
    assert shown == [row.output for row in kept.rows[:2]]
    assert computed.accuracy.accuracy_n == len(kept)


def test_doctor_says_which_tasks_can_be_asked(
    pairs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = "\n".join(doctor.pair(pair_named("qwen")))
    for task, answers in (("ioi", "1"), ("greater_than", "2"), ("sudoku", "19")):
        assert re.search(
            rf"^task        {task}: natural text, prompts of \d+.* tokens, answers of {answers}$", output, re.MULTILINE
        )
    three_digits().save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "pairs.toml").write_text('[odd]\ntitle = "Odd"\narm = "model"\nmdm = "model"\nmask_id = 3\n')
    monkeypatch.setenv("CIRCUITS_PAIRS", str(tmp_path / "pairs.toml"))
    assert "task        greater_than cannot be asked: Greater-than: this tokenizer cuts too few years" in "\n".join(
        doctor.pair(pair_named("odd"))
    )
