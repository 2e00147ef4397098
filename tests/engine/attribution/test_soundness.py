"""Numbers that are none end a run with a sentence, whatever weight they come from; nothing is stored."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from engine.attribution.soundness import Unsound, refuse_unsound, refuse_unsound_tables
from engine.errors import UserError
from engine.exchange import bundle
from engine.inspection.head_scores import copying_scores, head_scores_table, positive_share
from engine.models import model as models
from engine.models.model import Model
from engine.models.pairs import Pair, pair_named
from engine.runs import cache_connection, compute, lifecycle, read, stored
from engine.runs.detect_shift import readings
from engine.runs.jobs import JobQueue
from engine.runs.records import ArtifactTables, Progress
from engine.runs.refusals import blamed
from engine.runs.rows import Head
from engine.runs.spec import RunSpec
from engine.schema.artifacts import Kind
from engine.schema.tables import NULLABLE
from engine.training.train import TrainSpec
from tests import tiny
from tests.small_pair import train_pair

NAN, INF = math.nan, math.inf
SMALL = TrainSpec(
    arm_steps=2, mdm_steps=2, batch=8, pool=50, layers=2, d_model=16, d_mlp=24, heads=2, kv_heads=1, measured=2
)
SPEC = RunSpec(pair="small", task="ioi", n=2)
TITLES = {"arm": "The ARM of the pair small", "mdm": "The MDM of the pair small"}
TITLES["step:0"] = "The MDM after 0 steps of the pair small"
TITLES["control"] = "The step-0 control of the pair small"

WEIGHTS = (
    "embed_tokens.weight",
    "layers.0.input_layernorm.weight",
    "layers.1.self_attn.q_proj.weight",
    "layers.0.self_attn.k_proj.bias",
    "layers.1.self_attn.v_proj.weight",
    "layers.0.self_attn.o_proj.weight",
    "layers.1.post_attention_layernorm.weight",
    "layers.0.mlp.gate_proj.weight",
    "layers.1.mlp.down_proj.weight",
    "model.norm.weight",
    "lm_head.weight",
)
Plant = Callable[[str, float | None], None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_pair(SMALL, tmp_path_factory.mktemp("small"))


@pytest.fixture
def plant(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Let runs find a number in a weight (None: nothing but zeros), put there behind the loader's back."""
    monkeypatch.setenv("CIRCUITS_PAIRS", str(folder / "pairs.toml"))

    def change(name: str, value: float | None) -> None:
        def load(pair: Pair, *args: str) -> Model:
            model = models.load(pair, *args)
            weight = weight_named(model, name)
            with torch.no_grad():
                if value is None:
                    weight.zero_()
                else:
                    weight.view(-1)[weight.numel() // 2] = value
            return model

        monkeypatch.setattr("engine.runs.compute.load", load)

    return change


def weight_named(model: Model, name: str) -> torch.Tensor:
    (parameter,) = (weight for other, weight in model.plain.named_parameters() if other.endswith(name))
    return parameter


def refused(spec: RunSpec) -> str:
    """What a run of a spec is refused with; nothing of it is stored."""
    with pytest.raises(UserError) as error:
        lifecycle.run(spec)
    assert stored.list_runs() == []
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [*((name, NAN) for name in WEIGHTS), *((name, INF) for name in WEIGHTS[::5]), (WEIGHTS[-2], -INF)],
)
def test_a_number_that_is_none_is_refused_by_the_name_of_model_and_weight(
    plant: Plant, name: str, value: float
) -> None:
    plant(name, value)
    message = refused(SPEC)
    assert message.startswith("The MDM of the pair small gives no sound numbers: ") and "Nothing is stored." in message
    assert f"{name} holds {'NaN' if math.isnan(value) else 'infinite numbers'}" in message


@pytest.mark.parametrize("model", list(TITLES))
def test_the_model_is_named(plant: Plant, model: str) -> None:
    plant("layers.1.mlp.down_proj.weight", NAN)
    assert refused(replace(SPEC, model=model)).startswith(f"{TITLES[model]} gives no sound numbers")


def test_the_embedding_of_a_token_that_is_never_seen_does_not_end_the_process(plant: Plant) -> None:
    """LAPACK, which finds copying heads, is never given it."""
    plant("embed_tokens.weight", NAN)
    assert "model.embed_tokens.weight holds NaN" in refused(replace(SPEC, n=1))
    with (
        compute.Computing() as computing,
        pytest.raises(UserError, match="products of embedding, head and unembedding"),
    ):
        computing(replace(SPEC, n=1), "weights", lambda progress: None)


def test_where_all_weights_are_numbers_the_config_is_suspected() -> None:
    with pytest.raises(UserError) as error, blamed(SPEC, tiny.model("llama", causal=False)):
        raise Unsound("its logits hold NaN")
    message = str(error.value)
    assert message.startswith(
        "The MDM of the pair small gives no sound numbers: its logits hold NaN. All its weights are"
    )
    assert "config.json" in message and message.endswith("Nothing is stored.")


def test_a_buffer_that_the_config_settles_is_named() -> None:
    model = tiny.model("llama", causal=False)
    name, values = next(iter(model.plain.named_buffers()))
    values.fill_(INF)
    with pytest.raises(UserError) as error, blamed(SPEC, model):
        raise Unsound("its logits hold NaN")
    assert f"Its {name}, which config.json settles, holds infinite numbers" in str(error.value)


def test_a_job_fails_with_the_same_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's process survives, and the job fails with the sentence."""
    monkeypatch.setenv("CIRCUITS_PAIRS", str(folder / "pairs.toml"))
    queue = JobQueue("tests.engine.attribution.test_soundness:planted")
    try:
        job = queue.submit([SPEC], "one")
        limit = time.monotonic() + 180
        while queue.job(job).is_open and time.monotonic() < limit:
            time.sleep(0.1)
        assert "lm_head.weight holds NaN" in str(queue.job(job).error)
    finally:
        queue.close()


def planted(spec: RunSpec, kind: Kind, on_progress: Callable[[Progress], None]) -> ArtifactTables:
    """`compute` of a model with NaN in its unembedding."""

    def load(pair: Pair, *args: str) -> Model:
        model = models.load(pair, *args)
        weight_named(model, "lm_head.weight").view(-1)[0] = NAN
        return model

    compute.load = load  # type: ignore[attr-defined]
    with compute.Computing() as computing:
        return computing(spec, kind, on_progress)


def test_no_reading_is_taken_from_logits_that_are_none(plant: Plant) -> None:
    plant("lm_head.weight", NAN)
    with pytest.raises(UserError, match="The MDM of the pair small gives no sound numbers: its logits hold NaN"):
        readings(pair_named("small"), "ioi", "float32")


def test_matrices_for_lapack_are_checked_first() -> None:
    for value in (NAN, INF):
        matrices = torch.eye(3).repeat(2, 1, 1)
        matrices[1, 2, 0] = value
        with pytest.raises(Unsound):
            positive_share(matrices)


def test_a_head_that_writes_nothing_copies_nothing_and_has_no_score() -> None:
    model = tiny.model("llama", causal=True)
    weight_named(model, "layers.0.self_attn.o_proj.weight")[:, :8] = 0  # of head 0
    scores = copying_scores(model)
    assert scores[0, 0].isnan() and scores.isnan().sum() == 1
    table = head_scores_table(model).to_pylist()
    assert [row["node"] for row in table if row["copying"] is None] == [model.graph.head(0, 0)]


def test_heads_that_write_nothing_are_stored_without_a_score_and_travel(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant("layers.0.self_attn.o_proj.weight", None)
    run = lifecycle.run(SPEC)
    assert [head.copying is None for head in read.rows(Head, run.key)] == [True, True, False, False]
    bundle.write(tmp_path / "small.circuits.zip", "small")
    cache_connection.close()
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "elsewhere"))
    assert bundle.take(tmp_path / "small.circuits.zip").added == 1
    assert [head.copying is None for head in read.rows(Head, run.key)] == [True, True, False, False]


@pytest.mark.parametrize("name", ["lm_head.weight", "embed_tokens.weight"])
def test_weights_of_zeros_are_refused_by_name(plant: Plant, name: str) -> None:
    plant(name, None)
    message = refused(SPEC)
    assert message.startswith("All edge scores of the MDM of the pair small on ioi are exactly zero")
    assert f"Its weight model.{name} is all zeros" in message or f"Its weight {name} is all zeros" in message


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        (pa.array([1.0, NAN], pa.float32()), True),
        (pa.array([1.0, INF], pa.float64()), True),
        (pa.array([1.0, None], pa.float32()), True),
        (pa.array([[1.0], [NAN]], pa.list_(pa.float32())), True),
        (pa.array([[1.0], [None]], pa.list_(pa.float32())), True),
        (pa.array([[], [-INF]], pa.list_(pa.float32())), True),
        (pa.array([1.0, -3e38], pa.float32()), False),
        (pa.array([[], []], pa.list_(pa.float32())), False),
        (pa.array([], pa.float32()), False),
        (pa.array([1, None], pa.int32()), False),
        (pa.array(["nan"], pa.string()), False),
    ],
)
def test_tables_are_checked_column_by_column(values: pa.Array, wrong: bool) -> None:
    tables = {"heads": pa.table({"node": range(len(values)), "induction": values})}
    if not wrong:
        refuse_unsound_tables(tables)
        return
    with pytest.raises(Unsound, match="the column induction of its table heads"):
        refuse_unsound_tables(tables)


@pytest.mark.parametrize(("table", "column"), sorted(NULLABLE))
def test_null_is_allowed_where_there_may_be_no_number_and_nan_nowhere(table: str, column: str) -> None:
    refuse_unsound_tables({table: pa.table({column: pa.array([None, 0.5], pa.float32())})})
    with pytest.raises(Unsound):
        refuse_unsound_tables({table: pa.table({column: pa.array([NAN, 0.5], pa.float32())})})


def test_the_kinds_of_unsound_numbers_are_named() -> None:
    refuse_unsound(torch.tensor([0.0, -1e38]), "x")
    for values, kinds in (([NAN], "NaN"), ([INF, 0], "infinite numbers"), ([-INF, NAN], "NaN and infinite numbers")):
        with pytest.raises(Unsound, match=f"^its logits hold {kinds}$"):
            refuse_unsound(torch.tensor(values), "its logits")
