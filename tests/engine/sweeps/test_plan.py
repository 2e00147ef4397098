"""The plan of a sweep: each artifact once, shared ones with their first run, what is stored left out, refusals kept."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from engine.runs.lifecycle import run_all
from engine.runs.spec import RunSpec
from engine.schema.artifacts import KINDS
from tests.engine.sweeps.sweeping import all_of, planned
from tests.fakes import tiny_compute

pytestmark = pytest.mark.usefixtures("workspace")


def test_a_sweep_leaves_what_run_leaves() -> None:
    steps = planned(models=["arm", "mdm"]).steps
    assert {step.key for step in steps} == {
        step.run.keys[kind] for step in steps if step.kind == "circuit" for kind in KINDS
    }
    assert len(steps) == 10


def test_shared_artifacts_belong_to_the_first_run_that_has_them() -> None:
    everything = all_of(models=["mdm"], tasks=["ioi", "sudoku"], seeds=[0, 1])
    assert [(each.spec.task, each.spec.seed, each.kinds) for each in everything] == [
        ("ioi", 0, KINDS),
        ("ioi", 1, ("circuit", "lens", "activity")),
        ("sudoku", 0, ("circuit", "ability", "lens", "activity")),
        ("sudoku", 1, ("circuit", "lens", "activity")),
    ]
    keys = Counter(step.key for step in planned(models=["mdm"], tasks=["ioi", "sudoku"], seeds=[0, 1]).steps)
    assert len(keys) == 5 + 3 + 4 + 3 and set(keys.values()) == {1}


def test_what_is_stored_is_left_out() -> None:
    run_all([RunSpec(n=4)], compute=tiny_compute)
    steps = planned(models=["arm", "mdm"]).steps
    assert {step.spec.model for step in steps} == {"arm"} and len(steps) == 5


def test_a_circuit_of_many_examples_comes_in_parts() -> None:
    steps = planned(n=300, models=["mdm"], artifacts=["circuit"]).steps
    assert [step.title for step in steps] == [
        "circuit of the MDM, examples 1 to 256 of 300",
        "circuit of the MDM, examples 257 to 300 of 300",
        "circuit of the MDM",
    ]


def test_only_the_artifacts_that_are_asked_for() -> None:
    assert [step.kind for step in planned(models=["mdm"], artifacts=["ability"]).steps] == ["ability"]


def test_evidence_brings_the_circuits_that_it_needs() -> None:
    steps = planned(models=["mdm"], artifacts=["ability"], evidence=["audit", "faithfulness"]).steps
    assert [(step.spec.model, step.kind) for step in steps] == [
        ("mdm", "ability"), ("mdm", "circuit"), ("arm", "circuit"), ("mdm", "faithfulness"), ("mdm", "audit"),
    ]  # fmt: skip
    order = [step.key for step in steps]
    assert all(order.index(key) < order.index(step.key) for step in steps for key in step.needs)


def test_an_arm_is_examined_beside_the_mdm_of_every_number_of_steps() -> None:
    steps = planned(models=["arm"], artifacts=["circuit"], evidence=["knockouts"], denoising_steps=[0, 1]).steps
    assert sorted(step.spec.denoising_steps for step in steps if step.spec.model == "mdm") == [0, 1]
    assert len([step for step in steps if step.kind == "knockouts"]) == 2


def test_what_cannot_be_looked_up_keeps_nothing_else_from_being_computed(workspace: Path) -> None:
    shutil.rmtree(workspace / "pair" / "mdm")
    plan = planned(models=["arm", "mdm"])
    assert {step.spec.model for step in plan.steps} == {"arm"}
    (refused,) = plan.refused
    assert refused.spec.model == "mdm" and "There is no model at" in refused.reason
    assert str(refused).startswith(
        "circuit, accuracy, logit lens, activations, weights of the MDM, embedded, ioi, eap-ig"
    )


def test_a_step_is_described_in_a_line_that_tells_it_from_all_others() -> None:
    steps = planned(
        models=["arm", "mdm"], methods=["eap", "eap-ig"], orders=["confidence", "random"], seeds=[0, 1]
    ).steps
    circuits = [step.description for step in steps if step.kind == "circuit"]
    assert len(set(circuits)) == len(circuits) == 16
    assert circuits[0].startswith("circuit of the ARM, ")
    assert circuits[0].endswith("eap, logit_diff, n = 4, seed 0, float32")
