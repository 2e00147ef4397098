"""What a run can be asked to be: one spelling for what means the same, bounds for everything else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.errors import UserError
from engine.runs import lifecycle, provenance
from engine.runs.spec import LARGEST_SEED, RunSpec
from tests.fakes import tiny_compute


@pytest.mark.parametrize("model", ["step:100", "step:000100", "step:0000100"])
@pytest.mark.usefixtures("workspace")
def test_a_step_has_one_spelling_and_one_key(model: str) -> None:
    run = lifecycle.run(RunSpec(model="step:100", n=2), compute=tiny_compute)
    assert RunSpec(model=model, n=2) == run.spec
    assert provenance.resolve(RunSpec(model=model, n=2)).key == run.key
    assert lifecycle.find(RunSpec(model=model, n=2)) == run


def test_step_zero_is_the_one_that_pairs_list() -> None:
    assert {RunSpec(model=model).model for model in ("step:0", "step:00", "step:000000")} == {"step:0"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pair", ""),
        ("pair", " "),
        ("task", ""),
        ("task", "\t"),
        ("model", ""),
        ("model", "ARM"),
        ("model", "step:"),
        ("model", "step:-1"),
        ("model", "step: 1"),
        ("model", "step:1 "),
        ("model", "step:1\n"),
        ("model", "step:1.0"),
        ("model", "step:٣"),
        ("model", "step:" + "9" * 5000),
        ("seed", -1),
        ("seed", LARGEST_SEED + 1),
        ("seed", 2**63),
        ("seed", -(2**63) - 1),
        ("n", 0),
        ("n", 10_001),
        ("points", 0),
        ("dtype", "float16"),
        ("denoising_steps", -1),
        ("denoising_steps", 1001),
        ("template", -1),
        ("template", 101),
        ("method", "imported"),
        ("source", "elsewhere"),
        ("source", 7),
    ],
)
def test_what_no_run_can_be_is_refused_by_field(field: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"^{field} is "):
        RunSpec(**{field: value})


@pytest.mark.parametrize("seed", [0, 1, 2**31, LARGEST_SEED])
@pytest.mark.usefixtures("workspace")
def test_every_seed_in_bounds_is_computed_and_found(seed: int) -> None:
    assert lifecycle.run(RunSpec(seed=seed, n=2), compute=tiny_compute).spec.seed == seed
    assert lifecycle.find(RunSpec(seed=seed, n=2))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2.5),
        ("n", "7"),
        ("seed", True),
        ("points", None),
        ("pair", None),
        ("model", 3),
        ("template", True),
        ("template", None),
        ("denoising_steps", "4"),
        ("denoising_steps", 1.0),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_field(field: str, value: object) -> None:
    with pytest.raises(UserError, match=f"^{field} is {value!r}. It must be a "):
        RunSpec(**{field: value})  # type: ignore[arg-type]


def test_what_is_stored_of_a_spec_says_steps_and_template_only_where_they_are_chosen() -> None:
    usual, chosen = RunSpec().as_dict(), RunSpec(denoising_steps=4, template=2).as_dict()
    assert not {"denoising_steps", "template"} & usual.keys()
    assert chosen == {**usual, "denoising_steps": 4, "template": 2}
    assert (RunSpec(**usual), RunSpec(**chosen)) == (RunSpec(), RunSpec(denoising_steps=4, template=2))
    assert usual["seed"] == 0  # which is said, as it always was
    assert (RunSpec().not_usual, RunSpec(**chosen).not_usual) == ((), ("denoising steps 4", "template 2"))


@pytest.mark.usefixtures("workspace")
def test_an_arm_is_one_run_for_every_number_of_denoising_steps() -> None:
    run = lifecycle.run(RunSpec(model="arm", n=2), compute=tiny_compute)
    asked = RunSpec(model="arm", n=2, denoising_steps=4)
    assert asked == run.spec and provenance.resolve(asked).keys == provenance.resolve(run.spec).keys
    assert lifecycle.find(asked) == run
    assert lifecycle.find(replace(RunSpec(n=2, denoising_steps=4), model="arm")) == run
    assert lifecycle.find(RunSpec(model="arm", n=2, template=1)) is None
