"""A whole run on a small trained pair: its tables agree with each other and with the engine's parts."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.attribution.edge_scores import attribute
from engine.attribution.sites import arm_inputs
from engine.circuits.graph import Graph
from engine.errors import Cancelled
from engine.exchange.table_checks import check_tables
from engine.models.encoding import encode
from engine.models.model import load_model
from engine.runs.compute import compute
from engine.runs.records import Progress, RunTables
from engine.runs.spec import RunSpec
from engine.schema.tables import TABLES
from engine.tasks.registry import TASKS, examples
from engine.training.train import TrainSpec
from tests.small_pair import PAIR, train_pair

GRAPH = Graph(2, 4)
SMALL = TrainSpec(
    arm_steps=4, mdm_steps=6, batch=16, pool=100, layers=2, d_model=32, d_mlp=48, heads=4, kv_heads=2, measured=4
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_pair(SMALL, tmp_path_factory.mktemp("small"))


@pytest.fixture
def small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CIRCUITS_PAIRS", str(folder / "pairs.toml"))
    for name in ("ACCURACY_EXAMPLES", "STEPS_EXAMPLES"):  # a pair that is hardly trained solves none of them
        monkeypatch.setattr(f"engine.runs.compute.{name}", 8)
    return folder


@cache  # several tests ask the same run about different things
def run(model: str, task: str, n: int = 5, **options: object) -> RunTables:
    return compute(RunSpec(pair="small", model=model, task=task, n=n, **options), lambda progress: None)  # type: ignore[arg-type]


def scores(tables: RunTables, part: str) -> np.ndarray:
    """Scores of a part in edge order."""
    edges = tables.tables["edges"]
    edges = edges.filter(pc.equal(edges["part"], part))
    edge, rank, score = (edges[name].to_numpy() for name in ("edge", "rank", "score"))
    np.testing.assert_array_equal(rank, np.arange(GRAPH.n_edges))
    assert (np.diff(np.abs(score)) <= 0).all()
    in_order = np.full(GRAPH.n_edges, np.nan)
    in_order[edge] = score
    assert not np.isnan(in_order).any()
    return in_order


@pytest.mark.parametrize("model", ["arm", "mdm", "step:0", "control"])
@pytest.mark.parametrize("task", list(TASKS))
def test_parts_sum_to_the_total_and_halves_average_to_it(small: Path, model: str, task: str) -> None:
    tables = run(model, task)
    check_tables(RunSpec(pair="small", model=model, task=task, n=5), tables.meta, tables.tables)
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
    rows = arm_inputs(model, [encode(e, model.tokenizer) for e in examples(TASKS["ioi"], 5, 0)])
    expected = attribute(model, rows, 5).total[torch.from_numpy(GRAPH.legal)] / 5
    np.testing.assert_allclose(scores(tables, "total"), expected.numpy(), atol=1e-7)


def test_same_spec_same_numbers(small: Path) -> None:
    first, second = (run.__wrapped__("mdm", "countdown", n=3) for _ in range(2))
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


@pytest.mark.parametrize("model", ["arm", "mdm"])
def test_blocks_of_examples_sum_to_the_scores_of_the_strongest_edges(
    small: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runs.compute_circuit.BLOCK_EDGES", 50)
    tables = run(model, "countdown", n=4)
    total, halves = scores(tables, "total"), [scores(tables, f"half-{half}") for half in "ab"]
    blocks = tables.tables["edge_blocks"].to_pylist()
    assert [row["edge"] for row in blocks] == tables.tables["edges"]["edge"].to_pylist()[:50]
    tolerance = 1e-5 * np.abs(total).max()
    for row in blocks:
        assert len(row["scores"]) == 4
        assert sum(row["scores"]) == pytest.approx(total[row["edge"]], abs=tolerance)
        for half in (0, 1):
            assert sum(row["scores"][half::2]) * 2 == pytest.approx(halves[half][row["edge"]], abs=tolerance)


@pytest.mark.parametrize("model", ["arm", "mdm", "step:0", "control"])
def test_neurons_of_a_layer_sum_to_the_edges_out_of_their_mlp(small: Path, model: str) -> None:
    tables = run(model, "ioi", n=3)
    neurons = tables.tables["neurons"].to_pylist()
    assert len(neurons) == GRAPH.n_layers * tables.meta.n_neurons == 2 * 48
    for column, part in (("attribution", "total"), ("half_a", "half-a"), ("half_b", "half-b")):
        edges = scores(tables, part)
        for layer in range(GRAPH.n_layers):
            leaving = edges[GRAPH.edge_source == GRAPH.mlp(layer)].sum()
            total = sum(row[column] for row in neurons if row["layer"] == layer)
            assert total == pytest.approx(leaving, rel=1e-3, abs=1e-5 * np.abs(edges).max())


def test_cosines_are_against_the_arms_weights(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an ARM whose weights are far from the MDM's, so that no cosine is near 1."""
    shutil.copytree(small / "pair", tmp_path / "pair")
    file = tmp_path / "pair/arm/model.safetensors"
    far = {key: value + value.std() * torch.randn_like(value) for key, value in load_file(file).items()}
    save_file(far, file, {"format": "pt"})
    (tmp_path / "pairs.toml").write_text(PAIR)
    monkeypatch.setenv("CIRCUITS_PAIRS", str(tmp_path / "pairs.toml"))
    arm, mdm = (run.__wrapped__(model, "ioi", n=2).tables["neurons"].to_pylist() for model in ("arm", "mdm"))
    models = [load_model(str(tmp_path / f"pair/{name}"), causal=True) for name in ("arm", "mdm")]
    for column, name, dim in (("cos_in", "W_in", 0), ("cos_gate", "W_gate", 0), ("cos_out", "W_out", 1)):
        assert all(row[column] is None for row in arm)
        weights = [[getattr(block.mlp, name) for block in model.bridge.blocks] for model in models]
        expected = torch.cat([torch.cosine_similarity(a, b, dim=dim) for a, b in zip(*weights, strict=True)])
        np.testing.assert_allclose([row[column] for row in mdm], expected.numpy(), atol=1e-5)
        assert float(expected.max()) < 0.95


@pytest.mark.parametrize("model", ["arm", "mdm"])
def test_one_example_is_a_run_whose_second_half_is_empty(small: Path, model: str) -> None:
    tables = run(model, "countdown", n=1)
    total = scores(tables, "total")
    np.testing.assert_allclose(scores(tables, "half-a"), total, rtol=1e-5, atol=1e-6 * np.abs(total).max())
    assert not scores(tables, "half-b").any()
    neurons = tables.tables["neurons"].to_pylist()
    assert all(row["half_a"] == row["attribution"] and row["half_b"] == 0 for row in neurons)
    assert any(row["attribution"] for row in neurons)
    assert all(len(row["scores"]) == 1 for row in tables.tables["edge_blocks"].to_pylist())
    assert {len(row["top_value"]) for row in tables.tables["neuron_detail"].to_pylist()} == {1}


@pytest.mark.parametrize(("model", "kept"), [("arm", 6), ("mdm", 9)])
def test_kept_inputs_have_a_role_per_token_and_all_their_neurons(small: Path, model: str, kept: int) -> None:
    tables = run(model, "countdown", n=7)
    inputs, detail = (tables.tables[name].to_pylist() for name in ("inputs", "neuron_detail"))
    assert len(inputs) == kept and len(detail) == 2 * 48
    lengths = {row["input"]: len(row["tokens"]) for row in inputs}
    for row in inputs:
        assert len(row["roles"]) == len(row["tokens"])
        assert all(role for role in row["roles"])
    tokens = tables.tables["neuron_tokens"].to_pylist()
    assert len(tokens) == kept * len(detail)
    assert all(len(row[name]) == lengths[row["input"]] for row in tokens for name in ("activations", "gates", "ups"))


def test_cancelling_stops_in_the_middle(small: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.stage == "edge scores":
            raise Cancelled

    with pytest.raises(Cancelled):
        compute(RunSpec(pair="small", model="arm", task="ioi", n=4), stop)


def test_the_controls_neurons_are_the_arms(small: Path) -> None:
    rows = run("control", "ioi", n=2).tables["neurons"].to_pylist()
    assert {round(row[name], 5) for row in rows for name in ("cos_in", "cos_gate", "cos_out")} == {1.0}
