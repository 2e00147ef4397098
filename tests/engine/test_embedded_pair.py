"""The pair that is shipped: it loads, it is what its cards say, and it solves what they say."""

from __future__ import annotations

import json
from math import prod, sqrt
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer

from engine import settings
from engine.models.model import load_model
from engine.models.pairs import pair_named
from engine.tasks.accuracy import measure_accuracy
from engine.tasks.registry import TASKS
from engine.training.word_tokenizer import build_tokenizer, vocabulary

PAIR = pair_named("embedded")
SEED = 12345  # not that of the card's problems
TRIED = {"ioi": 60, "greater_than": 60, "countdown": 150, "sudoku": 150}


@pytest.fixture(params=["arm", "mdm"])
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def front_matter(role: str) -> dict[str, float]:
    """Accuracy by task, as the model card states it."""
    from huggingface_hub import ModelCard

    results = ModelCard.load(Path(PAIR.folder(role)) / "README.md").data.eval_results
    return {result.dataset_type: result.metric_value for result in results or []}


def weights(folder: str) -> dict[str, Any]:
    with safe_open(Path(folder) / "model.safetensors", framework="pt") as file:
        return {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - no mapping


def test_both_are_plain_folders_that_transformers_reads(role: str) -> None:
    folder = PAIR.folder(role)
    config, tokenizer = AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert tokenizer.get_vocab() == vocabulary()
    prompt = "When Mary and John went to the store , John gave a drink to"
    assert tokenizer(prompt)["input_ids"] == build_tokenizer()(prompt)["input_ids"]
    assert config.vocab_size == len(vocabulary()) != config.hidden_size
    assert config.num_key_value_heads < config.num_attention_heads
    assert config.is_causal == (role == "arm")


def test_the_models_solve_what_their_cards_say(role: str) -> None:
    model = load_model(
        PAIR.folder(role), causal=role == "arm", shifted=PAIR.shifted, mask_token=PAIR.mask_token, device="cpu"
    )
    accuracies = front_matter(role)
    assert set(accuracies) == set(TASKS)
    for name, task in TASKS.items():
        n = TRIED[name]
        share = measure_accuracy(model, task, n, SEED)
        spread = sqrt(max(accuracies[name] * (1 - accuracies[name]), 0.01) / n)
        assert abs(share - accuracies[name]) < 4 * spread, (name, share, accuracies[name])


def test_the_checkpoints_lead_from_the_arm_to_the_mdm() -> None:
    assert sorted(int(f.name) for f in (settings.MODELS / "embedded" / "steps").iterdir()) == list(PAIR.steps)
    assert len(PAIR.steps) >= 6
    arm, mdm = (weights(PAIR.folder(role)) for role in ("arm", "mdm"))
    states = [weights(PAIR.folder(f"step:{step}")) for step in PAIR.steps]
    far = [sqrt(sum(float(((state[k] - arm[k]) ** 2).sum()) for k in arm)) for state in states]
    size = sqrt(sum(prod(value.shape) for value in arm.values()))
    assert far == sorted(far)
    assert far[0] / size < 1e-3  # half precision is all that step 0 differs by
    assert all(((states[-1][k] - mdm[k]).abs() <= 1e-3 + 1e-3 * mdm[k].abs()).all() for k in mdm)


def test_the_record_of_the_training_is_shipped() -> None:
    record = json.loads((settings.MODELS / "embedded" / "training.json").read_text())
    for role in ("arm", "mdm"):
        assert front_matter(role) == {
            name: pytest.approx(share, abs=1e-4) for name, share in record[role]["accuracy"].items()
        }
