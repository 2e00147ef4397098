"""What is shipped of a tiny trained pair: adapters, checkpoints of a lower rank, and what both are said to solve."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from engine.errors import UserError
from engine.models.adapters import ADAPTER_WEIGHTS, MASK, merge
from engine.models.model import Model, load_model
from engine.tasks.accuracy import measure_accuracy
from engine.training import adapter_release
from engine.training.adapt import PHASES, RECORD, STEPS, Pace, adapt
from engine.training.adapter_measures import Shares
from engine.training.adapter_release import SEED, Release, release
from engine.training.mixture import plain_task
from tests.engine.training.tiny_llama import SPEC, tiny_llama, tokenizer

HOW = Release(asked=8, asked_of_step=4, rank=2, first_step=16)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny_llama().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    list(adapt(tiny_llama(), tokenizer(), replace(SPEC, mdm_tokens=9000), out, Pace({"arm": 10, "mdm": 10})))
    return out


@pytest.fixture(scope="module")
def shipped(base: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("shipped")
    return folder, list(release(base, trained, folder, HOW))


def test_adapters_are_those_that_were_trained_and_checkpoints_are_of_the_lower_rank(
    trained: Path, shipped: tuple[Path, list[str]]
) -> None:
    folder, lines = shipped
    for phase in PHASES:
        assert (folder / phase / ADAPTER_WEIGHTS).read_bytes() == (
            trained / f"{phase}_adapter" / ADAPTER_WEIGHTS
        ).read_bytes()
    steps = sorted(int(step.name) for step in (folder / "steps").iterdir())
    assert steps and min(steps) >= HOW.first_step and {int(s.name) for s in (trained / "steps").iterdir()} > set(steps)
    for step in (folder / "steps").iterdir():
        config = json.loads((step / "adapter_config.json").read_text())
        assert config["r"] == HOW.rank and config["lora_alpha"] / config["r"] == SPEC.alpha / SPEC.rank
        ranks = {t.shape[0] for name, t in load_file(step / ADAPTER_WEIGHTS).items() if name.endswith("lora_A.weight")}
        assert ranks == {HOW.rank}
    assert [line.split(":")[0] for line in lines] == ["arm", "mdm", *(f"step {step} at rank 2" for step in steps)]


def test_what_they_solve_is_measured_with_the_files_that_are_shipped(
    base: Path, shipped: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, _ = shipped
    record = json.loads((folder / "training.json").read_text())
    merge(base, [folder / "arm", folder / "mdm"], tmp_path)
    mdm = load_model(str(tmp_path), causal=False, shifted=True, mask_token=MASK)
    for name, share in record["mdm"]["final"].items():
        assert share["solved"] == measure_accuracy(mdm, plain_task(name, mdm.tokenizer), share["n"], SEED)
    asked = {name: share["n"] for name, share in record["arm"]["final"].items()}
    assert asked == dict.fromkeys(("ioi", "greater_than", "countdown", "sudoku"), HOW.asked)


def test_the_arm_is_measured_alone(base: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An MDM's adapter is merged after the ARM's, and the ARM is read from left to right without a mask."""
    read: list[tuple[bool, bool]] = []
    merged: list[list[str]] = []

    def ask(model: Model, n: int, seed: int) -> Shares:
        read.append((model.causal, model.mask_id is None))
        return {}

    def remember(base: Path, adapters: list[Path], place: Path) -> None:
        merged.append([adapter.name for adapter in adapters])
        merge(base, adapters, place)

    monkeypatch.setattr(adapter_release, "merge", remember)
    monkeypatch.setattr(adapter_release, "shares_of", ask)
    monkeypatch.setattr(adapter_release, "write_adapter_card", lambda *told: None)
    list(release(base, trained, tmp_path, replace(HOW, first_step=10**6)))
    assert merged == [["arm"], ["arm", "mdm"]] and read == [(True, True), (False, False)]


@pytest.mark.parametrize("phase", PHASES)
def test_cards_tell_what_the_record_tells(phase: str, shipped: tuple[Path, list[str]]) -> None:
    folder, _ = shipped
    stage = json.loads((folder / "training.json").read_text())[phase]
    card = ModelCard.load(folder / phase / "README.md")
    told = {result.dataset_type: result.metric_value for result in card.data.eval_results}
    assert told == {name: round(share["solved"], 4) for name, share in stage["final"].items()}
    assert card.data.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct" and card.data.license == "apache-2.0"
    assert f"| Tokens | {stage['tokens']:,} in {stage['step']:,} steps" in card.text
    for point in stage["measured"]:
        assert f"| {point['tokens']:,} | {point['tasks']['ioi']['solved']:.0%} of 4" in card.text
    assert ("## Checkpoints" in card.text) == (phase == "mdm")
    assert "<svg" in (folder / phase / "loss.svg").read_text()


def refused(base: Path, trained: Path, to: Path) -> str:
    with pytest.raises(UserError) as error:
        list(release(base, trained, to, HOW))
    assert not to.exists()
    return str(error.value)


def test_what_was_not_trained_to_its_end_is_not_shipped(base: Path, trained: Path, tmp_path: Path) -> None:
    """Each is said before anything is written."""
    folder, to = tmp_path / "trained", tmp_path / "to"
    shutil.copytree(trained, folder)
    file = folder / RECORD
    record = json.loads(file.read_text())
    (folder / STEPS / "009999").mkdir()
    assert "009999 is later than the MDM" in refused(base, folder, to)
    record["arm"]["measured"][-1]["step"] -= 1
    file.write_text(json.dumps(record))
    assert f"was not measured after its last step, {record['arm']['step']:,}" in refused(base, folder, to)
    del record["mdm"]
    record["arm"]["measured"][-1]["step"] += 1
    file.write_text(json.dumps(record))
    assert "holds no mdm that was trained" in refused(base, folder, to)
    file.write_text("{")
    assert RECORD in refused(base, folder, to)
    file.unlink()
    assert f"There is no {RECORD} in" in refused(base, folder, to)
    shutil.rmtree(folder / "arm_adapter")
    file.write_text(json.dumps(record))
    assert "There is no adapter in" in refused(base, folder, to)
