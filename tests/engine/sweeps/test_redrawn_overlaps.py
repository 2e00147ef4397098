"""Intervals of overlaps with each run ranked once, against those that rank both runs for every overlap."""

from __future__ import annotations

import numpy as np
import pytest

from engine.circuits.edges import EdgeBlocks
from engine.circuits.ranked_anew import pair_overlap
from engine.sweeps.redrawn_overlaps import overlap, top_edges

SIZES = (3, 10, 25)


def blocks_of(seed: int, edges: int = 60, blocks: int = 12, out_of: int = 60) -> EdgeBlocks:
    """Shares of some edges, strongest first, as they are stored; two seeds have much in common."""
    rng = np.random.default_rng(seed)
    common = np.random.default_rng(99).normal(size=(out_of, blocks))
    shares = (common + rng.normal(size=common.shape)).astype(np.float32)
    order = np.argsort(-np.abs(shares.sum(axis=1)), kind="stable")[:edges].astype(np.int32)
    return EdgeBlocks(order, shares[order])


@pytest.mark.parametrize("edges", [60, 40], ids=["all edges have blocks", "two thirds have"])
def test_intervals_are_those_of_ranking_both_runs_for_every_overlap(edges: int) -> None:
    arm, other = (blocks_of(seed, edges) for seed in (1, 2))
    drawn = [top_edges(run, SIZES) for run in (arm, other)]
    for k in SIZES:
        wanted = pair_overlap(0.4, arm, other, k).estimate
        assert overlap(0.4, drawn[0], drawn[1], k) == wanted
        assert wanted.low is not None and wanted.high is not None and wanted.low < 0.4 < wanted.high


def test_ties_go_to_the_lower_edge() -> None:
    rng = np.random.default_rng(5)
    runs = [
        EdgeBlocks(rng.permutation(30).astype(np.int32), rng.integers(0, 2, (30, 10)).astype(np.float32))
        for _ in range(2)
    ]
    drawn = [top_edges(run, (4, 9)) for run in runs]
    for k in (4, 9):
        assert overlap(0.5, drawn[0], drawn[1], k) == pair_overlap(0.5, runs[0], runs[1], k).estimate


def test_every_draw_has_circuits_of_the_size_asked_for() -> None:
    drawn = top_edges(blocks_of(1), SIZES, resamples=50)
    for k, (edges, chosen) in drawn.circuits.items():
        assert chosen.shape == (50, len(edges))
        assert (chosen.sum(axis=1) == k).all() and chosen.any(axis=0).all()
        assert (np.diff(edges) > 0).all()


def test_too_few_prompts_or_edges_give_no_interval() -> None:
    few, other = top_edges(blocks_of(1, blocks=7), SIZES), top_edges(blocks_of(2), SIZES)
    assert overlap(0.5, few, few, 3).low is None
    assert overlap(0.5, few, other, 3).low is None
    short = top_edges(blocks_of(1, edges=12), SIZES)
    assert overlap(0.5, short, other, 10).low is not None
    assert overlap(0.5, short, other, 25).low is None
    more = top_edges(blocks_of(1, blocks=16), SIZES)
    assert overlap(0.5, more, other, 3).low is None  # draws of other prompts
