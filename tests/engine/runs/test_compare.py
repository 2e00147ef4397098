"""A comparison of two stored runs is that of their edges."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.circuits import comparison
from engine.errors import UserError
from engine.runs import lifecycle, read
from engine.runs.compare import compare
from engine.runs.spec import RunSpec
from tests.fakes import fake_compute, tiny_compute

SPEC = RunSpec(n=4)


@pytest.mark.usefixtures("workspace")
def test_overlap_and_chance_at_every_size() -> None:
    arm, mdm = (lifecycle.run(replace(SPEC, model=model), compute=tiny_compute) for model in ("arm", "mdm"))
    both = compare(arm, mdm)
    n = arm.meta.graph.n_edges
    assert both.k.tolist() == comparison.curve_sizes(n).tolist()
    for size, overlap, chance in zip(both.k.tolist(), both.overlap, both.chance, strict=True):
        assert overlap == read.overlap(arm.key, mdm.key, size)
        assert chance == comparison.chance(size, n)
    at = both.at(5)
    assert (at.k, at.jaccard) == (5, read.overlap(arm.key, mdm.key, 5))
    assert both.split_half(5) == read.split_half(arm, mdm, 5)


@pytest.mark.usefixtures("workspace")
def test_parts_are_compared_by_name() -> None:
    arm, mdm = (lifecycle.run(replace(SPEC, model=model), compute=tiny_compute) for model in ("arm", "mdm"))
    both = compare(arm, mdm, arm.meta.parts[0], mdm.meta.parts[-1])
    expected = read.overlap(arm.key, mdm.key, 3, arm.meta.parts[0], mdm.meta.parts[-1])
    assert both.at(3).jaccard == expected == both.overlap[both.k.tolist().index(3)]


@pytest.mark.usefixtures("workspace")
def test_what_cannot_be_compared_is_refused() -> None:
    small = lifecycle.run(SPEC, compute=tiny_compute)
    large = lifecycle.run(replace(SPEC, seed=1), compute=fake_compute)
    with pytest.raises(UserError, match="only circuits of one architecture"):
        compare(small, large)
    with pytest.raises(UserError, match="no part 'site-77'"):
        compare(small, small, "site-77")
