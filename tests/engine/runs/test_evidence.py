"""Evidence is kept beside its circuits: computed once, here or in the worker, listed, and deleted with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from engine.errors import UserError
from engine.runs import cache_connection, evidence, execution, lifecycle, schedule, stored
from engine.runs.jobs import JobQueue
from engine.runs.provenance import Resolved, WeightsNotHere
from engine.runs.records import ArtifactTables, Run
from engine.runs.spec import RunSpec
from engine.runs.steps import Step
from engine.schema.artifacts import EVIDENCE_KINDS, AnyKind, EvidenceKind, tables_in
from engine.schema.evidence_tables import EVIDENCE_TABLES
from tests.fakes import tiny_compute
from tests.waiting import until

ARM, MDM = RunSpec(model="arm", n=4), RunSpec(model="mdm", n=4)


def computed(spec: RunSpec, *kinds: EvidenceKind, size: int | None = None) -> list[Step]:
    steps = evidence.plan([spec], kinds, size)
    execution.carry_out(steps, tiny_compute, lambda progress: None)
    return steps


def runs() -> tuple[Run, Run]:
    arm, mdm = lifecycle.find(ARM), lifecycle.find(MDM)
    assert arm and mdm
    return arm, mdm


def test_the_circuits_come_first_and_nothing_is_computed_twice() -> None:
    steps = computed(MDM, "faithfulness", "audit")
    assert [(step.kind, step.spec.model) for step in steps] == [
        ("circuit", "mdm"), ("circuit", "arm"), ("faithfulness", "mdm"), ("audit", "mdm"),
    ]  # fmt: skip
    assert evidence.plan([MDM], ["faithfulness", "audit"]) == []
    assert [step.title for step in evidence.plan([ARM], ["faithfulness_at"], 7)] == [
        "faithfulness at one size of the ARM, K = 7"
    ]
    assert [step.kind for step in evidence.plan([replace(ARM, seed=1)], ["audit"])] == ["circuit", "audit"]


def test_an_arm_is_compared_with_the_mdm_of_the_denoising_steps_that_are_asked_for() -> None:
    two = replace(MDM, denoising_steps=2)
    assert evidence.other_of(ARM, 2) == two and evidence.other_of(two, 2) == replace(two, model="arm") == ARM
    evidence.compute([ARM, two], ["knockouts"], compute=tiny_compute, denoising_steps=2)
    arm, mdm = lifecycle.find(ARM), lifecycle.find(two)
    assert arm and mdm and lifecycle.find(MDM) is None
    there = evidence.find(arm, "knockouts", mdm)
    assert there and there.record.made_with["other_spec"] == two.as_dict() and evidence.find(mdm, "knockouts", arm)
    assert evidence.plan([ARM, two], ["knockouts"], denoising_steps=2) == []
    assert [step.kind for step in evidence.plan([ARM], ["knockouts"])] == ["circuit", "knockouts"]


def test_faithfulness_is_listed_over_the_grid_first_then_by_size_and_beside_one_model_only() -> None:
    for size in (30, 7):
        computed(ARM, "faithfulness_at", size=size)
    arm, mdm = runs()
    sizes = [(each.kind, each.size) for each in evidence.faithfulness_of(arm, mdm)]
    assert sizes == [("faithfulness_at", 7), ("faithfulness_at", 30)]
    computed(ARM, "faithfulness", "knockouts")
    there = evidence.faithfulness_of(arm, mdm)
    assert [(each.kind, each.size) for each in there] == [("faithfulness", None), *sizes]
    assert there[:2] == [evidence.find(arm, "faithfulness", mdm), evidence.find(arm, "faithfulness_at", mdm, 7)]
    assert evidence.faithfulness_of(mdm, arm) == []
    lifecycle.run(replace(MDM, denoising_steps=2), compute=tiny_compute)
    other = lifecycle.find(replace(MDM, denoising_steps=2))
    assert other and evidence.faithfulness_of(arm, other) == []


@pytest.mark.parametrize("kind", EVIDENCE_KINDS)
def test_what_is_stored_is_read_by_its_circuits(kind: EvidenceKind) -> None:
    size = 7 if kind == "faithfulness_at" else None
    computed(ARM, kind, size=size)
    if kind == "audit":
        lifecycle.run(MDM, compute=tiny_compute)
    arm, mdm = runs()
    there = evidence.find(arm, kind, mdm, size)
    assert there and there.kind == kind
    assert evidence.find(mdm, kind, arm, size) is None
    for name in tables_in(kind):
        table = evidence.table(there, name)
        assert table.num_rows and table.column_names == [column.name for column in EVIDENCE_TABLES[name].columns]
    with pytest.raises(UserError, match="no table"):
        evidence.table(there, "edges")
    with pytest.raises(UserError, match="no column 'sizes'"):
        evidence.table(there, tables_in(kind)[0], sizes=3)
    if kind == "faithfulness_at":
        assert evidence.find(arm, kind, mdm, 8) is None
        assert set(evidence.table(there, "circuit_runs")["size"].to_pylist()) == {7}


def test_rows_are_those_asked_for_in_the_table_s_order() -> None:
    computed(ARM, "faithfulness")
    there = evidence.find(runs()[0], "faithfulness", runs()[1])
    assert there
    rows = evidence.table(there, "circuit_runs", circuit="own", part="total").to_pylist()
    assert rows and {row["circuit"] for row in rows} == {"own"}
    assert [row["size"] for row in rows] == sorted(row["size"] for row in rows)


def test_evidence_goes_with_either_of_its_circuits() -> None:
    computed(ARM, "faithfulness", "audit")
    arm, mdm = runs()
    assert {"faithfulness", "audit"} < stored.sizes_of(arm).keys() and {"faithfulness", "audit"} < stored.sizes().keys()
    assert "faithfulness" not in stored.sizes_of(mdm)
    assert stored.delete(mdm.key)
    assert evidence.find(arm, "faithfulness", mdm) is None and evidence.find(arm, "audit")
    stored.prune(timedelta(0), keep_bundles=False)
    assert not stored.sizes()


def test_a_young_circuit_keeps_its_evidence() -> None:
    computed(ARM, "audit")
    assert stored.prune(timedelta(days=1), keep_bundles=False) == (0, 0)
    assert evidence.find(lifecycle.find(ARM), "audit")  # type: ignore[arg-type]  # it is there


def test_evidence_whose_circuit_went_while_it_was_computed_is_pruned() -> None:
    computed(ARM, "audit")
    arm = lifecycle.find(ARM)
    assert arm
    kept = next(record for record in cache_connection.records() if record.kind == "audit")
    tables = {"audited_edges": evidence.table(evidence.Evidence(kept), "audited_edges")}
    stored.delete(arm.key)
    cache_connection.store().write(kept, tables)
    assert stored.prune(timedelta(days=1), keep_bundles=False) == (0, 0) and "audit" in stored.sizes()
    runs_gone, freed = stored.prune(timedelta(0), keep_bundles=False)
    assert runs_gone == 0 and freed and "audit" not in stored.sizes()


def test_evidence_of_a_model_that_is_read_otherwise_by_now_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    lifecycle.run_all([ARM, MDM], compute=tiny_compute)
    (step,) = evidence.plan([MDM], ["audit"])
    assert step.is_current()
    shifted = replace(step.run.pair, shifted=not step.run.pair.shifted)
    monkeypatch.setattr("engine.runs.provenance.pair_named", lambda name: shifted)
    assert dict(evidence.resolve(MDM).weights) == dict(step.run.weights) and not step.is_current()


def test_without_its_circuit_evidence_is_not_computed() -> None:
    lifecycle.run(ARM, compute=tiny_compute)
    steps = evidence.plan([ARM], ["faithfulness"])
    without = [step for step in steps if step.kind != "circuit"]
    with pytest.raises(schedule.Failures, match="no run with the key"):
        execution.carry_out(without, tiny_compute, lambda progress: None)


def test_the_worker_computes_the_same() -> None:
    computed(ARM, "faithfulness")
    here = evidence.find(runs()[0], "faithfulness", runs()[1])
    assert here
    expected = evidence.table(here, "circuit_runs")
    stored.delete(runs()[1].key)
    queue = JobQueue("tests.fakes:tiny_compute")
    try:
        queue.submit([ARM, MDM], "evidence", lambda: evidence.plan([ARM], ["faithfulness", "audit"]))
        until(lambda: not queue.jobs()[0].is_open, 60)
        assert (queue.jobs()[0].state, queue.jobs()[0].n_steps) == ("done", 3)
    finally:
        queue.close()
    there = evidence.find(runs()[0], "faithfulness", runs()[1])
    assert there and evidence.table(there, "circuit_runs").equals(expected)


@pytest.mark.usefixtures("workspace")
def test_stored_evidence_needs_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence.compute([ARM], ["faithfulness"], compute=tiny_compute)

    def gone(spec: RunSpec) -> Resolved:
        raise WeightsNotHere("The weights are not here.")

    for module in (evidence, lifecycle):
        monkeypatch.setattr(module, "resolve", gone)
    evidence.compute([ARM], ["faithfulness"])
    evidence.compute_circuits([ARM, MDM])
    with pytest.raises(WeightsNotHere):
        evidence.compute([ARM], ["faithfulness", "audit"])


@pytest.mark.usefixtures("workspace")
def test_circuits_alone_are_computed_once() -> None:
    made = []

    def counted(spec: RunSpec, kind: AnyKind, on_progress: execution.OnProgress) -> ArtifactTables:
        made.append((spec, kind))
        return tiny_compute(spec, kind, on_progress)

    for _ in range(2):
        evidence.compute_circuits([ARM, MDM], compute=counted)
    assert made == [(ARM, "circuit"), (MDM, "circuit")]
