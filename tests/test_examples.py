"""Every example runs, on a pair that needs no time."""

from __future__ import annotations

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.circuits.comparison import jaccard_at
from engine.models.pairs import pair_named
from engine.runs import lifecycle, read
from engine.runs.spec import RunSpec
from engine.sweeps import sweep_file
from engine.tasks.registry import TASKS
from tests.fakes import register_fake_pair, tiny_compute

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[lifecycle.Run]:
    """The runs that the examples ask for, in a cache of this test's own."""
    monkeypatch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(tmp_path / "pair")))
    spec = RunSpec(n=16)
    return [lifecycle.run(replace(spec, model=model), compute=tiny_compute) for model in ("arm", "mdm")]


def test_there_is_a_test_of_every_example() -> None:
    assert [path.name for path in sorted(EXAMPLES.glob("*.py"))] == ["overlap.py"]


def test_overlap(runs: list[lifecycle.Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "overlap.html"
    monkeypatch.setattr(sys, "argv", ["overlap", str(file)])
    names = runpy.run_module("examples.overlap")
    between, chance = names["figure"].data
    curve = read.overlap_curve(runs[0].key, runs[1].key)
    assert between.x.tolist() == chance.x.tolist() == curve.k.tolist()
    assert between.y.tolist() == jaccard_at(curve.shared, curve.k).tolist()
    assert between.y[-1] == chance.y[-1] == 1  # all edges
    assert "ARM and MDM" in file.read_text()
    code = [line for line in (EXAMPLES / "overlap.py").read_text().partition('"""\n\nimport')[2].split("\n") if line]
    assert len(code) <= 17


def test_the_sweep_is_of_every_task_and_checkpoint() -> None:
    """README and docs/cluster.md say that it has 120 circuits."""
    sweep = sweep_file.read(EXAMPLES / "embedded_sweep.toml")
    assert sweep.tasks == tuple(TASKS) and sweep.kinds == ("circuit",)
    assert len(sweep.specs()) == 4 * (2 + len(pair_named("embedded").steps)) * 3 == 120
