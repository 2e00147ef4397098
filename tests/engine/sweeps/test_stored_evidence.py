"""Evidence by the circuits that it is about: the newest of each, and what tells that there is more of it."""

from __future__ import annotations

import pytest

from engine.runs import evidence, lifecycle
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.sweeps.stored_evidence import StoredEvidence
from tests.engine.sweeps.stored_sweeps import N, small, store
from tests.fakes import tiny_compute


def run(model: str) -> Run:
    there = lifecycle.find(RunSpec(n=N, model=model))
    assert there
    return there


@pytest.mark.usefixtures("workspace")
def test_each_is_that_which_a_single_look_up_finds() -> None:
    store(small().specs(), ["faithfulness", "knockouts", "audit"])
    stored = StoredEvidence()
    arm, mdm, step = run("arm"), run("mdm"), run("step:100")
    for examined, compared in ((arm, mdm), (mdm, arm), (step, arm)):
        for kind in ("faithfulness", "knockouts"):
            there = evidence.find(examined, kind, compared)
            assert there and stored.of(kind, examined, compared) == there
        assert stored.beside_any("audit", examined) == evidence.find(examined, "audit")
    assert stored.of("knockouts", arm, step) is None  # the ARM was examined beside the MDM alone
    assert stored.beside_any("knockouts", arm) == evidence.find(arm, "knockouts", mdm)


@pytest.mark.usefixtures("workspace")
def test_single_sizes_come_after_the_grid_and_change_the_keys() -> None:
    store(small().specs())
    arm, mdm = run("arm"), run("mdm")
    assert StoredEvidence().faithfulness(arm, mdm) == [] and StoredEvidence().keys(arm) == ()
    for size in (13, 7):
        evidence.compute([arm.spec], ["faithfulness_at"], size=size, compute=tiny_compute)
    alone = StoredEvidence()
    sizes = [there.record.made_with["size"] for there in alone.faithfulness(arm, mdm)]
    assert sorted(sizes) == [7, 13] and alone.of("faithfulness", arm, mdm) is None
    store(small().specs(), ["faithfulness"])
    both = StoredEvidence()
    assert [there.kind for there in both.faithfulness(arm, mdm)] == ["faithfulness", *["faithfulness_at"] * 2]
    assert set(both.keys(arm)) > set(alone.keys(arm)) > set()
    assert both.faithfulness(mdm, arm) == [evidence.find(mdm, "faithfulness", arm)]
