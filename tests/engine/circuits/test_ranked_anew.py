"""Intervals of overlaps ranked anew: against ranking in a loop, and how often they hold what they are of."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from engine.circuits import comparison, ranked_anew
from engine.circuits.comparison import SplitHalf
from engine.circuits.edges import EdgeBlocks
from engine.circuits.intervals import Estimate, draws
from engine.circuits.ranked_anew import Redrawn

EDGES, K, BLOCKS = 200, 25, 32
Study = tuple[EdgeBlocks, EdgeBlocks]


def planted(seed: int, agreement: float) -> tuple[np.ndarray, np.ndarray]:
    """True scores [edge] of both models, heavy-tailed, of the given correlation of log strengths."""
    common, *own = np.random.default_rng(seed).standard_normal((3, EDGES))
    arm, mdm = (np.exp(1.5 * (agreement * common + np.sqrt(1 - agreement**2) * part)) for part in own)
    return arm, mdm


def study_of(truth: tuple[np.ndarray, np.ndarray], seed: int, noise: float, n_edges: int = EDGES) -> Study:
    """What a study of 32 prompts, a block each, measures; noise in every prompt is in proportion to the score."""
    rng = np.random.default_rng(seed)
    sides = (scores[:, None] * (1 + noise * rng.standard_normal((EDGES, BLOCKS))) / BLOCKS for scores in truth)
    blocks = [side.astype(np.float32) for side in sides]
    kept = [comparison.order_of(side.sum(1))[:n_edges] for side in blocks]
    arm, mdm = (EdgeBlocks(edge, side[edge]) for edge, side in zip(kept, blocks, strict=True))
    return arm, mdm


def top(run: EdgeBlocks, weights: np.ndarray) -> np.ndarray:
    """The K strongest edges, from a literal sum over blocks and a stable sort by edge index."""
    scores = np.zeros(EDGES)
    for row, edge in enumerate(run.edge):
        scores[edge] = sum(float(w) * float(s) for w, s in zip(weights, run.shares[row], strict=True))
    return comparison.order_of(scores)[:K]


def overlap_of(a: EdgeBlocks, b: EdgeBlocks, weights_a: np.ndarray, weights_b: np.ndarray) -> float:
    return comparison.overlap_of(top(a, weights_a), top(b, weights_b))


def halves_of(arm: EdgeBlocks, mdm: EdgeBlocks) -> SplitHalf:
    sides = [
        [run.edge[comparison.order_of(run.shares[:, half::2].sum(1))[:K]] for half in (0, 1)] for run in (arm, mdm)
    ]
    return comparison.split_half(*map(tuple, sides))


@pytest.mark.parametrize("n_edges", [EDGES, 60])
def test_overlaps_of_draws_equal_ranking_in_a_loop(n_edges: int) -> None:
    arm, mdm = study_of(planted(1, 0.7), 3, 2.0, n_edges)
    redrawn = ranked_anew.pair_overlap(0.5, arm, mdm, K, resamples=20)
    expected = [overlap_of(arm, mdm, times, times) for times in draws(BLOCKS, 20)]
    assert redrawn.draws == pytest.approx(expected)
    assert np.ptp(expected) > 0


def test_halves_are_drawn_by_themselves_and_crossed() -> None:
    arm, mdm = study_of(planted(1, 0.7), 3, 2.0)
    values = halves_of(arm, mdm)
    split = ranked_anew.split_half(values, arm, mdm, K, resamples=10)
    weights = np.zeros((2, 10, BLOCKS))
    for half in (0, 1):
        weights[half, :, half::2] = draws(BLOCKS // 2, 10, seed=half)
    even, odd = weights
    own = [[overlap_of(run, run, a, b) for a, b in zip(even, odd, strict=True)] for run in (arm, mdm)]
    assert split.arm.draws == pytest.approx(own[0]) and split.mdm.draws == pytest.approx(own[1])
    crossed = [
        (overlap_of(arm, mdm, a, b) + overlap_of(arm, mdm, b, a)) / 2 for a, b in zip(even, odd, strict=True)
    ]  # fmt: skip
    assert split.pair.draws == pytest.approx(crossed)
    below = split.pair_below_own
    assert below.value == pytest.approx(values.pair - min(values.arm, values.mdm))
    assert below.draws == pytest.approx(np.array(crossed) - np.minimum(*own))


def test_several_runs_share_the_draws_so_that_equal_runs_do_not_differ() -> None:
    arm, mdm = study_of(planted(1, 0.7), 3, 2.0)
    first, second = ranked_anew.pair_overlaps([0.4, 0.4], [mdm, mdm], arm, K, resamples=50)
    assert first.minus(second).estimate == Estimate(0.0, 0.0, 0.0)
    apart = first.minus_independent(second).estimate
    assert apart.low < 0 < apart.high


def test_equal_scores_are_ranked_by_edge_index() -> None:
    scores = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [0.5, 3.0]])
    assert ranked_anew.top_k(scores, 2).tolist() == [[True, True, False, False], [True, False, False, True]]
    with_more = ranked_anew.top_k(scores, 4)
    assert with_more.all()


def test_an_interval_lies_around_its_value_and_within_what_an_overlap_can_be() -> None:
    draws_of_it, half = np.linspace(0.1, 0.3, 1001), 0.095 * ranked_anew.widened(32)
    assert Redrawn(0.5, draws_of_it, 32).estimate == Estimate(0.5, pytest.approx(0.5 - half), pytest.approx(0.5 + half))
    assert Redrawn(0.05, draws_of_it, 32).estimate.low == 0.0
    assert Redrawn(0.05, draws_of_it, 32, least=-1.0).estimate.low == pytest.approx(0.05 - half)
    nearly_equal = np.array([0.1] * 999 + [0.2])
    assert Redrawn(0.5, nearly_equal, 32).estimate.high == 0.5


@pytest.mark.parametrize(("blocks", "student"), [(8, 2.364624), (16, 2.131450), (32, 2.039513)])
def test_intervals_are_widened_by_students_quantile(blocks: int, student: float) -> None:
    assert ranked_anew.widened(blocks) == pytest.approx(student / 1.959964 * (blocks / (blocks - 1)) ** 0.5, rel=4e-3)


def test_there_is_no_interval_of_few_blocks_or_of_more_edges_than_have_blocks() -> None:
    arm, mdm = study_of(planted(1, 0.7), 3, 2.0, n_edges=60)
    few = [EdgeBlocks(run.edge, run.shares[:, :15]) for run in (arm, mdm)]
    values = SplitHalf(0.5, 0.5, 0.4)
    assert ranked_anew.pair_overlap(0.5, *few, K).estimate.low is not None
    split = ranked_anew.split_half(values, *few, K)  # 7 blocks in a half
    assert split.pair.estimate == Estimate(0.4, None, None)
    assert split.pair_below_own.estimate.low is None and split.pair_below_own.value == pytest.approx(-0.1)
    beyond = ranked_anew.pair_overlap(0.5, arm, mdm, 61)
    assert beyond.estimate == Estimate(0.5, None, None)
    assert beyond.minus(ranked_anew.pair_overlap(0.3, arm, mdm, K)).estimate.low is None
    with pytest.raises(ValueError, match="32, 15 blocks"):
        ranked_anew.aligned(arm, few[1])


@cache
def simulated(noise: float, agreement: float, studies: int = 200) -> dict[str, tuple[float, float]]:
    """How often the intervals of 200 studies of a planted truth hold the mean over studies, and the true overlap."""
    truth, easy = planted(1, agreement), planted(2, 0.95)
    estimates: dict[str, list[Estimate]] = {"pair": [], "difference": [], "arm half": [], "pair half": [], "below": []}
    for seed in range(studies):
        arm, mdm = study_of(truth, seed, noise)
        other = study_of(easy, 1000 + seed, noise)
        pair, local = (
            ranked_anew.pair_overlap(comparison.overlap_of(a.edge[:K], b.edge[:K]), a, b, K, resamples=150)
            for a, b in ((arm, mdm), other)
        )
        split = ranked_anew.split_half(halves_of(arm, mdm), arm, mdm, K, resamples=150)
        made = (pair, local.minus_independent(pair), split.arm, split.pair, split.pair_below_own)
        for kept, number in zip(estimates.values(), made, strict=True):
            kept.append(number.estimate)
    true, true_local = (comparison.overlap_of(*(comparison.order_of(s)[:K] for s in t)) for t in (truth, easy))
    limits = {"pair": true, "difference": true_local - true, "arm half": 1.0, "pair half": true, "below": true - 1.0}
    return {
        name: (_held(kept, float(np.mean([e.value for e in kept]))), _held(kept, limits[name]))
        for name, kept in estimates.items()
    }


def _held(estimates: list[Estimate], truth: float) -> float:
    return float(np.mean([e.low <= truth <= e.high for e in estimates]))


@pytest.mark.parametrize(("noise", "agreement"), [(1.0, 0.5), (4.0, 0.95)])
def test_intervals_hold_the_mean_over_studies_about_19_times_in_20(noise: float, agreement: float) -> None:
    held = {name: of_mean for name, (of_mean, _) in simulated(noise, agreement).items()}
    assert all(0.87 <= often <= 1.0 for often in held.values()), held
