"""Which runs of a sweep are compared: each other model's with the ARM's of the same settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.errors import UserError
from engine.sweeps.compared_runs import compared_runs
from tests.engine.sweeps.stored_sweeps import small, store


@pytest.mark.usefixtures("workspace")
def test_every_model_is_compared_with_the_arm_of_its_settings() -> None:
    wanted = small(seeds=[0, 1], orders=["confidence", "random"], denoising_steps=[0, 2])
    store(wanted.specs())
    compared = compared_runs(wanted)
    assert not compared.missing and len(compared.specs) == len(wanted.specs()) == 2 * 2 * (1 + 3 * 2)
    assert len(compared.groups) == 4
    for group in compared.groups:
        assert {other.spec.model for other in group.others} == {"mdm", "control", "step:100"}
        assert [replace(other.spec, model="arm") for other in group.others] == [group.arm.spec] * 6
    assert compared.largest_k == group.arm.meta.graph.n_edges


@pytest.mark.usefixtures("workspace")
def test_what_is_not_stored_is_missing_and_compared_with_nothing() -> None:
    wanted = small(seeds=[0, 1])
    there = [spec for spec in wanted.specs() if spec.seed == 0 and spec.model != "control"]
    without_arm = [spec for spec in wanted.specs() if spec.seed == 1 and spec.model == "mdm"]
    store([*there, *without_arm])
    compared = compared_runs(wanted)
    assert set(compared.missing) == set(wanted.specs()) - {*there, *without_arm}
    ((arm, others),) = ((group.arm.spec, [run.spec for run in group.others]) for group in compared.groups)
    assert [arm, *others] == there


@pytest.mark.usefixtures("workspace")
def test_nothing_stored_has_no_size() -> None:
    compared = compared_runs(small())
    assert (compared.groups, compared.largest_k, len(compared.missing)) == ((), None, 4)


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("models", [["arm"], ["mdm", "control"]])
def test_a_sweep_that_compares_nothing_is_refused(models: list[str]) -> None:
    with pytest.raises(UserError, match=r"The sweep grid compares nothing: its models are .*Name arm and another"):
        compared_runs(small(models=models))
