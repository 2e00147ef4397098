"""The cache is asked first, nothing is computed twice, nothing is kept by half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import duckdb
import numpy as np
import pytest

from engine.circuits import comparison
from engine.errors import Cancelled, UserError
from engine.runs import cache_connection, device_plan, lifecycle, provenance, read
from engine.runs.records import Progress, RunMeta, RunTables
from engine.runs.rows import ExampleRow, LayerLens, NodeLens, ReadoutRow
from engine.runs.spec import RunSpec
from tests.fakes import HOSTILE, REMARK, fake_model, remarked_compute, tiny_compute

SPEC = RunSpec(n=4)
ROOT = Path(__file__).resolve().parents[3]


class Counting:
    """`tiny_compute` that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
        self.calls += 1
        return tiny_compute(spec, on_progress)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "arm"},
        {"model": "step:100"},
        {"model": "control"},
        {"task": "sudoku"},
        {"n": 5},
        {"seed": 1},
        {"method": "eap"},
        {"points": 6},
        {"metric": "kl"},
        {"order": "random"},
        {"dtype": "bfloat16"},
    ],
)
@pytest.mark.usefixtures("workspace")
def test_every_field_of_a_spec_changes_the_key(change: dict[str, object]) -> None:
    assert provenance.key_of(replace(SPEC, **change)) != provenance.key_of(SPEC)


def test_weights_method_and_libraries_change_the_key(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arm, keys = replace(SPEC, model="arm"), [provenance.key_of(SPEC)]
    untouched = provenance.key_of(arm)
    (workspace / "pair" / "mdm" / "model.safetensors").write_bytes(b"trained for longer")
    keys.append(provenance.key_of(SPEC))
    pairs = workspace / "pair" / "pairs.toml"
    pairs.write_text(pairs.read_text().replace("shifted = true", "shifted = false"))
    keys.append(provenance.key_of(SPEC))
    assert provenance.key_of(arm) == untouched
    pairs.write_text(pairs.read_text() + 'prompts = "natural"\n')
    keys.append(provenance.key_of(SPEC))
    assert provenance.key_of(arm) != untouched
    monkeypatch.setattr(provenance, "METHOD_VERSION", provenance.METHOD_VERSION + 1)
    keys.append(provenance.key_of(SPEC))
    monkeypatch.setattr(provenance, "library_version", lambda name: "0.0")
    keys.append(provenance.key_of(SPEC))
    assert len(set(keys)) == 6


@pytest.mark.parametrize("changed", ["arm", "mdm"])
def test_the_control_is_of_the_arms_weights_and_the_mdms_mask(workspace: Path, changed: str) -> None:
    control = replace(SPEC, model="control")
    before, made = provenance.key_of(control), provenance.provenance_of(control)
    assert made["weights"] == made["compared_with"] == provenance.provenance_of(replace(SPEC, model="arm"))["weights"]
    assert made["read_as"] == provenance.provenance_of(SPEC)["weights"] and made["reading"] == ["<mask>", True]
    (workspace / "pair" / changed / "model.safetensors").write_bytes(b"trained for longer")
    assert provenance.key_of(control) != before


@pytest.mark.usefixtures("workspace")
def test_there_are_no_halves_of_one_example() -> None:
    arm, mdm = (lifecycle.run(replace(SPEC, model=m, n=1), compute=tiny_compute) for m in ("arm", "mdm"))
    assert not arm.has_halves and read.split_half(arm, mdm, 5) is None


@pytest.mark.usefixtures("workspace")
def test_like_with_like_reads_the_stored_halves() -> None:
    arm, mdm = (lifecycle.run(replace(SPEC, model=m), compute=tiny_compute) for m in ("arm", "mdm"))
    found = read.split_half(arm, mdm, 9)
    assert found is not None
    assert found.arm == read.overlap(arm.key, arm.key, 9, "half-a", "half-b")
    assert found.mdm == read.overlap(mdm.key, mdm.key, 9, "half-a", "half-b")
    ways = [read.overlap(arm.key, mdm.key, 9, *way) for way in (("half-a", "half-b"), ("half-b", "half-a"))]
    assert found.pair == pytest.approx(sum(ways) / 2)


@pytest.mark.usefixtures("workspace")
def test_the_same_spec_never_computes_twice() -> None:
    compute = Counting()
    assert lifecycle.find(SPEC) is None
    first = lifecycle.run(SPEC, compute=compute)
    cache_connection.close()
    assert lifecycle.run(SPEC, compute=compute) == first == lifecycle.find(SPEC)
    assert compute.calls == 1
    lifecycle.run(replace(SPEC, seed=1), compute=compute)
    assert compute.calls == 2


@pytest.mark.usefixtures("workspace")
def test_two_threads_ask_for_the_same_run() -> None:
    compute, found = Counting(), []
    threads = [threading.Thread(target=lambda: found.append(lifecycle.run(SPEC, compute=compute))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compute.calls == 1
    assert len(found) == 4 and len({run.key for run in found}) == 1


@pytest.mark.usefixtures("workspace")
def test_what_is_stored_is_what_was_computed() -> None:
    made = tiny_compute(SPEC, lifecycle.ignore)
    run = lifecycle.run(SPEC, compute=tiny_compute)
    stored = sum(table.nbytes for table in made.tables.values())
    assert (run.spec, run.meta) == (SPEC, replace(made.meta, stored_bytes=stored))
    assert lifecycle.get(run.key) == run and lifecycle.list_runs() == [run]
    edges = made.tables["edges"].to_pylist()
    for part in ("total", "half-a", "half-b", *run.meta.parts):
        table = read.edge_table(run.key, part)
        expected = [row for row in edges if row["part"] == part]
        assert table.edge.tolist() == [row["edge"] for row in expected]
        assert table.score.tolist() == [row["score"] for row in expected]
    assert table.edge.dtype == np.int32 and table.score.dtype == np.float32
    assert read.edge_table(run.key, limit=5).edge.tolist() == read.edge_table(run.key).edge[:5].tolist()


@pytest.mark.usefixtures("workspace")
def test_remarks_are_kept_with_a_run_and_a_run_from_before_has_none() -> None:
    run = lifecycle.run(SPEC, compute=remarked_compute)
    assert lifecycle.get(run.key).meta.remarks == (REMARK, "And another.")
    fields = asdict(run.meta)
    del fields["remarks"]
    assert RunMeta.of(fields) == replace(run.meta, remarks=())


@pytest.mark.usefixtures("workspace")
def test_rows_come_as_records() -> None:
    made = tiny_compute(SPEC, lifecycle.ignore).tables
    key = lifecycle.run(SPEC, compute=tiny_compute).key
    examples = read.rows(ExampleRow, key)
    assert [row.example for row in examples] == list(range(4))
    assert examples[0].prompt[0] == HOSTILE and isinstance(examples[0].answer, tuple)
    assert [row.tokens for row in read.rows(ReadoutRow, key)] == [
        tuple(t) for t in made["readouts"]["tokens"].to_pylist()
    ]
    lens = read.node_lens(key, 1, 4)
    assert (lens.readout, lens.node) == (1, 4)
    assert read.rows(NodeLens, key, readout=1)[4] == lens
    assert lens.promoted == tuple(made["node_lens"].to_pylist()[7 + 4]["promoted"])  # 7 sources per readout
    assert [row.layer for row in read.rows(LayerLens, key, readout=1)] == [0, 1, 2]


@pytest.mark.usefixtures("workspace")
def test_what_is_not_there_is_refused_by_name() -> None:
    key = lifecycle.run(SPEC, compute=tiny_compute).key
    with pytest.raises(UserError, match="no run with the key 'nope'"):
        lifecycle.get("nope")
    with pytest.raises(UserError, match=r"no part 'site-77'.*total, half-a, half-b, step-00"):
        read.edge_table(key, "site-77")
    with pytest.raises(UserError, match="no lens of node 99"):
        read.node_lens(key, 0, 99)
    with pytest.raises(UserError, match=r"pair called 'x'"):
        provenance.key_of(replace(SPEC, pair="x"))
    with pytest.raises(UserError, match=r"task called 'x'"):
        provenance.key_of(replace(SPEC, task="x"))


@pytest.mark.usefixtures("workspace")
def test_overlap_is_computed_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    a = lifecycle.run(SPEC, compute=tiny_compute).key
    b = lifecycle.run(replace(SPEC, model="arm"), compute=tiny_compute).key
    curve = read.overlap_curve(a, b)
    tops = [read.edge_table(key).edge for key in (a, b)]
    brute = [len(set(tops[0][:k]) & set(tops[1][:k])) for k in range(1, len(tops[0]) + 1)]
    assert curve.k.tolist() == comparison.curve_sizes(len(brute)).tolist()
    assert curve.shared.tolist() == [brute[k - 1] for k in curve.k]
    for k in (1, 7, len(brute)):
        assert read.overlap(a, b, k) == brute[k - 1] / (2 * k - brute[k - 1])
    other = read.overlap_curve(a, a, "half-a", "half-b")
    cache_connection.close()
    monkeypatch.setattr(comparison, "shared_counts_of_ranks", None)
    assert read.overlap_curve(b, a).shared.tolist() == curve.shared.tolist()
    again = read.overlap_curve(a, a, "half-b", "half-a")
    assert again.shared.tolist() == other.shared.tolist() != curve.shared.tolist()


@pytest.mark.usefixtures("workspace")
def test_some_edges_are_read_with_their_rank_and_score() -> None:
    key = lifecycle.run(SPEC, compute=tiny_compute).key
    table = read.edge_table(key, "half-b")
    wanted = np.array([3, 0, 11], dtype=np.int32)
    found = read.edges_among(key, "half-b", wanted)
    rows = {
        edge: (rank, score)
        for edge, rank, score in zip(found.edge.tolist(), found.rank.tolist(), found.score, strict=True)
    }
    order = table.edge.tolist()
    assert rows == {edge: (order.index(edge), table.score[order.index(edge)]) for edge in wanted.tolist()}


@pytest.mark.usefixtures("workspace")
def test_graphs_of_different_size_are_not_compared() -> None:
    from tests.fakes import fake_compute

    a = lifecycle.run(SPEC, compute=tiny_compute).key
    b = lifecycle.run(replace(SPEC, seed=1), compute=fake_compute).key
    with pytest.raises(UserError, match=r"only circuits of one architecture"):
        read.overlap_curve(a, b)
    with pytest.raises(UserError, match=r"no part 'site-77'"):
        read.overlap_curve(a, a, "site-77")


@pytest.mark.usefixtures("workspace")
def test_delete_and_compute_again() -> None:
    compute = Counting()
    key = lifecycle.run(SPEC, compute=compute).key
    lifecycle.delete(key)
    assert lifecycle.list_runs() == [] and lifecycle.find(SPEC) is None
    with pytest.raises(UserError):
        lifecycle.delete(key)
    assert lifecycle.run(SPEC, compute=compute).key == key
    assert compute.calls == 2


@pytest.mark.usefixtures("workspace")
def test_nothing_is_kept_of_a_run_that_was_cancelled_or_failed() -> None:
    def cancel(progress: Progress) -> None:
        raise Cancelled

    def broken(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
        made = tiny_compute(spec, on_progress)
        return RunTables(made.meta, {**made.tables, "residual_lens": made.tables["readouts"]})

    with pytest.raises(Cancelled):
        lifecycle.run(SPEC, cancel, tiny_compute)
    with pytest.raises(Exception, match="column"):
        lifecycle.run(SPEC, compute=broken)
    assert lifecycle.list_runs() == []
    assert lifecycle.run(SPEC, compute=tiny_compute).spec == SPEC


HANGING = """
import time
from engine.runs import lifecycle
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute

def hang(spec, on_progress):
    print("computing", flush=True)
    time.sleep(60)

lifecycle.run(RunSpec(n=4, seed=1), compute=tiny_compute)
lifecycle.run(RunSpec(n=4), compute=hang)
"""


@pytest.mark.usefixtures("workspace")
def test_kill_in_the_middle_of_a_run() -> None:
    """The next start finds a sound cache with the finished run, no half run, and computes it again."""
    command = [sys.executable, "-c", HANGING]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ)
    assert process.stdout and process.stdout.readline() == "computing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    compute = Counting()
    assert [run.spec for run in lifecycle.list_runs()] == [replace(SPEC, seed=1)]
    assert lifecycle.notice() is None
    assert lifecycle.run(SPEC, compute=compute).spec == SPEC
    assert lifecycle.run(replace(SPEC, seed=1), compute=compute)
    assert compute.calls == 1


@pytest.mark.usefixtures("workspace")
def test_a_second_process_is_told_in_one_sentence() -> None:
    lifecycle.list_runs()
    said = subprocess.run(
        [sys.executable, "-m", "engine", "list"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert said.returncode == 2 and said.stdout == ""
    assert said.stderr.startswith("error: The cache ") and "in use by another program" in said.stderr
    assert said.stderr.count("\n") == 1 and "CIRCUITS_DB" in said.stderr


def test_a_damaged_cache_is_set_aside_and_named(workspace: Path) -> None:
    lifecycle.list_runs()
    cache_connection.close()
    damaged = (workspace / "circuits.duckdb").read_bytes()[:30_000]
    (workspace / "circuits.duckdb").write_bytes(damaged)
    assert lifecycle.list_runs() == []
    (moved,) = workspace.glob("circuits.duckdb.unreadable-*")
    notice = lifecycle.notice()
    assert notice and str(moved) in notice
    assert moved.read_bytes() == damaged


def test_importing_the_engine_imports_no_torch() -> None:
    code = """
import sys
import engine, engine.runs.lifecycle, engine.runs.read, engine.runs.jobs, engine.exchange.export, engine.models.pairs
import engine.commands, engine.__main__
heavy = {"torch", "transformers", "transformer_lens", "streamlit", "networkx"} & set(sys.modules)
sys.exit(", ".join(heavy) or 0)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def forget_weights(workspace: Path) -> None:
    for model in ("arm", "mdm"):
        (workspace / "pair" / model / "model.safetensors").unlink()


def test_without_the_weights_the_newest_run_of_the_spec_is_found(workspace: Path) -> None:
    first = lifecycle.run(SPEC, compute=tiny_compute)
    (workspace / "pair" / "mdm" / "model.safetensors").write_bytes(b"trained for longer")
    assert lifecycle.find(SPEC) is None
    second = lifecycle.run(SPEC, compute=tiny_compute)
    assert first.key != second.key
    forget_weights(workspace)
    assert lifecycle.find(SPEC) == second == lifecycle.run(SPEC, compute=Counting())
    assert lifecycle.find(replace(SPEC, seed=1)) is None
    said = lifecycle.obstacle(SPEC)
    assert said and "There is no model" in said
    with pytest.raises(UserError, match="There is no model"):
        provenance.key_of(SPEC)


@pytest.mark.usefixtures("workspace")
def test_nothing_stands_in_the_way_of_what_can_be_computed() -> None:
    assert lifecycle.obstacle(SPEC) is None
    assert lifecycle.find(SPEC) is None


def test_what_does_not_fit_cannot_be_computed(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = {"num_hidden_layers": 28, "num_attention_heads": 28, "hidden_size": 3584, "vocab_size": 152064}
    for model in ("arm", "mdm"):
        fake_model(workspace / "pair" / model, model, **shape)
    monkeypatch.setattr(device_plan, "devices", lambda: [device_plan.Device("cpu", 2**30, 2**30)])
    said = lifecycle.obstacle(SPEC)
    assert said and "GiB in float32, but there are 1.0 GiB on this machine's cpu" in said
    monkeypatch.setattr(device_plan, "devices", lambda: [device_plan.Device("cpu", 2**40, 2**40)])
    assert lifecycle.obstacle(SPEC) is None


def test_stored_runs_whose_settings_are_refused_by_now_are_left_out_with_a_word(workspace: Path) -> None:
    kept, old = (lifecycle.run(replace(SPEC, method=method), compute=tiny_compute) for method in ("eap-ig", "eap"))
    cache_connection.close()
    with duckdb.connect(str(workspace / "circuits.duckdb")) as db:
        db.execute("UPDATE runs SET spec = replace(spec, 'logit_diff', 'kl') WHERE key = ?", [old.key])
    assert [run.key for run in lifecycle.list_runs()] == [kept.key]
    said = lifecycle.notice()
    assert said and f"left out: 1. {old.key}: eap takes gradients at the clean input only" in said
    lifecycle.delete(old.key)
    assert lifecycle.notice() is None


@pytest.mark.usefixtures("workspace")
def test_one_example_has_no_second_half() -> None:
    one, two = (lifecycle.run(replace(SPEC, n=n), compute=tiny_compute) for n in (1, 2))
    assert (one.has_halves, two.has_halves) == (False, True)
    read.edge_table(two.key, "half-b")
    read.edge_table(one.key, "half-a")
    for refused_read in (
        lambda: read.edge_table(one.key, "half-b"),
        lambda: read.overlap(one.key, one.key, 5, "half-a", "half-b"),
        lambda: read.overlap_curve(one.key, one.key, "half-a", "half-b"),
        lambda: read.overlap_curve(one.key, two.key, "half-b", "half-b"),
    ):
        with pytest.raises(UserError, match="is of one example, so that it has no second half"):
            refused_read()


def test_a_brought_run_of_the_same_weights_counts_whatever_the_libraries(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = lifecycle.run(SPEC, compute=tiny_compute)
    assert run.method_version == provenance.METHOD_VERSION and run.imported is None
    monkeypatch.setattr(provenance, "library_version", lambda name: "0.0")
    assert lifecycle.find(SPEC) is None
    bring(workspace, run.key)
    found = lifecycle.find(SPEC)
    assert found and (found.key, found.imported) == (run.key, "2026-02-02")
    with monkeypatch.context() as later:
        later.setattr(provenance, "METHOD_VERSION", provenance.METHOD_VERSION + 1)
        assert lifecycle.find(SPEC) is None
    (workspace / "pair" / "mdm" / "model.safetensors").write_bytes(b"trained for longer")
    assert lifecycle.find(SPEC) is None


def bring(workspace: Path, key: str) -> None:
    """Mark a run as one that a bundle brought."""
    cache_connection.close()
    with duckdb.connect(str(workspace / "circuits.duckdb")) as db:
        db.execute("UPDATE runs SET imported = '2026-02-02' WHERE key = ?", [key])
