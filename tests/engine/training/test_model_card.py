"""The card of a trained model: what the hub reads of it, and that its numbers are those of the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from safetensors.numpy import save_file

from engine import settings
from engine.__main__ import parser
from engine.tasks.registry import TASKS
from engine.training.model_card import card, command, write_model_card

SPEC = {
    "seed": 3, "arm_steps": 500, "mdm_steps": 1600, "batch": 192, "arm_lr": 2e-3, "mdm_lr": 1.5e-3, "warmup": 150,
    "pool": 100_000, "layers": 6, "d_model": 128, "d_mlp": 512, "heads": 8, "kv_heads": 4,
    "precision": "bf16", "compile": True,
}  # fmt: skip
SOLVED = {"ioi": 1.0, "greater_than": 0.995, "countdown": 0.845, "sudoku": 0.95}


def stage(last: int) -> dict[str, Any]:
    curve = [
        {"step": step, "task": task, "loss": loss / (1 + step)}
        for step in range(100, last + 1, 100)
        for task, loss in zip(TASKS, (1.0, 40.0, 300.0, 0.0), strict=True)
    ]
    return {"minutes": 18.06, "accuracy": SOLVED, "accuracy_n": 200, "progress": [], "curve": curve, "checkpoints": []}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file({"a": np.zeros((3, 5), np.float32), "b": np.zeros(7, np.float32)}, tmp_path / "model.safetensors")
    return tmp_path


RECORD = {"spec": SPEC, "torch": "2.13.0", "arm": stage(500), "mdm": stage(1600)}


@pytest.mark.parametrize("role", ["arm", "mdm"])
def test_the_hub_reads_the_front_matter(folder: Path, role: Any) -> None:
    write_model_card(folder, role, RECORD)
    data = ModelCard.load(folder / "README.md").data
    assert data.library_name == "transformers"
    assert data.model_name == f"embedded-{role}"
    assert {r.dataset_type: r.metric_value for r in data.eval_results or []} == SOLVED


def test_the_card_says_what_was_measured_and_how_it_was_made(folder: Path) -> None:
    write_model_card(folder, "arm", RECORD)
    text = (folder / "README.md").read_text()
    assert "| COUNTDOWN | globally constrained | 84.5% (78.8% to 88.9%) |" in text
    assert "22 parameters" in text
    assert "200 problems a task" in text
    assert "| Steps | 500 of 192" in text
    assert "18 minutes" in text
    assert "150 steps of warm-up" in text
    assert "python -m engine train --out DIR --seed 3 --arm-steps 500 --mdm-steps 1600 --precision bf16" in text
    write_model_card(folder, "mdm", RECORD)
    text = (folder / "README.md").read_text()
    assert "| Steps | 1,600 of 192" in text
    assert "bidirectional" in text


def test_the_command_is_one_that_the_command_line_takes() -> None:
    given = parser().parse_args(command(SPEC).removeprefix("python -m engine ").split())
    assert {name: getattr(given, name) for name in ("seed", "arm_steps", "mdm_steps", "precision", "compile")} == {
        name: SPEC[name] for name in ("seed", "arm_steps", "mdm_steps", "precision", "compile")
    }


@pytest.mark.parametrize("role", ["arm", "mdm"])
def test_the_cards_that_are_shipped_are_those_of_the_record(role: Any) -> None:
    record = json.loads((settings.MODELS / "embedded" / "training.json").read_text())
    folder = settings.MODELS / "embedded" / role
    assert card(folder, role, record) == (folder / "README.md").read_text()
