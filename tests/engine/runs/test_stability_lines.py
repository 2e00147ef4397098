"""Stability as text: its numbers are those of the arrays, and what is not stored is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.runs import lifecycle, read, stability, stability_lines
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from tests.fakes import fake_compute
from tests.stored_evidence import store

MDM = RunSpec(n=8, model="mdm")


def runs() -> list[Run]:
    there = [lifecycle.find(replace(MDM, model=model)) for model in ("arm", "mdm", "control")]
    return [run for run in there if run]


@pytest.mark.usefixtures("workspace")
def test_lines_hold_the_overlaps_and_say_what_is_missing() -> None:
    store(n=8, kinds=(), compute=fake_compute)
    store(n=8, kinds=(), compute=fake_compute, seed=1, control=False)
    arm, mdm, control = runs()
    text = list(stability_lines.stability_lines(MDM, arm, mdm, control))
    overlap = read.overlap(arm.key, mdm.key, 200)
    first = next(line for line in text if line.strip().startswith("ARM and MDM "))
    estimate = stability.pair_redrawn(arm, mdm, k=200)[0].estimate
    assert first.split()[3:] == [f"{overlap:.3f}", f"({estimate.low:.3f}", "to", f"{estimate.high:.3f})"]
    other = [lifecycle.find(replace(MDM, model=model, seed=1)) for model in ("arm", "mdm")]
    assert other[0] and other[1]
    row = next(line.split() for line in text if line.strip().startswith("seed 1"))
    assert row[2] == f"{read.overlap(other[0].key, other[1].key, 200):.3f}"
    itself = [read.overlap(run.key, own.key, 200) for run, own in zip(other, (arm, mdm), strict=True) if run]
    assert row[4:] == [f"{overlap:.3f}" for overlap in itself]
    assert text[-1].startswith("  not computed (--only stability computes them): seed 2, ") and "seed 1" not in text[-1]
    assert max(map(len, text[:-1])) <= 120


@pytest.mark.usefixtures("workspace")
def test_without_a_control_and_halves_there_are_fewer_rows() -> None:
    store(n=1, kinds=(), control=False)
    arm, mdm = (lifecycle.find(RunSpec(n=1, model=model)) for model in ("arm", "mdm"))
    assert arm and mdm
    k = stability_lines.size_of(arm, mdm)
    assert k == arm.meta.graph.n_edges and stability_lines.redrawn_rows(arm, mdm, None, k) == [("ARM and MDM", "1.000")]
    controls = stability.controls(arm.spec, k)
    assert controls
    rows = {row[0]: row[1:] for row in stability_lines.control_rows(controls)}
    assert rows["ARM and step-0 control"] == (stability_lines.ABSENT,) * 2
    assert rows["chance"] == (f"{controls.chance:.3f}", "")
