"""Both phases on a tiny model: they learn, stop and go on, and store what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from engine.errors import UserError
from engine.models.adapters import ADAPTER_WEIGHTS, MASK_EMBEDDING, merge
from engine.training import phase_state
from engine.training.adapt import PHASES, RECORD, TEXT_FILE, AdaptSpec, Pace, Phase, adapt
from engine.training.adapter_measures import text_loss
from engine.training.low_rank import AdaptedModel, Shape
from engine.training.mixture import TEXT, Mixture
from tests.engine.training.tiny_llama import SPEC, tiny_llama, tokenizer

PACE = Pace({"arm": 10, "mdm": 10})


def train(out: Path, spec: AdaptSpec = SPEC, pace: Pace = PACE) -> list[str]:
    return list(adapt(tiny_llama(), tokenizer(), spec, out, pace))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adapters")
    train(out)
    return out


@pytest.mark.parametrize("name", PHASES)
def test_the_loss_falls(name: str, tmp_path: Path) -> None:
    base = tiny_llama()
    base.set_attn_implementation("eager")
    adapted = AdaptedModel(base, Shape(SPEC.rank, SPEC.alpha), 0, torch.float32)
    text = torch.randint(100, (8, 10), generator=torch.Generator().manual_seed(0))
    phase = Phase(name, adapted, Mixture(tokenizer(), text, 0), text, SPEC, tmp_path)
    for _ in range(60):
        phase.step()
    losses = [point["loss"] for point in phase.progress.curve if point["task"] in ("sudoku", "countdown")]
    assert sum(losses[-20:]) / 20 < 0.85 * sum(losses[:8]) / 8
    steps = [point["step"] for point in phase.progress.curve]
    assert steps == sorted(steps) and steps[-1] == phase.progress.step == 60
    assert phase.progress.curve[-1]["tokens"] == phase.progress.tokens


def test_stopping_and_going_on_changes_no_bit(whole: Path, tmp_path: Path) -> None:
    tokens = [point["tokens"] for point in json.loads((whole / "training.json").read_text())["arm"]["curve"]]
    for part in (tokens[2], SPEC.arm_tokens):
        train(tmp_path, replace(SPEC, arm_tokens=part, mdm_tokens=0))
        (tmp_path / "mdm" / phase_state.FILE).unlink()  # it was measured before its first step, from that ARM
    for part in (1000, SPEC.mdm_tokens):
        train(tmp_path, replace(SPEC, mdm_tokens=part))
    for phase in PHASES:
        ours, theirs = (phase_state.stored(folder / phase) for folder in (tmp_path, whole))
        assert ours is not None and theirs is not None
        assert all(torch.equal(tensor, theirs[0][name]) for name, tensor in ours[0].items())
        assert ours[1].curve == theirs[1].curve and ours[1].tokens == theirs[1].tokens
        assert ours[1].measured[-1]["tasks"] == theirs[1].measured[-1]["tasks"]


def test_storing_and_measuring_often_changes_no_bit(whole: Path, tmp_path: Path) -> None:
    train(tmp_path, pace=Pace({"arm": 10, "mdm": 10}, store_every=0.0, measure_every=0.0, report_every=1))
    for phase in PHASES:
        ours, theirs = (phase_state.stored(folder / phase) for folder in (tmp_path, whole))
        assert ours is not None and theirs is not None
        assert all(torch.equal(tensor, theirs[0][name]) for name, tensor in ours[0].items())


def test_what_is_kept(whole: Path) -> None:
    arm, mdm = (load_file(whole / f"{phase}_adapter" / ADAPTER_WEIGHTS) for phase in PHASES)
    assert mdm.keys() - arm.keys() == {MASK_EMBEDDING}
    assert any(not torch.equal(arm[name], mdm[name]) for name in arm)
    record = json.loads((whole / "training.json").read_text())
    assert record["mdm"]["arm_tokens"] == record["arm"]["tokens"] >= SPEC.arm_tokens
    steps = sorted(int(folder.name) for folder in (whole / "steps").iterdir())
    assert steps == [step for step in (8, 16, 32, 64) if step <= record["mdm"]["step"]]
    for phase in PHASES:
        first, last = record[phase]["measured"][0], record[phase]["measured"][-1]
        assert first["step"] == 0 and last["step"] == record[phase]["step"]
        assert set(last["tasks"]) == {"ioi", "greater_than", "countdown", "sudoku"} and last["text_loss"] > 0


def test_an_mdm_begins_as_the_arm_with_its_adapter_merged_into_it(whole: Path, tmp_path: Path) -> None:
    """As a pair's table merges them: what was measured before its first step is the ARM's, read with masks."""
    base = tiny_llama()
    base.save_pretrained(tmp_path / "base")
    tokenizer().save_pretrained(tmp_path / "base")
    (tmp_path / "arm").mkdir()
    merge(tmp_path / "base", [whole / "arm_adapter"], tmp_path / "arm")
    arm = LlamaForCausalLM.from_pretrained(tmp_path / "arm")
    arm.set_attn_implementation("eager")
    text = load_file(whole / TEXT_FILE)[TEXT][: SPEC.text_heldout]
    first = json.loads((whole / RECORD).read_text())["mdm"]["measured"][0]
    untrained = AdaptedModel(arm, Shape(SPEC.rank, SPEC.alpha), 0, torch.float32)
    assert text_loss(untrained, text, "mdm") == pytest.approx(first["text_loss"], rel=1e-5)
    alone = AdaptedModel(tiny_llama(), Shape(SPEC.rank, SPEC.alpha), 0, torch.float32)
    assert text_loss(alone, text, "mdm") != pytest.approx(first["text_loss"], rel=1e-2)


def test_minutes_end_a_phase(tmp_path: Path) -> None:
    lines = train(tmp_path, pace=Pace({"arm": 0, "mdm": 0}))
    record = json.loads((tmp_path / "training.json").read_text())
    assert [record[phase]["step"] for phase in PHASES] == [0, 0]
    assert len(lines) == 2 and lines[0].startswith("arm held out after 0 tokens")


def test_an_mdm_of_an_earlier_arm_is_not_gone_on_with(whole: Path, tmp_path: Path) -> None:
    for phase in PHASES:
        (tmp_path / phase).mkdir()
        (tmp_path / phase / phase_state.FILE).write_bytes((whole / phase / phase_state.FILE).read_bytes())
    with pytest.raises(UserError, match=r"began from the ARM after [\d,]+ tokens, and the ARM has seen [\d,]+ by now"):
        train(tmp_path, replace(SPEC, arm_tokens=SPEC.arm_tokens + 1000))
