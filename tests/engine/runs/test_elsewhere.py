"""What other processes compute: theirs alone, by process, the longest first."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cache.owners import machine
from engine.errors import UserError
from engine.runs import elsewhere
from engine.runs.cache_connection import store
from engine.runs.elsewhere import by_process, computed_elsewhere, stored_since
from engine.runs.execution import carry_out, plan
from engine.runs.lifecycle import ignore
from engine.runs.provenance import resolve
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute
from tests.held_leases import holding

pytestmark = pytest.mark.usefixtures("workspace")


def key(number: int) -> str:
    return f"{number:020x}"


def write(number: int, **fields: object) -> None:
    store().lease_of(key(number)).write_text(json.dumps(fields))


def test_leases_of_other_living_processes_are_listed_by_process() -> None:
    assert computed_elsewhere() == []
    with holding(store().files, {key(1): "circuit", key(2): "logit lens"}, "GPU 1", began=50.0) as first:
        with holding(store().files, {key(3): "<b>knockouts</b>"}, began=20.0) as second:
            write(4, pid=os.getpid(), machine=machine(), since=1.0)  # our own
            write(5)  # just made
            listed = computed_elsewhere()
            assert {(lease.key, lease.holder.what, lease.holder.worker) for lease in listed} == {
                (key(1), "circuit", "GPU 1"), (key(2), "logit lens", "GPU 1"), (key(3), "<b>knockouts</b>", ""),
            }  # fmt: skip
            since = [lease.holder.since for lease in listed]
            assert since == sorted(since) and time.time() - 60 < since[0] <= time.time()
            processes = by_process(listed)
            assert [(process.pid, process.began, process.is_here) for process in processes] == [
                (second.pid, 20.0, True), (first.pid, 50.0, True),
            ]  # fmt: skip
            assert [len(process.computing) for process in processes] == [1, 2]
        assert [process.pid for process in by_process(computed_elsewhere())] == [first.pid]
    assert computed_elsewhere() == []


def test_processes_of_one_number_on_two_machines_are_two() -> None:
    for number, name in enumerate(("node_1_ab", "node_2_cd", "node_1_ab")):
        write(number, pid=os.getpid(), machine=name, host=name[:6], since=100.0 - number, began=float(number))
    processes = by_process(computed_elsewhere())
    assert [(process.host, process.is_here, process.began) for process in processes] == [
        ("node_1", False, 0.0), ("node_2", False, 1.0),
    ]  # fmt: skip
    assert [lease.key for lease in processes[0].computing] == [key(2), key(0)]  # the longest first


def test_what_was_stored_since_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.time() - 1
    assert stored_since(0.0) == 0
    steps = plan([resolve(RunSpec(n=4))])
    carry_out(steps, tiny_compute, ignore)
    assert stored_since(before) == len(steps) == 5 and stored_since(time.time() + 60) == 0
    newest, *others = store().records()
    old = datetime.fromtimestamp(before - 60, UTC).isoformat()
    changed = [replace(newest, created=old), replace(others[0], imported="2026-01-01"), replace(others[1], created="?")]
    monkeypatch.setattr(elsewhere, "records", lambda: [*changed, *others[2:]])
    assert stored_since(before) == 2 and stored_since(before - 61) == 3


def test_a_folder_that_cannot_be_read_is_a_sentence(workspace: Path) -> None:
    opened = store()
    opened.files.rename(workspace / "moved")
    with pytest.raises(UserError, match="cannot be read"):
        computed_elsewhere()


def test_a_step_describes_what_it_computes() -> None:
    run = resolve(RunSpec(n=4, seed=3, denoising_steps=2, template=1))
    by_kind = {step.kind: step.description for step in plan([run])}
    named = f"{run.pair.title}, {run.task.title}"
    assert by_kind == {
        "circuit": f"circuit of the MDM, {named}, eap-ig with 5 points, logit_diff, n = 4, seed 3, float32, "
        "denoising steps 2, template 1",
        "ability": f"accuracy of the MDM, {named}, float32, template 1",
        "lens": f"logit lens of the MDM, {named}, n = 4, seed 3, float32, denoising steps 2, template 1",
        "activity": f"activations of the MDM, {named}, n = 4, seed 3, float32, denoising steps 2, template 1",
        "weights": f"weights of the MDM, {run.pair.title}, float32",
    }
