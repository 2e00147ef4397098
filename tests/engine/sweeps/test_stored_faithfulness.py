"""Faithfulness beside an overlap: of one size a row, of both circuits in both models, empty where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from engine.circuits.intervals import Estimate
from engine.runs import evidence, lifecycle
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.sweeps.stored_evidence import StoredEvidence
from engine.sweeps.stored_faithfulness import Faithfulness, StoredFaithfulness
from tests.engine.sweeps.stored_sweeps import N, small, store
from tests.fakes import tiny_compute

SPECS = {model: RunSpec(n=N, model=model) for model in ("arm", "mdm", "control", "step:100")}


def runs() -> dict[str, Run]:
    there = {model: lifecycle.find(spec) for model, spec in SPECS.items()}
    return {model: run for model, run in there.items() if run}


def row(run: Run, other: Run, circuit: str, size: int) -> dict[str, Any]:
    stored = evidence.find(run, "faithfulness", other)
    assert stored
    (only,) = evidence.table(stored, "circuit_runs", part="total", circuit=circuit, size=size).to_pylist()
    return dict(only)


def estimate(run: Run, other: Run, circuit: str, size: int) -> Estimate:
    values = row(run, other, circuit, size)
    return Estimate(values["f"], values["f_low"], values["f_high"])


@pytest.mark.usefixtures("workspace")
def test_numbers_are_those_of_the_stored_evidence() -> None:
    store(small().specs(), ["faithfulness"])
    there, stored = runs(), StoredFaithfulness(StoredEvidence())
    arm, mdm, step = there["arm"], there["mdm"], there["step:100"]
    for size, told in stored.at(arm, mdm, (10, 20)).items():
        assert told.size in {row["size"] for row in rows_of(arm, mdm)}
        assert abs(told.size - size) < size
        assert told.arm == estimate(arm, mdm, "own", told.size)
        assert told.other == estimate(mdm, arm, "own", told.size)
        assert told.arm_in_other == estimate(mdm, arm, "other", told.size)
        assert told.other_in_arm == estimate(arm, mdm, "other", told.size)
    told = stored.at(arm, step, (20,))[20]
    assert told.size and told.other_in_arm is None  # the ARM was examined beside the MDM alone
    assert told.arm == estimate(arm, mdm, "own", told.size)
    assert told.arm_in_other == estimate(step, arm, "other", told.size)


def rows_of(run: Run, other: Run) -> list[dict[str, Any]]:
    stored = evidence.find(run, "faithfulness", other)
    assert stored
    return [dict(row) for row in evidence.table(stored, "circuit_runs").to_pylist()]


@pytest.mark.usefixtures("workspace")
def test_a_size_that_was_measured_by_itself_counts_too() -> None:
    store(small().specs(), ["faithfulness"])
    arm, mdm = runs()["arm"], runs()["mdm"]
    k = 13
    assert k not in {row["size"] for row in rows_of(arm, mdm)}
    before = StoredFaithfulness(StoredEvidence())
    assert before.at(arm, mdm, (k,))[k].size != k
    evidence.compute([SPECS["arm"], SPECS["mdm"]], ["faithfulness_at"], size=k, compute=tiny_compute)
    after = StoredFaithfulness(StoredEvidence())
    told = after.at(arm, mdm, (k,))[k]
    assert told.size == k and told.arm and told.arm_in_other
    assert after.at(arm, mdm, (20,)) == before.at(arm, mdm, (20,))  # other rows stay as they are


@pytest.mark.usefixtures("workspace")
def test_what_is_not_computed_is_empty() -> None:
    store(small().specs())
    arm, mdm = runs()["arm"], runs()["mdm"]
    assert StoredFaithfulness(StoredEvidence()).at(arm, mdm, (5,)) == {5: Faithfulness()}
    evidence.compute([SPECS["mdm"]], ["faithfulness"], compute=tiny_compute)
    told = StoredFaithfulness(StoredEvidence()).at(arm, mdm, (5,))[5]
    assert told.other and told.arm_in_other and told.arm is None and told.other_in_arm is None


@pytest.mark.usefixtures("workspace")
def test_more_evidence_never_empties_a_row() -> None:
    store(small().specs())
    arm, mdm = runs()["arm"], runs()["mdm"]
    evidence.compute([SPECS["mdm"]], ["faithfulness"], compute=tiny_compute)
    before = StoredFaithfulness(StoredEvidence()).at(arm, mdm, (13, 20))
    evidence.compute([SPECS["arm"]], ["faithfulness_at"], size=13, compute=tiny_compute)
    after = StoredFaithfulness(StoredEvidence()).at(arm, mdm, (13, 20))
    assert after[20] == before[20] and after[20].other
    assert after[13].size is not None and (after[13].other or after[13].arm)
