"""Estimated costs: in proportion to what makes a run longer, and calibrated by what this cache's circuits took."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.models.pairs import pair_named
from engine.runs import device_plan
from engine.runs.lifecycle import run_all
from engine.runs.provenance import resolve
from engine.runs.spec import RunSpec
from engine.runs.steps import circuit_steps
from engine.schema.artifacts import ALL_KINDS
from engine.sweeps.cost import RATES, memory, multiplications, of_step, rate
from tests.fakes import tiny_compute

SPEC = RunSpec()


def test_a_circuit_costs_in_proportion_to_examples_and_passes() -> None:
    base = multiplications(SPEC, "circuit")
    assert multiplications(replace(SPEC, n=128), "circuit") == 2 * base
    assert multiplications(SPEC, "circuit", examples=32) == base / 2
    assert multiplications(replace(SPEC, points=10), "circuit") / base == pytest.approx(32 / 17)
    assert multiplications(replace(SPEC, method="eap"), "circuit") / base == pytest.approx(5 / 17)


def test_an_mdm_costs_as_many_rows_as_it_has_denoising_steps() -> None:
    arm = multiplications(replace(SPEC, model="arm", task="sudoku"), "circuit")
    for steps in (1, 4):
        mdm = replace(SPEC, task="sudoku", denoising_steps=steps)
        assert multiplications(mdm, "circuit") == steps * arm
    assert multiplications(replace(SPEC, task="sudoku"), "circuit") > arm


def test_a_larger_model_costs_as_much_more_as_it_has_more_weights() -> None:
    small, large = (multiplications(replace(SPEC, pair=pair), "circuit") for pair in ("embedded", "dream"))
    assert large / small > 1000


def test_what_takes_no_examples_costs_the_same_for_any_number() -> None:
    for kind in ("ability", "weights"):
        assert multiplications(SPEC, kind) == multiplications(replace(SPEC, n=1000), kind)


@pytest.mark.usefixtures("workspace")
def test_the_parts_of_a_circuit_cost_what_all_of_it_would() -> None:
    *parts, circuit = circuit_steps(resolve(replace(SPEC, n=600)))
    whole = multiplications(replace(SPEC, n=600), "circuit")
    assert sum(map(of_step, parts)) == pytest.approx(whole) and 0 < of_step(circuit) < whole / 5
    assert of_step(parts[2]) / of_step(parts[0]) == pytest.approx(88 / 256)
    assert of_step(circuit_steps(resolve(SPEC))[0]) == multiplications(SPEC, "circuit")


def test_every_kind_has_a_cost() -> None:
    assert all(multiplications(SPEC, kind) > 0 for kind in ALL_KINDS)


@pytest.mark.usefixtures("workspace")
def test_the_rate_is_that_of_circuits_in_the_cache() -> None:
    assert rate() == (RATES["cpu"], 0)
    specs = [RunSpec(n=4), RunSpec(n=4, model="arm")]
    runs = run_all(specs, compute=tiny_compute)
    expected = sum(multiplications(spec, "circuit") for spec in specs) / sum(run.seconds for run in runs)
    assert rate() == (pytest.approx(expected), 2)


def test_memory_is_that_of_the_plan() -> None:
    shape = device_plan.shape_of(pair_named("dream"))
    assert shape
    assert memory(RunSpec(pair="dream", dtype="bfloat16")) == device_plan.plan(shape, ("bfloat16",)).needed
