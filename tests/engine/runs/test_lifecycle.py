"""The cache is asked first, nothing is computed twice, nothing is kept by half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.layout import SORTED_BY
from engine.errors import Cancelled, UserError
from engine.runs import cache_connection, device_plan, lifecycle, provenance, read, stored
from engine.runs.execution import OnProgress
from engine.runs.records import ArtifactTables, Progress
from engine.runs.spec import RunSpec
from engine.schema.artifacts import KINDS, Kind
from tests.engine.runs.test_stored import change
from tests.fakes import blind_compute, fake_model, tiny_compute, tiny_run

SPEC = RunSpec(n=4)
ROOT = Path(__file__).resolve().parents[3]


class Counting:
    """`tiny_compute` that remembers what it was asked for."""

    def __init__(self) -> None:
        self.kinds: list[Kind] = []

    def __call__(self, spec: RunSpec, kind: Kind, on_progress: OnProgress) -> ArtifactTables:
        self.kinds.append(kind)
        return tiny_compute(spec, kind, on_progress)


@pytest.mark.usefixtures("workspace")
def test_the_same_spec_never_computes_twice() -> None:
    compute = Counting()
    assert lifecycle.find(SPEC) is None
    first = lifecycle.run(SPEC, compute=compute)
    cache_connection.close()
    assert lifecycle.run(SPEC, compute=compute) == first == lifecycle.find(SPEC)
    assert compute.kinds == list(KINDS)
    lifecycle.run(replace(SPEC, seed=1), compute=compute)
    assert compute.kinds[5:] == ["circuit", "lens", "activity"]


@pytest.mark.parametrize(
    ("changed", "computed"),
    [
        ({"method": "eap"}, ["circuit"]),
        ({"points": 7}, ["circuit"]),
        ({"metric": "log_prob"}, ["circuit"]),
        ({"order": "random"}, ["circuit", "lens", "activity"]),
        ({"seed": 1}, ["circuit", "lens", "activity"]),
        ({"n": 3}, ["circuit", "lens", "activity"]),
        ({"task": "countdown"}, ["circuit", "ability", "lens", "activity"]),
        ({"dtype": "bfloat16"}, list(KINDS)),
    ],
)
@pytest.mark.usefixtures("workspace")
def test_only_what_depends_on_a_setting_is_computed_again(changed: dict[str, Any], computed: list[Kind]) -> None:
    compute = Counting()
    lifecycle.run(SPEC, compute=compute)
    lifecycle.run(replace(SPEC, **changed), compute=compute)
    assert compute.kinds[5:] == computed


@pytest.mark.usefixtures("workspace")
def test_two_threads_ask_for_the_same_run() -> None:
    compute, runs = Counting(), []
    threads = [threading.Thread(target=lambda: runs.append(lifecycle.run(SPEC, compute=compute))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compute.kinds == list(KINDS)
    assert len(runs) == 4 and len({run.key for run in runs}) == 1


@pytest.mark.usefixtures("workspace")
def test_what_is_stored_is_what_was_computed() -> None:
    made = tiny_run(SPEC, lifecycle.ignore)
    run = lifecycle.run(SPEC, compute=tiny_compute)
    assert (run.spec, run.meta, run.accuracy) == (SPEC, made.meta, made.accuracy)
    assert stored.missing(run) == () and all(stored.has(run, kind) for kind in KINDS)
    for name, table in made.tables.items():
        order = [(column, "ascending") for column in SORTED_BY[name].replace('"', "").split(", ")]
        assert read.table(run.key, name).sort_by(order).equals(table.sort_by(order)), name
    assert stored.get(run.key) == run and stored.list_runs() == [run]
    edges = made.tables["edges"].to_pylist()
    for part in ("total", "half-a", "half-b", *run.meta.parts):
        table = read.edge_table(run.key, part)
        expected = [row for row in edges if row["part"] == part]
        assert table.edge.tolist() == [row["edge"] for row in expected]
        assert table.score.tolist() == [row["score"] for row in expected]
    assert table.edge.dtype == np.int32 and table.score.dtype == np.float32
    assert read.edge_table(run.key, limit=5).edge.tolist() == read.edge_table(run.key).edge[:5].tolist()


@pytest.mark.usefixtures("workspace")
def test_delete_and_compute_again() -> None:
    compute = Counting()
    key = lifecycle.run(SPEC, compute=compute).key
    size = sum(stored.sizes_of(stored.get(key)).values())
    assert stored.delete(key) >= size > 0
    assert stored.list_runs() == [] and lifecycle.find(SPEC) is None
    assert cache_connection.store().records() == []
    with pytest.raises(UserError):
        stored.delete(key)
    assert lifecycle.run(SPEC, compute=compute).key == key
    assert len(compute.kinds) == 10


@pytest.mark.usefixtures("workspace")
def test_what_was_finished_is_kept_of_a_run_that_was_cancelled_or_failed() -> None:
    def cancel(progress: Progress) -> None:
        raise Cancelled

    def broken(spec: RunSpec, kind: Kind, on_progress: OnProgress) -> ArtifactTables:
        made = tiny_compute(spec, kind, on_progress)
        return ArtifactTables(made.meta, {"nothing": made.tables["edges"]}) if kind == "circuit" else made

    with pytest.raises(Cancelled):
        lifecycle.run(SPEC, cancel, tiny_compute)
    with pytest.raises(KeyError):
        lifecycle.run(SPEC, compute=broken)
    assert stored.list_runs() == [] and cache_connection.store().records() == []
    with pytest.raises(UserError, match="The unembedding is not here"):
        lifecycle.run(SPEC, compute=blind_compute)
    run = lifecycle.find(SPEC)
    assert run and stored.missing(run) == ("lens",) and run.accuracy
    assert isinstance(lifecycle.find_whole(SPEC), provenance.Resolved)
    compute = Counting()
    assert lifecycle.run(SPEC, compute=compute) == run == lifecycle.find_whole(SPEC)
    assert compute.kinds == ["lens"]


HANGING = """
import time
from engine.runs import lifecycle, stored
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute

def hang(spec, kind, on_progress):
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
    assert [run.spec for run in stored.list_runs()] == [replace(SPEC, seed=1)]
    assert stored.notice() is None
    assert lifecycle.run(SPEC, compute=compute).spec == SPEC
    assert lifecycle.run(replace(SPEC, seed=1), compute=compute)
    assert compute.kinds == ["circuit", "lens", "activity"]


@pytest.mark.usefixtures("workspace")
def test_a_second_process_reads_the_cache_and_adds_to_it() -> None:
    first = lifecycle.run(SPEC, compute=tiny_compute)
    code = """
from engine.runs import lifecycle, stored
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute
print(stored.list_runs()[0].key, lifecycle.run(RunSpec(n=4, seed=1), compute=tiny_compute).key)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    seen, added = process.stdout.split()
    assert seen == first.key
    assert {run.key for run in stored.list_runs()} == {first.key, added}
    assert read.edge_table(added, limit=3).edge.tolist()


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


def test_a_brought_run_of_the_same_weights_counts_whatever_the_libraries(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = lifecycle.run(SPEC, compute=tiny_compute)
    assert run.method_version == provenance.METHOD_VERSION and run.imported is None
    monkeypatch.setattr(provenance, "library_version", lambda name: "0.0")
    assert lifecycle.find(SPEC) is None
    change(run.key, imported="2026-02-02")
    brought = lifecycle.find(SPEC)
    assert brought and (brought.key, brought.imported) == (run.key, "2026-02-02")
    with monkeypatch.context() as later:
        later.setattr(provenance, "METHOD_VERSION", provenance.METHOD_VERSION + 1)
        assert lifecycle.find(SPEC) is None
    (workspace / "pair" / "mdm" / "model.safetensors").write_bytes(b"trained for longer")
    assert lifecycle.find(SPEC) is None


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


@pytest.mark.usefixtures("workspace")
def test_progress_says_which_artifact_it_is_of() -> None:
    reports: list[str] = []
    specs = [replace(SPEC, model=model) for model in ("arm", "mdm")]
    arm, mdm = lifecycle.run_all(specs, lambda progress: reports.append(progress.stage), tiny_compute)
    assert (arm.spec, mdm.spec) == tuple(specs)
    steps = list(dict.fromkeys(report.partition(":")[0] for report in reports))
    assert steps[:3] == ["circuit of the ARM, 1 of 10", "circuit of the MDM, 2 of 10", "accuracy of the MDM, 3 of 10"]
    assert steps[-1] == "weights of the ARM, 10 of 10"
