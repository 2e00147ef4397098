"""Parts of circuits: computed once each, added in their order, kept by a kill, gone when the circuit is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from engine.errors import UserError
from engine.exchange import bundle
from engine.runs import cache_connection, evidence, execution, lifecycle, parts, provenance, stored
from engine.runs.execution import Compute, OnProgress
from engine.runs.jobs import JobQueue
from engine.runs.lifecycle import ignore
from engine.runs.provenance import resolve
from engine.runs.records import ArtifactTables, CircuitSums, EvidenceInputs, ExampleRange, Inputs
from engine.runs.schedule import Failures
from engine.runs.spec import RunSpec
from engine.runs.steps import circuit_steps
from engine.schema.artifacts import KINDS, PART, AnyKind
from tests import waiting
from tests.fakes import tiny_compute

MDM = RunSpec(n=20)
ARM = replace(MDM, model="arm")

pytestmark = pytest.mark.usefixtures("workspace")


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "EXAMPLES_AT_ONCE", 8)


class Computed:
    """`tiny_compute` that remembers what it was asked for, and is killed at one of the parts."""

    def __init__(self, killed_at: int = -1) -> None:
        self.asked: list[AnyKind | int] = []
        self.given: list[Inputs] = []
        self.killed_at = killed_at

    def __call__(self, spec: RunSpec, kind: AnyKind, on_progress: OnProgress, *inputs: Inputs) -> ArtifactTables:
        if inputs and isinstance(inputs[0], ExampleRange):
            if inputs[0].first == self.killed_at:
                raise KeyboardInterrupt
            self.asked.append(inputs[0].first)
        else:
            self.asked.append(kind)
        self.given += inputs
        return tiny_compute(spec, kind, on_progress, *inputs)


def compute(spec: RunSpec, by: Compute) -> None:
    execution.carry_out(evidence.plan_circuits([spec]), by, ignore)


def part_records() -> list[str]:
    return [record.key for record in cache_connection.records() if record.kind == PART]


def sums(**values: list[float]) -> dict[str, pa.Table]:
    made = tiny_compute(MDM, PART, ignore, ExampleRange(0, 8)).tables
    return {**made, "circuit_sums": parts.sums_table({k: np.array(v, np.float32) for k, v in values.items()})}


def test_parts_are_added_one_after_the_other() -> None:
    rng = np.random.default_rng(0)
    values = (rng.standard_normal((3, 1000)) * 10.0 ** rng.integers(-4, 4, (3, 1000))).astype(np.float32)
    made = [sums(b=row.tolist(), **{"a": [1.0]} if i else {}) for i, row in enumerate(values)]
    added = parts.arrays(parts.added(made).sums)
    assert list(added) == ["a", "b"] and added["a"].tolist() == [2.0]
    expected = np.float32(values[0] + values[1]) + values[2]
    assert added["b"].dtype == np.float32 and np.array_equal(added["b"], expected)
    backwards = parts.arrays(parts.added(made[::-1]).sums)["b"]
    assert not np.array_equal(added["b"], backwards)  # which is why the order is fixed
    np.testing.assert_allclose(backwards, expected, rtol=1e-3, atol=1e-3)


def test_every_part_has_a_key_and_a_record_of_its_own() -> None:
    run = resolve(MDM)
    assert run.parts == (range(8), range(8, 16), range(16, 20))
    keys = [parts.key_of(run, part) for part in run.parts]
    other = resolve(replace(MDM, seed=1))
    assert len({*keys, run.key, *(parts.key_of(other, part) for part in other.parts)}) == 7
    record = parts.record_of(run, run.parts[1], {}, "2026-01-01", 2.0)
    assert (record.key, record.kind, record.seconds) == (keys[1], PART, 2.0)
    assert record.made_with["spec"] == MDM.as_dict() and record.made_with["examples"] == [8, 16]
    assert stored.part_of(record) == run.key and resolve(replace(MDM, n=8)).parts == ()


def test_what_a_kill_leaves_is_not_computed_again_and_the_parts_go_in_the_end() -> None:
    killed = Computed(killed_at=16)
    with pytest.raises(KeyboardInterrupt):
        compute(MDM, killed)
    assert killed.asked == [0, 8] and len(part_records()) == 2
    resumed = Computed()
    compute(MDM, resumed)
    assert resumed.asked == [16, "circuit"] and part_records() == []
    given = resumed.given[-1]
    assert isinstance(given, CircuitSums) and given.examples["example"].to_pylist() == list(range(20))
    assert parts.arrays(given.sums)["block-00"].tolist() == [20.0]
    assert evidence.plan_circuits([MDM]) == []


def test_a_part_that_is_missing_is_named_and_computed_when_the_circuit_is_asked_for_again() -> None:
    run, steps = resolve(MDM), circuit_steps(resolve(MDM))
    execution.carry_out(steps[:3], tiny_compute, ignore)
    cache_connection.store().delete(steps[1].key)
    with pytest.raises(Failures, match="the part of its examples 9 to 16 is not in the cache any more"):
        execution.carry_out(steps[3:], tiny_compute, ignore)
    with pytest.raises(UserError, match="9 to 16"):
        parts.stored_sums(run)
    resumed = Computed()
    compute(MDM, resumed)
    assert resumed.asked == [8, "circuit"]


def test_parts_are_not_computed_for_a_circuit_that_another_process_stored_meanwhile() -> None:
    steps = circuit_steps(resolve(MDM))
    compute(MDM, tiny_compute)
    late = Computed()
    assert all(step.is_stored() for step in steps) and execution.not_stored(steps) == []
    execution.carry_out(steps, late, ignore)
    assert late.asked == [] and part_records() == []


def test_a_part_that_fails_takes_its_circuit_with_it_and_leaves_the_other_model() -> None:
    def refusing(spec: RunSpec, kind: AnyKind, on_progress: OnProgress, *inputs: Inputs) -> ArtifactTables:
        if spec.is_arm and inputs == (ExampleRange(8, 16),):
            raise UserError("There is no room.")
        return tiny_compute(spec, kind, on_progress, *inputs)

    with pytest.raises(Failures, match="There is no room"):
        execution.carry_out(execution.plan([resolve(ARM), resolve(MDM)]), refusing, ignore)
    assert lifecycle.find(ARM) is None and lifecycle.find(MDM) is not None


def test_nothing_lists_parts_and_deleting_takes_those_that_were_left_behind() -> None:
    compute(MDM, tiny_compute)
    run, step = resolve(MDM), circuit_steps(resolve(MDM))[0]
    for _ in range(2):  # as if the process had been killed before it deleted them
        execution.keep(step, tiny_compute(MDM, PART, ignore, ExampleRange(0, 8)), 1.0)
        assert [each.key for each in stored.list_runs()] == [run.key] and part_records() == [step.key]
        assert PART not in stored.sizes_of(stored.get(run.key)) and stored.sizes()[PART] > 0
        assert bundle.evidence_of([stored.get(run.key)]) == ([], 0)
        runs, freed = stored.prune(timedelta(days=1), keep_bundles=False)
        assert runs == 0 and freed > 0 and part_records() == []
    execution.keep(step, tiny_compute(MDM, PART, ignore, ExampleRange(0, 8)), 1.0)
    stored.delete(run.key)
    assert cache_connection.records() == []


def test_parts_of_a_circuit_that_is_not_there_stay_until_they_are_old() -> None:
    execution.carry_out(circuit_steps(resolve(MDM))[:2], tiny_compute, ignore)
    assert stored.prune(timedelta(days=1), keep_bundles=False) == (0, 0) and len(part_records()) == 2
    assert stored.prune(timedelta(0), keep_bundles=False)[1] > 0 and part_records() == []


def test_the_queue_computes_parts_as_well() -> None:
    queue = JobQueue("tests.fakes:tiny_compute")
    try:
        job = queue.submit([MDM], "many examples")
        waiting.until(lambda: not queue.job(job).is_open)
        view = queue.job(job)
    finally:
        queue.close()
    assert (view.state, view.error, view.n_steps) == ("done", None, len(resolve(MDM).parts) + len(KINDS))
    assert view.made == (MDM,) and part_records() == []


def test_evidence_is_computed_from_the_circuit_as_ever() -> None:
    computed = Computed()
    execution.carry_out(evidence.plan([MDM], ["audit"]), computed, ignore)
    assert computed.asked == [0, 8, 16, "circuit", "audit"]
    assert isinstance(computed.given[-1], EvidenceInputs)
