"""Execution: circuits first, each artifact once, what is finished is kept, other processes are left to their work."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from cache import leases
from cache.keys import hash_of
from engine.errors import Cancelled, UserError
from engine.runs import evidence, execution, lifecycle
from engine.runs.cache_connection import store
from engine.runs.execution import carry_out, elsewhere, keep, plan
from engine.runs.lifecycle import ignore
from engine.runs.provenance import resolve
from engine.runs.records import ArtifactTables, EvidenceInputs, Progress
from engine.runs.schedule import Failures
from engine.runs.spec import RunSpec
from engine.runs.steps import Step
from engine.schema.artifacts import KINDS, AnyKind, Kind
from tests.fakes import tiny_compute

pytestmark = pytest.mark.usefixtures("workspace")

MDM = RunSpec(n=4)
ARM = replace(MDM, model="arm")
COMPANIONS = KINDS[1:]
ROOT = Path(__file__).resolve().parents[3]


class Computed:
    """`tiny_compute` that remembers what it was asked for, and refuses some kinds."""

    def __init__(self, *refused: tuple[str, Kind]) -> None:
        self.asked: list[tuple[str, AnyKind]] = []
        self.refused = refused

    def __call__(
        self, spec: RunSpec, kind: AnyKind, on_progress: execution.OnProgress, *inputs: EvidenceInputs
    ) -> ArtifactTables:
        self.asked.append((spec.model, kind))
        on_progress(Progress("Scoring edges", 1, 2))
        if (spec.model, kind) in self.refused:
            raise UserError(f"The {kind} of {spec.model} is refused.")
        return tiny_compute(spec, kind, on_progress, *inputs)


def planned(*specs: RunSpec) -> list[Step]:
    return plan([resolve(spec) for spec in specs])


def named(steps: list[Step]) -> list[tuple[str, Kind]]:
    return [(step.spec.model, step.kind) for step in steps]


def is_stored(spec: RunSpec, kind: Kind) -> bool:
    return store().record(resolve(spec).keys[kind]) is not None


def stored(*specs: RunSpec) -> set[tuple[str, Kind]]:
    return {(spec.model, kind) for spec in specs for kind in KINDS if is_stored(spec, kind)}


def test_circuits_come_first_and_models_are_loaded_as_seldom_as_can_be() -> None:
    steps = planned(ARM, MDM)
    expected = [("arm", "circuit"), ("mdm", "circuit")]
    expected += [("mdm", kind) for kind in COMPANIONS] + [("arm", kind) for kind in COMPANIONS]
    assert named(steps) == expected
    models = [model for model, _ in named(steps)]
    assert sum(a != b for a, b in pairwise(models)) == 2


def test_further_models_are_computed_whole_one_after_the_other() -> None:
    control, step = replace(MDM, model="control"), replace(MDM, model="step:100")
    steps = named(planned(ARM, MDM, control, step))
    assert steps[10:] == [(model, kind) for model in ("control", "step:100") for kind in KINDS]
    assert named(planned(MDM)) == [("mdm", kind) for kind in KINDS]
    assert plan([]) == []


def test_each_artifact_is_planned_once_and_what_is_stored_not_at_all() -> None:
    again = replace(MDM, seed=1)
    steps = planned(MDM, again)
    assert len({step.key for step in steps}) == len(steps) == 8  # `ability` and `weights` are those of both
    carry_out(planned(MDM), Computed(), ignore)
    assert [step.kind for step in planned(MDM, again)] == ["circuit", "lens", "activity"]
    assert planned(MDM) == []


def test_what_is_stored_says_what_it_was_made_with() -> None:
    carry_out(planned(MDM), Computed(), ignore)
    keys = resolve(MDM).keys
    for kind in KINDS:
        record = store().record(keys[kind])
        assert record and record.kind == kind and hash_of(record.made_with) == keys[kind] and record.seconds >= 0
        assert record.companions == ({other: keys[other] for other in COMPANIONS} if kind == "circuit" else {})
        assert record.imported is None and record.size == store().file_of(keys[kind]).stat().st_size


def test_each_is_stored_as_soon_as_it_is_there() -> None:
    events: list[str] = []

    def on_step(step: Step) -> None:
        events.append(step.kind)
        lease = leases.holder(store().lease_of(step.key))
        assert lease and lease.pid == os.getpid() and elsewhere(step.key) is None

    def on_stored(step: Step, seconds: float) -> None:
        events.append("stored")
        assert is_stored(MDM, step.kind) and seconds >= 0

    carry_out(planned(MDM), Computed(), ignore, on_step, on_stored)
    assert events == [event for kind in KINDS for event in (kind, "stored")]
    assert not list(store().files.glob("*.lease"))


@pytest.mark.parametrize("error", [Cancelled, KeyboardInterrupt, RuntimeError])
def test_what_was_finished_is_kept_whatever_ends_it(error: type[BaseException]) -> None:
    compute = Computed()

    def stop(progress: Progress) -> None:
        if compute.asked[-1] == ("mdm", "lens"):
            raise error

    with pytest.raises(error):
        carry_out(planned(ARM, MDM), compute, stop)
    assert stored(ARM, MDM) == {("arm", "circuit"), ("mdm", "circuit"), ("mdm", "ability")}
    assert not list(store().files.glob("*.lease")) and not list(store().partial.iterdir())
    rest = Computed()
    carry_out(planned(ARM, MDM), rest, ignore)
    assert len(rest.asked) == 7 and len(stored(ARM, MDM)) == 10


def test_an_artifact_that_fails_leaves_the_others() -> None:
    compute = Computed(("mdm", "lens"), ("arm", "ability"))
    with pytest.raises(Failures, match="The lens of mdm is refused") as raised:
        carry_out(planned(ARM, MDM), compute, ignore)
    assert [(failed.step.spec, failed.step.kind, failed.reason) for failed in raised.value.failures] == [
        (MDM, "lens", "The lens of mdm is refused."),
        (ARM, "ability", "The ability of arm is refused."),
    ]
    assert len(compute.asked) == 10 and len(stored(ARM, MDM)) == 8
    with pytest.raises(Failures):
        lifecycle.run_all([ARM, MDM], compute=Computed(("mdm", "lens")))
    assert len(stored(ARM, MDM)) == 9 and lifecycle.find(MDM)


def test_without_its_circuit_nothing_of_a_run_is_computed() -> None:
    compute, told = Computed(("mdm", "circuit")), list[Step]()
    with pytest.raises(Failures) as raised:
        carry_out(planned(ARM, MDM), compute, ignore, told.append)
    assert len(raised.value.failures) == 1
    assert compute.asked == [("arm", "circuit"), ("mdm", "circuit"), *(("arm", kind) for kind in COMPANIONS)]
    assert named(told) == compute.asked
    assert stored(ARM, MDM) == {("arm", kind) for kind in KINDS}


def test_what_another_process_finished_meanwhile_is_not_computed() -> None:
    steps = planned(MDM)
    carry_out(planned(MDM)[:2], Computed(), ignore)
    compute, told = Computed(), list[Step]()
    carry_out(steps, compute, ignore, told.append)
    assert [kind for _, kind in compute.asked] == ["lens", "activity", "weights"] == [step.kind for step in told]


def test_what_another_process_finished_is_told_as_stored_in_no_time() -> None:
    steps = planned(MDM)
    carry_out(planned(MDM)[:1], Computed(), ignore)
    told: list[tuple[Kind, bool]] = []
    carry_out(steps, Computed(), ignore, on_stored=lambda step, seconds: told.append((step.kind, seconds > 0)))
    assert told == [(kind, kind != "circuit") for kind in KINDS]


def test_numbers_of_other_weights_are_not_stored_under_the_planned_key(workspace: Path) -> None:
    """The weights are replaced while the circuit is computed."""

    def replacing(spec: RunSpec, kind: Kind, on_progress: execution.OnProgress) -> ArtifactTables:
        (workspace / "pair" / "mdm" / "model.safetensors").write_bytes(b"trained for longer")
        return tiny_compute(spec, kind, on_progress)

    with pytest.raises(Failures, match="weights or the settings of the pair embedded were changed"):
        carry_out(planned(MDM), replacing, ignore)
    assert store().records() == []


def test_nothing_is_computed_where_it_could_not_be_kept() -> None:
    steps, compute = planned(MDM), Computed()
    partial = store().partial
    partial.rmdir()
    partial.write_text("no folder")
    with pytest.raises(UserError, match=r"The cache .* cannot be written: "):
        carry_out(steps, compute, ignore)
    assert compute.asked == []
    with pytest.raises(UserError, match=r"The cache .* cannot be written: "):
        keep(steps[0], tiny_compute(MDM, "circuit", ignore), 1.0)


@pytest.fixture
def holder(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lease of the MDM's circuit in the cache of `workspace` until it is killed."""
    assert workspace.is_dir()
    monkeypatch.setattr(execution, "WAIT", 0.01)
    lease = store().lease_of(resolve(MDM).key)
    code = "import sys, time; from pathlib import Path; from cache.leases import take; "
    code += "print(take(Path(sys.argv[1])), flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(lease)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout and process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.communicate()


def test_what_another_process_computes_is_left_to_it_and_waited_for(holder: subprocess.Popen[str]) -> None:
    compute, told, seen = Computed(), list[Step](), list[str]()
    steps = planned(MDM)
    assert elsewhere(steps[0].key) and elsewhere(steps[1].key) is None and elsewhere("") is None

    def report(progress: Progress) -> None:
        seen.append(progress.stage)
        if "waiting" in progress.stage and len(told) == 5 and not is_stored(MDM, "circuit"):
            keep(steps[0], tiny_compute(MDM, "circuit", ignore), 1.0)  # as the other process does in the end
            holder.kill()
            holder.wait()

    carry_out(steps, compute, report, told.append)
    assert compute.asked == [("mdm", kind) for kind in COMPANIONS]
    assert named(told) == [*compute.asked, ("mdm", "circuit")]  # which is told when it is waited for
    assert f"waiting for process {holder.pid} on " in seen[-1]
    assert stored(MDM) == {("mdm", kind) for kind in KINDS}


def test_evidence_of_a_circuit_that_another_process_computes_waits_for_it(holder: subprocess.Popen[str]) -> None:
    compute = Computed()
    seen: list[str] = []

    def report(progress: Progress) -> None:
        seen.append(progress.stage)
        if "waiting" in progress.stage and not is_stored(MDM, "circuit"):
            keep(Step(resolve(MDM), "circuit"), tiny_compute(MDM, "circuit", ignore), 1.0)
            holder.kill()
            holder.wait()

    steps = evidence.plan([ARM], ["faithfulness", "audit"])
    assert [(step.kind, len(step.needs)) for step in steps[-2:]] == [("faithfulness", 2), ("audit", 1)]
    carry_out(steps, compute, report)
    assert compute.asked == [("arm", "circuit"), ("arm", "audit"), ("arm", "faithfulness")]
    assert any(stage.startswith(f"waiting for process {holder.pid} on ") for stage in seen)


def test_what_a_process_that_died_was_computing_is_taken_over(holder: subprocess.Popen[str]) -> None:
    compute = Computed()
    killing = threading.Timer(0.5, holder.kill)
    killing.start()
    waiter = threading.Thread(target=holder.wait)
    waiter.start()
    began = time.monotonic()
    carry_out(planned(MDM), compute, ignore)
    assert time.monotonic() - began < 20
    assert sorted(compute.asked) == sorted(("mdm", kind) for kind in KINDS)
    assert not list(store().files.glob("*.lease"))
    waiter.join()


@pytest.mark.usefixtures("holder")
def test_waiting_can_be_cancelled() -> None:
    def stop(progress: Progress) -> None:
        if "waiting" in progress.stage:
            raise Cancelled

    with pytest.raises(Cancelled):
        carry_out(planned(MDM), Computed(), stop)
    assert stored(MDM) == {("mdm", kind) for kind in COMPANIONS}
