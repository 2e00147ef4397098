from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from safetensors.numpy import save_file

from engine.__main__ import parser
from engine.circuits.intervals import wilson
from engine.tasks import TASKS
from engine.training.loss_chart import loss_svg
from engine.training.model_card import command, write_model_card

SVG = "{http://www.w3.org/2000/svg}"
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


@pytest.mark.parametrize(("share", "n"), [(0.845, 200), (0.5, 10), (1.0, 300), (0.0, 10)])
def test_wilson_bounds_are_the_shares_that_the_measured_one_is_1_96_deviations_from(share: float, n: int) -> None:
    low, high = wilson(share, n)
    assert 0 <= low <= share <= high <= 1
    for bound in {low, high} - {0.0, 1.0}:
        assert abs(share - bound) == pytest.approx(1.96 * (bound * (1 - bound) / n) ** 0.5, rel=1e-3)
    assert (low == 0, high == 1) == (share == 0, share == 1)


def points(svg: str) -> list[list[tuple[float, float]]]:
    lines = ET.fromstring(svg).findall(f"{SVG}polyline")  # noqa: S314 - our own text
    return [[tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()] for line in lines]


def test_the_chart_has_a_line_per_task_on_a_log_axis() -> None:
    svg = loss_svg({"IOI": [(100, 10.0), (200, 1.0), (300, 0.1)], "<b>": [(100, 0.0), (300, 5.0)]}, "Loss & more")
    falling, hostile = points(svg)
    drops = [b[1] - a[1] for a, b in pairwise(falling)]
    assert drops[0] == pytest.approx(drops[1], abs=0.2)
    assert drops[0] > 10
    assert hostile[0][1] > falling[-1][1]  # a loss of 0 is drawn at the bottom
    texts = [node.text for node in ET.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314 - our own text
    assert {"IOI", "<b>", "Loss & more", "10", "1", "0.1", "300"} <= set(texts)


def test_every_line_stays_inside_the_plot(folder: Path) -> None:
    write_model_card(folder, "mdm", RECORD)
    drawn = points((folder / "loss.svg").read_text())
    assert len(drawn) == len(TASKS)
    assert all(0 < x < 760 and 40 < y < 330 for line in drawn for x, y in line)
