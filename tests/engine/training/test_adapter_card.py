"""The card of a shipped adapter: what the hub reads of it, and that its numbers are those of the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from engine import settings
from engine.__main__ import parser
from engine.tasks.registry import TASKS
from engine.training.adapter_card import card, command, write_adapter_card

SPEC = {"seed": 3, "rank": 16, "alpha": 32.0, "lr": 1e-3, "warmup": 20, "anneal": 100, "precision": "bfloat16"}
SOLVED = {"ioi": (0.99, 400), "greater_than": (1.0, 400), "countdown": (0.55, 100), "sudoku": (0.8, 100)}


def shares(scale: float = 1.0) -> dict[str, Any]:
    return {name: {"n": n, "solved": scale * share} for name, (share, n) in SOLVED.items()}


def stage(tokens: int) -> dict[str, Any]:
    measured = [
        {"tokens": 0, "text_loss": 3.5, "tasks": shares(0.1)},
        {"tokens": tokens, "text_loss": 2.0, "tasks": shares()},
    ]
    return {"tokens": tokens, "step": 500, "seconds": 3600.0, "curve": [], "measured": measured, "final": shares()}


POINT = {"step": 1024, "rank": 4, "tasks": shares(0.5)}
RECORD = {"spec": SPEC, "torch": "2.13.0", "arm": stage(1000), "mdm": {**stage(2000), "checkpoints": [POINT]}}


@pytest.mark.parametrize("role", ["arm", "mdm"])
def test_the_hub_reads_the_front_matter(role: Any) -> None:
    data = ModelCard(card(role, RECORD)).data
    assert (data.library_name, data.license, data.model_name) == ("peft", "apache-2.0", f"smollm2-{role}")
    assert {result.dataset_type: result.metric_value for result in data.eval_results} == {
        name: share for name, (share, _) in SOLVED.items()
    }


def test_every_task_has_its_share_with_an_interval() -> None:
    text = card("mdm", RECORD)
    assert "| COUNTDOWN | globally constrained | 100 | 55.0% (45.2% to 64.4%) |" in text  # Wilson
    assert all(f"| {task.title} |" in text for task in TASKS.values())
    assert "was asked fewer problems" in text


def test_text_is_a_perplexity_for_an_arm_and_a_cross_entropy_for_an_mdm() -> None:
    arm, mdm = card("arm", RECORD), card("mdm", RECORD)
    assert "| 1,000 | 99% of 400 | 100% of 400 | 55% of 100 | 80% of 100 | 7.39 |" in arm  # e to the 2nd
    assert "| 2,000 | 99% of 400 | 100% of 400 | 55% of 100 | 80% of 100 | 2.00 |" in mdm


def test_only_an_mdm_has_checkpoints() -> None:
    assert "| 1,024 | 50% of 400 | 50% of 400 | 28% of 100 | 40% of 100 |" in card("mdm", RECORD)
    assert "Checkpoints" not in card("arm", RECORD)


def test_the_command_trains_for_as_long() -> None:
    given = parser().parse_args(command(RECORD).replace("DIR", "out").split()[3:])
    assert (given.recipe, given.seed, given.arm_tokens, given.mdm_tokens) == ("smollm2", 3, 1000, 2000)


def test_each_model_is_said_to_do_with_text_what_it_does() -> None:
    assert "less likely" in card("arm", RECORD) and "less likely" not in card("mdm", RECORD)


@pytest.mark.parametrize("role", ["arm", "mdm"])
def test_the_cards_that_are_shipped_are_those_of_the_record(role: Any, tmp_path: Path) -> None:
    shipped = settings.MODELS / "smollm2"
    write_adapter_card(tmp_path, role, json.loads((shipped / "training.json").read_text()))
    for file in ("README.md", "loss.svg"):
        assert (tmp_path / file).read_text() == (shipped / role / file).read_text()
