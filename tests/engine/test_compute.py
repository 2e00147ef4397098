"""A whole run on a small trained pair: its tables agree with each other and with the engine's parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine import training
from engine.attribution import attribute
from engine.compute import compute
from engine.encoding import encode
from engine.errors import Cancelled
from engine.graph import Graph
from engine.models import load_model
from engine.records import TABLES, Progress, RunTables
from engine.sites import arm_rows
from engine.spec import RunSpec
from engine.tasks import TASKS, examples
from engine.training import TrainSpec

GRAPH = Graph(2, 4)
SMALL = TrainSpec(
    arm_steps=4, mdm_steps=6, batch=16, pool=100, layers=2, d_model=32, d_mlp=48, heads=4, kv_heads=2, measured=4
)
PAIR = """
[small]
title = "Small"
arm = "pair/arm"
mdm = "pair/mdm"
mask_token = "<mask>"
shifted = true
steps = [0]
steps_dir = "pair/steps"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small")
    training.train(SMALL, out / "pair", lambda *_: None)
    (out / "pairs.toml").write_text(PAIR)
    return out


@pytest.fixture
def small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CIRCUITS_PAIRS", str(folder / "pairs.toml"))
    return folder


def run(model: str, task: str, n: int = 5, **options: object) -> RunTables:
    return compute(RunSpec(pair="small", model=model, task=task, n=n, **options), lambda progress: None)  # type: ignore[arg-type]


def scores(tables: RunTables, part: str) -> np.ndarray:
    """Scores of a part in edge order."""
    rows = [row for row in tables.tables["edges"].to_pylist() if row["part"] == part]
    assert [row["rank"] for row in rows] == list(range(GRAPH.n_edges))
    magnitudes = [abs(row["score"]) for row in rows]
    assert magnitudes == sorted(magnitudes, reverse=True)
    found = np.full(GRAPH.n_edges, np.nan)
    found[[row["edge"] for row in rows]] = [row["score"] for row in rows]
    assert not np.isnan(found).any()
    return found


@pytest.mark.parametrize("model", ["arm", "mdm", "step:0"])
@pytest.mark.parametrize("task", list(TASKS))
def test_parts_sum_to_the_total_and_halves_average_to_it(small: Path, model: str, task: str) -> None:
    tables = run(model, task)
    assert tables.meta.graph == GRAPH
    total = scores(tables, "total")
    assert np.abs(total).max() > 0
    parts = sum(scores(tables, part) for part in tables.meta.parts)
    np.testing.assert_allclose(parts, total, atol=1e-6 * np.abs(total).max() + 1e-9)
    halves = (3 * scores(tables, "half-a") + 2 * scores(tables, "half-b")) / 5
    np.testing.assert_allclose(halves, total, atol=1e-6 * np.abs(total).max() + 1e-9)
    assert all(part.startswith("site-" if model == "arm" else "step-") for part in tables.meta.parts)


def test_a_run_has_every_table(small: Path) -> None:
    assert set(run("mdm", "ioi", n=2).tables) == set(TABLES)


def test_total_is_the_engines_mean_over_examples(small: Path) -> None:
    tables = run("arm", "ioi")
    model = load_model(str(small / "pair/arm"), causal=True)
    rows = arm_rows(model, [encode(e, model.tokenizer) for e in examples(TASKS["ioi"], 5, 0)])
    expected = attribute(model, rows, 5).total[torch.from_numpy(GRAPH.legal)] / 5
    np.testing.assert_allclose(scores(tables, "total"), expected.numpy(), atol=1e-7)


def test_same_spec_same_numbers(small: Path) -> None:
    first, second = (run("mdm", "countdown", n=3) for _ in range(2))
    assert all(first.tables[name].equals(second.tables[name]) for name in first.tables)


@pytest.mark.parametrize("model", ["arm", "mdm"])
def test_lens_rows_cover_every_node_and_sum_to_the_final_logits(small: Path, model: str) -> None:
    tables = run(model, "countdown", n=3)
    readouts, nodes = tables.tables["readouts"].to_pylist(), tables.tables["node_lens"].to_pylist()
    layers = tables.tables["residual_lens"].to_pylist()
    drawn = examples(TASKS["countdown"], 3, 0)
    assert (
        len(readouts)
        == tables.meta.n_sites
        == sum(a != b for e in drawn for a, b in zip(e.answer.split(), e.corrupt_answer.split(), strict=True))
    )
    for readout in readouts:
        mine = [row for row in nodes if row["readout"] == readout["readout"]]
        assert [row["node"] for row in mine] == list(range(GRAPH.n_sources))
        last = [row for row in layers if row["readout"] == readout["readout"]][-1]
        assert last["layer"] == GRAPH.n_layers
        # No biases and no positions in this architecture's residual: the terms are the whole logit.
        odds = sum(row["answer_logit"] - row["foil_logit"] for row in mine)
        expected = np.log(last["answer_probability"] / last["foil_probability"])
        assert odds == pytest.approx(expected, abs=2e-3)
        example = drawn[readout["example"]]
        words = ["<bos>", *example.prompt.split(), *example.answer.split()]
        assert readout["answer"] == words[readout["target"]]
        assert readout["position"] == readout["target"] - 1
        if model == "arm":
            assert readout["tokens"] == words
        else:
            assert readout["tokens"][readout["target"]] == "<mask>"


def test_cancelling_stops_in_the_middle(small: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.stage == "edge scores":
            raise Cancelled

    with pytest.raises(Cancelled):
        compute(RunSpec(pair="small", model="arm", task="ioi", n=4), stop)
