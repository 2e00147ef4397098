"""Shards: together they are the sweep, none has what another has, evenly, whatever is stored, models kept together."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import UserError
from engine.runs.lifecycle import find, run_all
from engine.runs.spec import RunSpec
from engine.schema.artifacts import PART
from engine.sweeps.plan import plan
from engine.sweeps.shards import Shard, shard_named, share
from tests.engine.sweeps.sweeping import Here, all_of, carried_out, compute_here
from tests.fakes import tiny_compute

pytestmark = pytest.mark.usefixtures("workspace")

GRID = {"models": ["arm", "mdm", "control"], "tasks": ["ioi", "greater_than", "sudoku"], "seeds": [0, 1, 2, 3]}


@pytest.mark.parametrize("count", [1, 2, 4, 7, 36, 50])
@pytest.mark.parametrize("evidence", [[], ["audit"], ["faithfulness"]])
def test_shards_are_the_sweep_each_run_in_one(count: int, evidence: list[str]) -> None:
    everything = all_of(**GRID, evidence=evidence)
    shares = [share(everything, Shard(number, count)) for number in range(1, count + 1)]
    assert sorted(str(each) for own in shares for each in own) == sorted(map(str, everything))


def test_shards_compute_every_artifact_once() -> None:
    """But for circuits that evidence brings from outside the grid, of which there are none here."""
    everything = all_of(**GRID, evidence=["faithfulness", "audit"])
    of_shards = [{step.key for step in plan(share(everything, Shard(number, 4))).steps} for number in range(1, 5)]
    assert set.union(*of_shards) == {step.key for step in plan(everything).steps}
    assert sum(map(len, of_shards)) == len(set.union(*of_shards))


def test_no_shard_waits_for_another() -> None:
    everything = all_of(**GRID, evidence=["faithfulness"])
    for number in range(1, 6):
        steps = plan(share(everything, Shard(number, 5))).steps
        assert {key for step in steps for key in step.needs} <= {step.key for step in steps}


@pytest.mark.parametrize("count", [2, 3, 5])
def test_shards_are_even_within_one_run(count: int) -> None:
    everything = all_of(**GRID)
    costs = [sum(each.multiplications for each in share(everything, Shard(n, count))) for n in range(1, count + 1)]
    largest = max(each.multiplications for each in everything)
    assert max(costs) - min(costs) <= 2 * largest


def test_a_shard_stays_the_same_whatever_is_stored() -> None:
    before = share(all_of(**GRID), Shard(2, 3))
    run_all([RunSpec(n=4), RunSpec(n=4, model="arm")], compute=tiny_compute)
    assert share(all_of(**GRID), Shard(2, 3)) == before


def test_a_shard_stays_the_same_where_weights_are_not(workspace: Path) -> None:
    before = share(all_of(**GRID), Shard(1, 3))
    for file in (workspace / "pair").rglob("*.safetensors"):
        file.unlink()
    assert share(all_of(**GRID), Shard(1, 3)) == before


def test_shards_load_few_models() -> None:
    everything = all_of(**GRID)
    assert all(len({each.spec.model for each in share(everything, Shard(n, 3))}) <= 2 for n in (1, 2, 3))


def test_the_parts_of_large_circuits_are_shared_out_evenly_each_to_one() -> None:
    everything = all_of(models=["arm", "mdm"], n=2560, artifacts=["circuit"], evidence=["faithfulness"])
    plans = [plan(share(everything, Shard(number, 4)), everything) for number in range(1, 5)]
    parts = [step.key for each in plans for step in each.steps if step.kind == PART]
    assert len(parts) == len(set(parts)) == 20
    left = {(step.spec.model, step.kind) for each in plans for step in each.waiting}
    assert left == {(model, kind) for model in ("arm", "mdm") for kind in ("circuit", "faithfulness")}
    assert not plan(everything).waiting and len(plan(everything).steps) == 24
    circuits = all_of(models=["arm", "mdm"], n=2560, artifacts=["circuit"])
    counts = [len(plan(share(circuits, Shard(number, 4)), circuits).steps) for number in range(1, 5)]
    assert all(4 <= count <= 6 for count in counts)


def test_a_shard_puts_a_circuit_together_when_the_parts_of_the_others_are_there() -> None:
    everything = all_of(models=["mdm"], n=600, artifacts=["circuit"])
    shares = [share(everything, Shard(number, 3)) for number in (3, 2, 1)]
    for own in shares:
        carried_out(plan(own, everything).steps, [Here("here", compute_here)])
    assert find(RunSpec(n=600)) is None
    steps = plan(shares[0], everything).steps
    assert [step.kind for step in steps] == ["circuit"]
    carried_out(steps, [Here("here", compute_here)])
    assert find(RunSpec(n=600)) and not any(plan(own, everything).steps for own in shares)


def test_a_circuit_that_only_evidence_needs_is_computed_with_all_its_parts() -> None:
    everything = all_of(models=["arm"], n=300, artifacts=["circuit"], evidence=["faithfulness"])
    assert [step.kind for step in plan(everything).steps].count(PART) == 4
    shared = [plan(share(everything, Shard(number, 2)), everything) for number in (1, 2)]
    assert {step.spec.model for each in shared for step in each.steps if step.kind == PART} == {"arm", "mdm"}


def test_shards_are_named_from_one() -> None:
    assert shard_named(" 3/16 ") == Shard(3, 16) and str(Shard(3, 16)) == "3/16"
    for text in ("0/4", "5/4", "3", "a/b", "1/0", "-1/3", "1/2/3", "99999999/99999999"):
        with pytest.raises(UserError, match="as in 3/16"):
            shard_named(text)
