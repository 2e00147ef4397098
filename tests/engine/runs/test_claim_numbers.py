"""What claims are judged by: the numbers of the functions that pages use, from stored runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.circuits import along_k, intervals
from engine.circuits.intervals import Scored
from engine.runs import lifecycle, read
from engine.runs.claim_numbers import TaskNumbers, runs_of_task
from engine.runs.records import Accuracy
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute

SPEC = RunSpec(n=16)
K = 9


@pytest.mark.usefixtures("workspace")
def test_missing_runs_are_named_and_the_control_is_not_waited_for() -> None:
    nothing = runs_of_task(SPEC, "sudoku")
    assert [(spec.model, spec.task) for spec in nothing.missing] == [("arm", "sudoku"), ("mdm", "sudoku")]
    lifecycle.run(replace(SPEC, task="sudoku", model="arm"), compute=tiny_compute)
    assert [spec.model for spec in runs_of_task(SPEC, "sudoku").missing] == ["mdm"]
    lifecycle.run(replace(SPEC, task="sudoku"), compute=tiny_compute)
    assert runs_of_task(SPEC, "sudoku").missing == ()


@pytest.mark.usefixtures("workspace")
def test_a_model_that_cannot_do_the_task_is_named() -> None:
    runs = runs_of_task(SPEC, "ioi")
    run = lifecycle.run(SPEC, compute=tiny_compute)
    weak = replace(run, accuracy=Accuracy(0.1, 200))
    assert replace(runs, stored={"arm": run, "mdm": run, "control": weak}).inability() is None
    assert "step-0 control cannot do" in str(replace(runs, stored={"control": weak}).control_inability())
    assert [replace(runs, stored=there).control_is_unmeasured for there in (
        {"arm": run}, {"control": weak}, {"control": replace(run, accuracy=None)},
    )] == [False, False, True]  # fmt: skip
    reason = replace(runs, stored={"arm": run, "mdm": weak}).inability()
    assert reason is not None and reason.startswith("The MDM cannot do Indirect object identification. It solves 10%")


@pytest.mark.usefixtures("workspace")
def test_numbers_are_those_of_the_stored_runs() -> None:
    arm, mdm = (lifecycle.run(replace(SPEC, model=model), compute=tiny_compute) for model in ("arm", "mdm"))
    numbers = TaskNumbers(runs_of_task(SPEC, "ioi"), K)
    tops = [read.edge_table(run.key, limit=K) for run in (arm, mdm)]
    assert numbers.overlap.value == read.overlap(arm.key, mdm.key, K)
    assert numbers.component_overlap == along_k.core_overlap(arm.meta.graph, *tops)
    sides = [Scored(top.edge, top.score, read.edge_blocks(run.key)) for top, run in zip(tops, (arm, mdm), strict=True)]
    assert numbers.specialisation == intervals.specialisation(arm.meta.graph, *sides, SPEC.n)
    assert numbers.overlap_of_control is numbers.specialisation_of_control is numbers.neurons[2] is None
    lens = numbers.lens_entropy()
    assert lens is not None and lens.low < lens.value < lens.high
    means = [read.table(run.key, "lens_layers")["node_entropy"].to_numpy() for run in (arm, mdm)]
    known = [np.nanmean(values) for values in means]
    assert lens.value == pytest.approx(known[1] - known[0], rel=1e-5)
    assert numbers.limit is numbers.limit_of_scores is None
    lifecycle.run(replace(SPEC, model="control"), compute=tiny_compute)
    with_control = TaskNumbers(runs_of_task(SPEC, "ioi"), 10**6)
    assert with_control.k == arm.meta.graph.n_edges
    assert with_control.overlap_of_control.value == 1.0  # of all edges
    assert with_control.neurons[2] is not None


@pytest.mark.usefixtures("workspace")
def test_limits_are_named_where_not_all_edges_have_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [lifecycle.run(replace(SPEC, model=model), compute=tiny_compute) for model in ("arm", "mdm")]
    blocks = read.edge_blocks(runs[0].key)
    first = replace(blocks, edge=blocks.edge[:40], shares=blocks.shares[:40])
    monkeypatch.setattr(read, "edge_blocks", lambda key: first)
    limits = {k: TaskNumbers(runs_of_task(SPEC, "ioi"), k) for k in (10, 11, 40, 41)}
    assert [numbers.limit is not None for numbers in limits.values()] == [False, True, True, True]
    assert [numbers.limit_of_scores is not None for numbers in limits.values()] == [False, False, False, True]
    assert "the 40 strongest edges are scored anew" in str(limits[41].limit_of_scores)
