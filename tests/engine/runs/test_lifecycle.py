"""The cache is asked first, nothing is computed twice, nothing is kept by half."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import duckdb
import numpy as np
import pytest

from cache.layout import SPEC_COLUMNS
from engine.errors import Cancelled, UserError
from engine.runs import cache_connection, device_plan, lifecycle, provenance, read
from engine.runs.records import Progress, RunMeta, RunTables
from engine.runs.spec import RunSpec
from tests.fakes import REMARK, fake_model, remarked_compute, tiny_compute, tiny_run

SPEC = RunSpec(n=4)
ROOT = Path(__file__).resolve().parents[3]


class Counting:
    """`tiny_compute` that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
        self.calls += 1
        return tiny_run(spec, on_progress)


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
    compute, runs = Counting(), []
    threads = [threading.Thread(target=lambda: runs.append(lifecycle.run(SPEC, compute=compute))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compute.calls == 1
    assert len(runs) == 4 and len({run.key for run in runs}) == 1


@pytest.mark.usefixtures("workspace")
def test_what_is_stored_is_what_was_computed() -> None:
    made = tiny_run(SPEC, lifecycle.ignore)
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
        made = tiny_run(spec, on_progress)
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
from tests.fakes import tiny_compute, tiny_run

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
    process = subprocess.run(
        [sys.executable, "-m", "engine", "list"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert process.returncode == 2 and process.stdout == ""
    assert process.stderr.startswith("error: The cache ") and "in use by another program" in process.stderr
    assert process.stderr.count("\n") == 1 and "CIRCUITS_CACHE" in process.stderr


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
    message = lifecycle.obstacle(SPEC)
    assert message and "There is no model" in message
    with pytest.raises(UserError, match="There is no model"):
        provenance.resolve(SPEC)


@pytest.mark.usefixtures("workspace")
def test_nothing_stands_in_the_way_of_what_can_be_computed() -> None:
    assert lifecycle.obstacle(SPEC) is None
    assert lifecycle.find(SPEC) is None


def test_what_does_not_fit_cannot_be_computed(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = {"num_hidden_layers": 28, "num_attention_heads": 28, "hidden_size": 3584, "vocab_size": 152064}
    for model in ("arm", "mdm"):
        fake_model(workspace / "pair" / model, model, **shape)
    monkeypatch.setattr(device_plan, "devices", lambda: [device_plan.Device("cpu", 2**30, 2**30)])
    message = lifecycle.obstacle(SPEC)
    assert message and "GiB in float32, but there are 1.0 GiB on this machine's cpu" in message
    monkeypatch.setattr(device_plan, "devices", lambda: [device_plan.Device("cpu", 2**40, 2**40)])
    assert lifecycle.obstacle(SPEC) is None


def test_stored_runs_whose_settings_are_refused_by_now_are_left_out_with_a_word(workspace: Path) -> None:
    kept, old = (lifecycle.run(replace(SPEC, method=method), compute=tiny_compute) for method in ("eap-ig", "eap"))
    cache_connection.close()
    with duckdb.connect(str(workspace / "circuits.duckdb")) as db:
        db.execute("UPDATE runs SET spec = replace(spec, 'logit_diff', 'kl') WHERE key = ?", [old.key])
    assert [run.key for run in lifecycle.list_runs()] == [kept.key]
    message = lifecycle.notice()
    assert message and f"left out: 1. {old.key}: eap takes gradients at the clean input only" in message
    lifecycle.delete(old.key)
    assert lifecycle.notice() is None


def test_a_brought_run_of_the_same_weights_counts_whatever_the_libraries(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = lifecycle.run(SPEC, compute=tiny_compute)
    assert run.method_version == provenance.METHOD_VERSION and run.imported is None
    monkeypatch.setattr(provenance, "library_version", lambda name: "0.0")
    assert lifecycle.find(SPEC) is None
    bring(workspace, run.key)
    brought = lifecycle.find(SPEC)
    assert brought and (brought.key, brought.imported) == (run.key, "2026-02-02")
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


OLD_COLUMNS = "id, key, spec, meta, created, seconds, made_with, imported"


def test_a_run_from_before_a_field_was_there_is_found(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cache that was written before specs were columns, whose spec lacks a field and has another order."""
    run = lifecycle.run(SPEC, compute=tiny_compute)
    other = lifecycle.run(replace(SPEC, dtype="bfloat16"), compute=tiny_compute)
    cache_connection.close()
    path = workspace / "circuits.duckdb"
    spec = {name: value for name, value in reversed(SPEC.as_dict().items()) if name != "dtype"}
    with duckdb.connect(str(path)) as db:
        db.execute("UPDATE runs SET spec = ? WHERE key = ?", [json.dumps(spec), run.key])
        for name in SPEC_COLUMNS:
            db.execute(f'ALTER TABLE runs DROP COLUMN "{name}"')
        db.execute("DELETE FROM migrations WHERE name = 'm009_specs_as_columns'")
    forget_weights(workspace)
    assert lifecycle.find(SPEC) == run
    assert lifecycle.find(other.spec) == other
    assert lifecycle.find(replace(SPEC, order="random")) is None


@pytest.mark.usefixtures("workspace")
def test_every_field_of_a_spec_is_a_column_of_runs() -> None:
    """A new field needs a column, added by a migration that fills it with the field's default."""
    assert [field.name for field in fields(RunSpec)] == list(SPEC_COLUMNS)


@pytest.mark.usefixtures("workspace")
def test_a_spec_is_resolved_once_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[RunSpec] = []
    resolve = lifecycle.resolve

    def watched(spec: RunSpec) -> provenance.Resolved:
        asked.append(spec)
        return resolve(spec)

    monkeypatch.setattr(lifecycle, "resolve", watched)
    lifecycle.run(SPEC, compute=tiny_compute)
    assert asked == [SPEC]
