"""The recipe of the embedded pair, on a pair small enough to train in a test."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from engine.models.model import load_model
from engine.tasks.registry import TASKS
from engine.training import train
from engine.training.train import TrainSpec
from engine.training.word_tokenizer import MASK, vocabulary

SMALL = TrainSpec(
    arm_steps=24,
    mdm_steps=40,
    warmup=4,
    batch=16,
    pool=200,
    layers=2,
    d_model=32,
    d_mlp=48,
    heads=4,
    kv_heads=2,
    measured=8,
    watched=4,
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pair")
    train.train(SMALL, out, lambda *_: None)
    return out


def test_folders_load_with_direction_tokenizer_and_steps(pair: Path) -> None:
    arm = load_model(str(pair / "arm"), causal=True, device="cpu")
    assert AutoTokenizer.from_pretrained(pair / "arm").convert_tokens_to_ids("Mary") == vocabulary()["Mary"]
    assert json.loads((pair / "mdm" / "config.json").read_text())["is_causal"] is False
    steps = sorted(int(folder.name) for folder in (pair / "steps").iterdir())
    assert steps == train.checkpoint_steps(SMALL.mdm_steps) and steps[0] == 0 and steps[-1] == SMALL.mdm_steps
    first = load_model(
        str(pair / "steps" / "000000"), causal=False, shifted=True, mask_token=MASK, device="cpu", dtype="float32"
    )
    for name, value in first.bridge.state_dict().items():
        torch.testing.assert_close(value, arm.bridge.state_dict()[name], rtol=2e-3, atol=1e-3)


def test_what_was_measured_is_recorded(pair: Path) -> None:
    record = json.loads((pair / "training.json").read_text())
    assert record["spec"]["seed"] == 0 and record["mdm"]["checkpoints"] == train.checkpoint_steps(SMALL.mdm_steps)
    for stage in ("arm", "mdm"):
        assert "python -m engine train" in (pair / stage / "README.md").read_text()
        assert set(record[stage]["accuracy"]) == set(TASKS) and record[stage]["accuracy_n"] == SMALL.measured


@pytest.mark.parametrize("stage", ["arm", "mdm"])
def test_optimising_lowers_the_loss(stage: str) -> None:
    spec = replace(SMALL, arm_steps=64, mdm_steps=64)
    pools = {name: train.encode_pool(name, 50, 0) for name in TASKS}
    model = train.new_arm(spec)
    rows = torch.arange(50)

    def loss() -> float:
        torch.manual_seed(7)
        forward = train.make_forward(model, spec)
        evaluate = train.arm_loss if stage == "arm" else train.mdm_loss
        with torch.no_grad():
            return sum(float(evaluate(forward, pool, rows, 1.0)) for pool in pools.values())

    before = loss()
    train.optimise(model, spec, stage, pools, lambda *_: None)
    assert loss() < 0.95 * before  # 64 steps of a tiny model: far from chance, not yet far down


def test_same_seed_same_weights(pair: Path, tmp_path: Path) -> None:
    train.train(SMALL, tmp_path, lambda *_: None, evaluate_every=10)  # looking more often must not matter
    for stage in ("arm", "mdm"):
        ours, theirs = (load_file(folder / stage / "model.safetensors") for folder in (pair, tmp_path))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_pools_hold_training_problems_with_answers_where_they_say() -> None:
    words = list(vocabulary())
    for name, task in TASKS.items():
        pool = train.encode_pool(name, 50, seed=3)
        for row, start in zip(pool.ids, pool.start.tolist(), strict=True):
            prompt = " ".join(words[i] for i in row[1:start])
            answer = " ".join(words[i] for i in row[start : start + pool.answer_length])
            assert task.check(prompt, answer)


def fixed(logits: torch.Tensor) -> train.Forward:
    return lambda ids, bias, read: logits.expand(*read.shape, -1)


def test_mdm_loss_is_the_one_over_t_weighted_masked_cross_entropy() -> None:
    """Its expectation is the cross-entropy of every answer token, whatever t: E[masked / t] = 1."""
    pool = train.encode_pool("countdown", 64, seed=0)
    logits = torch.randn(len(vocabulary()), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    rows = torch.arange(64)
    losses = [float(train.mdm_loss(fixed(logits), pool, rows, 1.0)) for _ in range(300)]
    answers = pool.ids[rows].gather(1, pool.answer_positions(rows))
    expected = float(-logits.log_softmax(-1)[answers].mean())
    assert sum(losses) / len(losses) == pytest.approx(expected, rel=0.1)


def test_mdm_masks_answers_only_and_anneals_attention_from_causal_to_full() -> None:
    pool, rows = train.encode_pool("sudoku", 32, seed=0), torch.arange(32)
    calls: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def watch(ids: torch.Tensor, bias: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        calls.append((ids, bias[0, 0] == 0, read))
        return torch.zeros(*read.shape, len(vocabulary()))

    for share in (0.0, 0.5, 1.0):
        train.mdm_loss(watch, pool, rows, share)
    width = pool.ids.shape[1]
    future = torch.ones(width, width).triu(1).bool()
    opened = [float(allowed[future].float().mean()) for _, allowed, _ in calls]
    assert opened[0] == 0.0 and opened[2] == 1.0 and 0.4 < opened[1] < 0.6
    for ids, allowed, read in calls:
        assert allowed[~future].all()
        changed = ids != pool.ids[rows]
        assert (ids[changed] == vocabulary()[MASK]).all() and changed.any()
        assert not changed[torch.arange(width)[None] < pool.start[rows, None]].any()
        assert torch.equal(read, pool.answer_positions(rows) - 1)  # shifted: read one to the left


def test_stored_llama_computes_what_the_trained_model_computes() -> None:
    model = train.new_arm(SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    ids = torch.randint(4, 60, (2, 9))
    torch.testing.assert_close(train.as_llama(model)(ids).logits, model(ids).logits, rtol=1e-5, atol=1e-5)


def test_checkpoints_are_log_spaced_from_zero_to_the_end() -> None:
    steps = train.checkpoint_steps(16000)
    assert len(steps) == 8 and steps[0] == 0 and steps[-1] == 16000
    ratios = [b / a for a, b in pairwise(steps[1:])]
    assert max(ratios) / min(ratios) < 1.1
