"""Steps: under which key an artifact is stored, what has to be there before, and what is kept about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.runs import evidence, execution, parts, provenance, stored
from engine.runs.lifecycle import ignore
from engine.runs.provenance import resolve
from engine.runs.records import ExampleRange
from engine.runs.spec import RunSpec
from engine.runs.steps import PartStep, Step, circuit_steps
from engine.schema.artifacts import KINDS, PART
from tests.fakes import tiny_compute

MDM = RunSpec(n=20)
ARM = replace(MDM, model="arm")

pytestmark = pytest.mark.usefixtures("workspace")


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "EXAMPLES_AT_ONCE", 8)


def test_the_plan_has_the_parts_before_the_circuit_that_needs_them() -> None:
    steps = execution.plan([resolve(ARM), resolve(MDM)])
    begin = [(step.spec.model, step.kind) for step in steps[:8]]
    assert begin == [(model, kind) for model in ("arm", "mdm") for kind in (PART, PART, PART, "circuit")]
    assert [step.kind for step in steps[8:]] == [kind for kind in KINDS[1:] for _ in (0,)] * 2
    assert steps[3].needs == tuple(step.key for step in steps[:3]) and not steps[0].needs
    assert steps[1].title == "circuit of the ARM, examples 9 to 16 of 20"
    with_evidence = [step.kind for step in evidence.plan([MDM], ["audit"])]
    assert with_evidence == [PART, PART, PART, "circuit", "audit"]


def test_a_circuit_of_few_examples_has_no_parts() -> None:
    (step,) = circuit_steps(resolve(replace(MDM, n=8)))
    assert type(step) is Step and step.needs == () and step.inputs() is None


def test_the_time_of_a_circuit_is_that_of_its_parts_too() -> None:
    run = resolve(MDM)
    made = tiny_compute(MDM, PART, ignore, ExampleRange(0, 8))
    for part, seconds in zip(run.parts, (1.0, 2.0, 4.0), strict=True):
        execution.keep(PartStep(run, PART, part), made, seconds)
    assert parts.stored_seconds(run) == 7.0
    execution.keep(Step(run, "circuit"), tiny_compute(MDM, "circuit", ignore), 8.0)
    assert stored.get(run.key).seconds == 15.0 and parts.stored_seconds(run) == 0.0


def test_a_step_is_stored_under_the_key_of_its_record() -> None:
    run = resolve(MDM)
    for step in (*circuit_steps(run), *(Step(run, kind) for kind in KINDS)):
        assert step.record({}, "2026-01-01", 1.0).key == step.key and not step.is_stored()
        assert step.is_current() and step.spec == MDM
    assert Step(run, "lens").inputs() is None and Step(run, "lens").needs == ()
    assert [step.inputs() for step in circuit_steps(run)[:3]] == [
        ExampleRange(0, 8), ExampleRange(8, 16), ExampleRange(16, 20)
    ]  # fmt: skip


def test_a_part_is_done_when_it_or_its_circuit_is_stored() -> None:
    first, second, _, circuit = circuit_steps(resolve(MDM))
    execution.keep(first, tiny_compute(MDM, PART, ignore, ExampleRange(0, 8)), 1.0)
    assert first.is_stored() and not second.is_stored()
    execution.keep(circuit, tiny_compute(MDM, "circuit", ignore), 1.0)
    assert first.is_stored() and second.is_stored() and circuit.is_stored()


def test_weights_that_were_changed_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = circuit_steps(resolve(MDM))
    monkeypatch.setattr(provenance, "METHOD_VERSION", provenance.METHOD_VERSION + 1)
    assert not any(step.is_current() for step in steps)
