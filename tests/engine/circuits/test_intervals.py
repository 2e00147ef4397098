"""Intervals: against resampling in a loop, and against examples whose truth is known."""

from __future__ import annotations

import subprocess
import sys
from math import comb

import numpy as np
import pytest

from engine.circuits import comparison, intervals, profiles
from engine.circuits.edges import EdgeBlocks
from engine.circuits.graph import Graph
from engine.circuits.intervals import Scored

GRAPH = Graph(3, 2)
K = 40


def truth(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (np.exp(rng.standard_normal(GRAPH.n_edges)) * rng.choice([-1.0, 1.0], GRAPH.n_edges)).astype(np.float32)


def scored(examples: np.ndarray, k: int = K, stored: int | None = None) -> Scored:
    """The circuit of K edges of scores [example, edge]; `stored` edges have blocks (all: None)."""
    n = len(examples)
    blocks = min(32, n)
    shares = np.stack([examples[block::blocks].sum(0) / n for block in range(blocks)], axis=1)  # [edge, block]
    order = comparison.order_of(shares.sum(1))
    kept = order[:stored]
    return Scored(order[:k], shares.sum(1)[order[:k]], EdgeBlocks(kept, shares[kept].astype(np.float32)))


def drawn_examples(seed: int, n: int = 64, noise: float = 0.5, of: np.ndarray | None = None) -> np.ndarray:
    """[example, edge]: the truth, of which every example shows a noisy piece."""
    scores = truth(1) if of is None else of
    return scores * (1 + noise * np.random.default_rng(seed).standard_normal((n, GRAPH.n_edges)))


@pytest.mark.parametrize(("n", "stored"), [(64, None), (50, None), (9, None), (50, 25)])
def test_importance_of_draws_equals_resampling_in_a_loop(n: int, stored: int | None) -> None:
    side = scored(drawn_examples(3, n), stored=stored)
    blocks = side.blocks.shares.shape[1]
    drawn = intervals.draws(blocks, resamples=20, seed=5)
    assert drawn.sum(1).tolist() == [blocks] * 20
    sizes = [len(range(block, n, blocks)) for block in range(blocks)]
    known = {int(edge): row for row, edge in enumerate(side.blocks.edge)}
    resampled = intervals.importance_draws(GRAPH, side, n, drawn)
    for times, row in zip(drawn, resampled, strict=True):
        chosen = [block for block, often in enumerate(times) for _ in range(often)]
        weight = n / sum(sizes[block] for block in chosen)
        expected = np.zeros(GRAPH.n_nodes)
        for edge, score in zip(side.edge.tolist(), side.score, strict=True):
            if edge in known:
                score = weight * sum(float(side.blocks.shares[known[edge], block]) for block in chosen)  # noqa: PLW2901
            expected += profiles.importance(GRAPH, np.array([edge]), np.array([score]))
        assert row == pytest.approx(expected, rel=1e-5)


def test_intervals_are_the_reflected_percentiles_of_both_models_on_the_same_draws() -> None:
    arm, mdm = scored(drawn_examples(3)), scored(drawn_examples(4, of=truth(2)))
    spread = intervals.specialisation(GRAPH, arm, mdm, 64, boundary=2)
    shares = []
    for times in intervals.draws(32):
        pair = []
        for side in (arm, mdm):
            row = {int(edge): i for i, edge in enumerate(side.blocks.edge)}
            scores = [float(side.blocks.shares[row[int(edge)]] @ times) for edge in side.edge]
            profile = profiles.layer_profile(GRAPH, profiles.importance(GRAPH, side.edge, np.array(scores)))
            pair.append(profile[:2].sum())
        shares.append(pair)
    of_arm, of_mdm = np.array(shares).T
    known = comparison.compare(GRAPH, arm, mdm, K, boundary=2)
    for estimate, value, many in (
        (spread.early.arm, known.arm.early_share, of_arm),
        (spread.early.mdm, known.mdm.early_share, of_mdm),
        (spread.early.difference, known.arm.early_share - known.mdm.early_share, of_arm - of_mdm),
        (spread.early_ratio, known.early_ratio, of_mdm / of_arm),
    ):
        low, high = np.quantile(many, [0.025, 0.975])
        assert estimate.value == pytest.approx(value, rel=1e-5)
        assert (estimate.low, estimate.high) == pytest.approx((2 * value - high, 2 * value - low), rel=1e-4)


def test_values_are_those_of_the_circuit_and_lie_in_their_intervals() -> None:
    arm, mdm = scored(drawn_examples(3)), scored(drawn_examples(4, of=truth(2)))
    spread, known = intervals.specialisation(GRAPH, arm, mdm, 64), comparison.compare(GRAPH, arm, mdm, K)
    for contrast, name in ((spread.effective_number, "effective_number"), (spread.gini, "gini")):
        assert contrast.arm.value == pytest.approx(getattr(known.arm, name), rel=1e-6)
        assert contrast.mdm.value == pytest.approx(getattr(known.mdm, name), rel=1e-6)
        assert contrast.difference.value == pytest.approx(contrast.arm.value - contrast.mdm.value)
        for estimate in (contrast.arm, contrast.mdm, contrast.difference):
            assert estimate.low < estimate.value < estimate.high


@pytest.mark.parametrize("n", [64, 50])
def test_examples_that_all_say_the_same_leave_no_width(n: int) -> None:
    arm, mdm = (scored(drawn_examples(0, n, noise=0.0, of=truth(seed))) for seed in (1, 2))
    spread = intervals.specialisation(GRAPH, arm, mdm, n)
    for estimate in (spread.early.difference, spread.early_ratio, spread.effective_number.arm, spread.gini.mdm):
        assert estimate.low == pytest.approx(estimate.value, rel=1e-5)
        assert estimate.high == pytest.approx(estimate.value, rel=1e-5)
    bands = intervals.mean_bands(np.full((n, 3), 2.5))
    assert bands.low == pytest.approx([2.5] * 3)
    assert bands.high == pytest.approx([2.5] * 3)


def test_a_model_does_not_differ_from_itself() -> None:
    side = scored(drawn_examples(3, noise=2.0))
    spread = intervals.specialisation(GRAPH, side, side, 64)
    assert spread.early.arm.high > spread.early.arm.low
    assert (spread.early.difference.low, spread.early.difference.high) == (0, 0)
    assert (spread.early_ratio.low, spread.early_ratio.high) == pytest.approx((1, 1))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_few_examples_give_a_value_and_no_interval(n: int) -> None:
    side = scored(drawn_examples(3, n))
    spread = intervals.specialisation(GRAPH, side, side, n)
    assert spread.early_ratio == intervals.Estimate(1.0, None, None)
    assert spread.gini.arm.value > 0
    bands = intervals.mean_bands(np.arange(n, dtype=float))
    assert (bands.value, bands.low, bands.high) == ((n - 1) / 2, None, None)


def test_shares_of_nothing_are_none_and_have_no_interval() -> None:
    """Scores that are all zero, and circuits without heads and MLPs."""
    sound, zeros = scored(drawn_examples(3)), scored(np.zeros((64, GRAPH.n_edges)))
    for arm, mdm in ((zeros, sound), (sound, zeros), (zeros, zeros)):
        spread = intervals.specialisation(GRAPH, arm, mdm, 64)
        assert (spread.early_ratio.low, spread.early_ratio.high) == (None, None) and np.isnan(spread.early_ratio.value)
        for side, of_early, of_gini in (
            (arm, spread.early.arm, spread.gini.arm),
            (mdm, spread.early.mdm, spread.gini.mdm),
        ):
            for estimate in (of_early, of_gini):
                assert np.isnan(estimate.value) == (estimate.low is None) == (side is zeros)
        assert spread.early.difference.low is None and np.isnan(spread.early.difference.value)
        number = spread.effective_number
        assert [estimate.value == 0 for estimate in (number.arm, number.mdm)] == [arm is zeros, mdm is zeros]


def test_where_some_draws_have_nothing_to_share_there_is_no_interval() -> None:
    """One block of 32 has all the scores, and a third of the draws leave it out."""
    examples = np.zeros((64, GRAPH.n_edges))
    examples[::32] = truth(1)
    spread = intervals.specialisation(GRAPH, scored(examples), scored(drawn_examples(3)), 64)
    assert np.isfinite(spread.early.arm.value) and spread.early.arm.low is None and spread.early.mdm.low is not None
    assert spread.early_ratio.low is None and np.isfinite(spread.early_ratio.value)


def test_the_interval_of_a_share_of_no_problems_is_everything() -> None:
    assert intervals.wilson(0.0, 0) == (0.0, 1.0)


def test_a_circuit_larger_than_what_has_blocks_keeps_the_rest_of_its_scores() -> None:
    examples = drawn_examples(3, noise=2.0)
    few, all_of_them = (
        intervals.specialisation(GRAPH, side, side, 64).early.arm
        for side in (scored(examples, k=60, stored=10), scored(examples, k=60))
    )
    assert few.value == pytest.approx(all_of_them.value, rel=1e-6)
    assert 0 < few.high - few.low < all_of_them.high - all_of_them.low


def test_intervals_of_circuits_hold_the_truth_about_19_times_in_20() -> None:
    order, held = comparison.order_of(truth(1))[:K], {"early": 0, "number": 0, "gini": 0}
    known = profiles.importance(GRAPH, order, truth(1)[order])
    right = {
        "early": profiles.early_share(profiles.layer_profile(GRAPH, known)),
        "number": profiles.effective_number(profiles.components(known)),
        "gini": profiles.gini(profiles.components(known)),
    }
    for seed in range(100):
        side = scored(drawn_examples(seed, noise=1.0), k=GRAPH.n_edges)
        kept = np.isin(side.edge, order)
        side = Scored(side.edge[kept], side.score[kept], side.blocks)  # the same edges in every repetition
        spread = intervals.specialisation(GRAPH, side, side, 64)
        for name, at in (
            ("early", spread.early.arm),
            ("number", spread.effective_number.arm),
            ("gini", spread.gini.arm),
        ):
            held[name] += at.low <= right[name] <= at.high
    assert all(87 <= often <= 100 for often in held.values()), held


@pytest.mark.parametrize("n", [64, 50])
def test_intervals_of_means_hold_the_truth_about_19_times_in_20(n: int) -> None:
    values = np.random.default_rng(7).exponential(2.0, (n, 4000))  # 4000 repetitions side by side
    bands = intervals.mean_bands(values)
    assert bands.value == pytest.approx(values.mean(0))
    assert 0.90 < np.mean((bands.low <= 2.0) & (bands.high >= 2.0)) < 0.97


def test_a_difference_of_means_is_one_of_the_same_examples() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 5, (64, 1))  # what both models find hard
    arm, mdm = 3 + hard + rng.normal(0, 0.1, (64, 2)), 1 + hard + rng.normal(0, 0.1, (64, 2))
    contrast = intervals.mean_contrast(arm, mdm)
    assert contrast.difference.value == pytest.approx(arm.mean(0) - mdm.mean(0))
    assert np.all(contrast.arm.high - contrast.arm.low > 1)
    assert np.all(contrast.difference.high - contrast.difference.low < 0.2)
    assert np.all((contrast.difference.low < 2) & (contrast.difference.high > 2))


def test_it_needs_no_torch() -> None:
    code = "import engine.circuits.intervals, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("share", "n"), [(0.845, 200), (0.5, 10), (1.0, 300), (0.0, 10)])
def test_wilson_bounds_are_the_shares_that_the_measured_one_is_1_96_deviations_from(share: float, n: int) -> None:
    low, high = intervals.wilson(share, n)
    assert 0 <= low <= share <= high <= 1
    for bound in {low, high} - {0.0, 1.0}:
        assert abs(share - bound) == pytest.approx(1.96 * (bound * (1 - bound) / n) ** 0.5, rel=1e-3)
    assert (low == 0, high == 1) == (share == 0, share == 1)


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962)],
)
def test_wilson_intervals_have_known_ends(correct: int, total: int, low: float, high: float) -> None:
    assert intervals.wilson(correct / total, total) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(("correct", "total"), [(1, 7), (100, 200), (195, 200), (3, 2000)])
def test_wilson_intervals_end_where_the_share_is_as_far_away_as_the_quantile(correct: int, total: int) -> None:
    share = correct / total
    for end in intervals.wilson(correct / total, total):
        assert abs(share - end) == pytest.approx(1.959964 * (end * (1 - end) / total) ** 0.5)


def test_wilson_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    n = 40
    for truth in (0.2, 0.5, 0.8):
        inside = [k for k in range(n + 1) if intervals.wilson(k / n, n)[0] <= truth <= intervals.wilson(k / n, n)[1]]
        assert 0.92 < sum(comb(n, k) * truth**k * (1 - truth) ** (n - k) for k in inside) < 0.98
