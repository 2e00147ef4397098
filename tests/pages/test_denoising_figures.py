"""The denoising page's numbers and figures: intervals, overlaps, matching sites, readable layers, trajectories."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from engine.runs.rows import StepAccuracy, TrajectoryStep
from pages.figures import denoising as drawing
from pages.figures import palette
from pages.figures.denoising import LensAt
from pages.figures.heat import SELECT_TRACE

LOOK = palette.LIGHT
HOSTILE = "<b>x</b>"


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962)],
)
def test_wilson_intervals_have_known_ends(correct: int, total: int, low: float, high: float) -> None:
    assert drawing.wilson(correct, total) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(("correct", "total"), [(1, 7), (100, 200), (195, 200), (3, 2000)])
def test_wilson_intervals_end_where_the_share_is_as_far_away_as_the_quantile(correct: int, total: int) -> None:
    share = correct / total
    for end in drawing.wilson(correct, total):
        assert abs(share - end) == pytest.approx(1.959964 * (end * (1 - end) / total) ** 0.5)


def test_wilson_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    n = 40
    for truth in (0.2, 0.5, 0.8):
        inside = [k for k in range(n + 1) if drawing.wilson(k, n)[0] <= truth <= drawing.wilson(k, n)[1]]
        assert 0.92 < sum(comb(n, k) * truth**k * (1 - truth) ** (n - k) for k in inside) < 0.98


def test_overlaps_of_parts_are_those_of_sets() -> None:
    rng, n = np.random.default_rng(0), 203
    rows = [rng.permutation(n)[:k].astype(np.int32) for k in (30, 50, 203)]
    columns = [rng.permutation(n)[:k].astype(np.int32) for k in (30, 1)]
    found = drawing.jaccard_matrix(rows, columns, n)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            a, b = set(row.tolist()), set(column.tolist())
            assert found[i, j] == pytest.approx(len(a & b) / len(a | b))
    assert np.diag(drawing.jaccard_matrix(rows, rows, n)).tolist() == [1, 1, 1]


def test_the_matching_site_is_what_most_examples_reveal() -> None:
    reveals = {
        "example": np.array([0, 1, 2, 0, 1, 2, 2]),
        "step": np.array([0, 0, 0, 1, 1, 1, 1]),
        "index": np.array([4, 2, 4, 1, 4, 0, 1]),
    }
    assert drawing.matching(reveals, 0) == drawing.Match(4, pytest.approx(2 / 3))
    assert drawing.matching(reveals, 1) == drawing.Match(1, pytest.approx(2 / 3))  # example 2 reveals two positions
    assert drawing.matching(reveals, 2) is None


@pytest.mark.parametrize(
    ("rank", "layer"), [([3, 0, 1, 0, 0], 3), ([0, 0, 0], 0), ([2, 1, 0], 2), ([0, 0, 1], None), ([0, 9, 0], 2)]
)
def test_readable_from_the_layer_after_which_nothing_else_is_on_top(rank: list[int], layer: int | None) -> None:
    assert drawing.readable_from(np.array(rank)) == layer


def test_a_lens_is_read_by_step_position_and_layer_whatever_the_order_of_rows() -> None:
    rows = [(step, 7 + t, layer) for step in (0, 1) for t in range(step, 3) for layer in range(4)]
    step, target, layer = np.random.default_rng(1).permutation(np.array(rows)).T
    worth = 100 * step + 10 * (target - 7) + layer
    found = drawing.read_lens(
        {
            "step": step, "target": target, "layer": layer, "token": np.array([str(w) for w in worth]),
            "probability": worth / 1000, "answer_probability": worth / 2000, "answer_rank": worth,
        }
    )  # fmt: skip
    assert set(found) == {(0, 0), (0, 1), (0, 2), (1, 1), (1, 2)}
    assert found[1, 2].rank.tolist() == [120, 121, 122, 123]
    assert found[0, 1].tokens == ("10", "11", "12", "13")
    assert found[0, 1].answer == pytest.approx([0.005, 0.0055, 0.006, 0.0065])
    assert drawing.read_lens({name: np.array([]) for name in ("step", "target", "layer")}) == {}


def walk(correct: bool = True) -> list[TrajectoryStep]:
    """Position 2, then 0 and 1 at once, after a step that reveals nothing."""
    tokens = [("a", HOSTILE, "c"), ("x", "y", "c"), ("p", "q", "c")]
    revealed = [(False, False, True), (False, False, False), (True, True, False)]
    visible = [(False, False, False), (False, False, True), (False, False, True)]
    return [
        TrajectoryStep("random", 0, s, tokens[s], (0.1 * s, 0.5, 0.9), revealed[s], visible[s], correct)
        for s in range(3)
    ]


def cells(drawn: object, name: str) -> np.ndarray:
    return np.array(next(trace for trace in drawn.data if trace.name == name).z, dtype=float)  # type: ignore[attr-defined]


def test_a_trajectory_tells_revealed_hidden_and_standing_cells_apart() -> None:
    drawn = drawing.walk_figure(walk(), ["p", "q", "r"], LOOK)
    revealed, hidden, standing = (cells(drawn, name) for name in ("revealed", "hidden", "standing"))
    where = [{(int(r), int(c)) for r, c in np.argwhere(~np.isnan(z))} for z in (revealed, hidden, standing)]
    assert where[0] == {(0, 2), (2, 0), (2, 1)}
    assert where[1] == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert where[2] == {(1, 2), (2, 2), (3, 0), (3, 1), (3, 2)}
    assert revealed[2, 0] == pytest.approx(0.2) and hidden[0, 1] == 0.5
    box = next(trace for trace in drawn.data if trace.name == "box")
    assert len(box.x) == 6 * len(where[0])
    text = {t.name: t.text for t in drawn.data if t.type == "heatmap"}
    assert text["revealed"][0][2] == "<b>c</b>" and text["hidden"][1][0] == "<i>x</i>" and text["standing"][1][2] == "c"
    assert text["hidden"][0][1] == "<i>&lt;b&gt;x&lt;/b&gt;</i>"


def test_a_trajectory_ends_with_its_answer_and_whether_it_is_right() -> None:
    assert drawing.final_tokens(walk()) == ["p", "q", "c"]
    for correct, said in ((True, "<b>solved</b>"), (False, "<b>not solved</b>")):
        drawn = drawing.walk_figure(walk(correct), ["p", "q", "r"], LOOK)
        assert drawn.layout.yaxis.ticktext[-1] == said
        last = next(trace for trace in drawn.data if trace.name == "standing")
        assert list(last.text[-1]) == ["<b>p</b>", "<b>q</b>", "<b>c</b>"]
        assert "the right answer has r" in last.customdata[-1][2]
        assert "as in the right answer" in last.customdata[-1][0]


def lens(rank: list[int]) -> LensAt:
    n = len(rank)
    return LensAt((HOSTILE,) * n, np.linspace(0.5, 1, n), np.linspace(0, 0.3, n), np.array(rank))


def test_the_lens_map_has_the_last_layer_on_top_and_answers_clicks_only_at_masked_positions() -> None:
    drawn = drawing.lens_figure({1: lens([5, 3, 0]), 2: lens([1, 1, 1])}, ["a", "b", "c"], 2, "mdm", LOOK)
    z = np.array(drawn.data[0].z, dtype=float)
    assert np.isnan(z[:, 0]).all()
    assert z[:, 1] == pytest.approx([0.3, 0.15, 0.0])
    assert list(drawn.layout.yaxis.ticktext) == ["1", "0", "emb."]
    clicks = next(trace for trace in drawn.data if trace.name == SELECT_TRACE)
    assert {(x, name) for x, name in zip(clicks.x, clicks.customdata, strict=True)} == {(1, "1"), (2, "2")}
    assert len(clicks.x) == 6
    top = next(text for x, y, text in zip(clicks.x, clicks.y, clicks.text, strict=True) if (x, y) == (1, 0))
    assert "rank 1" in top and "layer 1" in top and "&lt;b&gt;x&lt;/b&gt;" in top
    box = next(trace for trace in drawn.data if trace.name == "box")
    assert {round(x) for x in box.x if x is not None} == {2}


def test_lines_over_layers_tell_probability_and_rank_of_both_models_apart() -> None:
    drawn = drawing.position_figure({"arm": lens([4, 0]), "mdm": lens([9, 1])}, LOOK)
    by_model = {name: [t for t in drawn.data if t.name == name] for name in ("ARM", "MDM")}
    assert [list(trace.y) for trace in by_model["MDM"]] == [[0, 0.3], [10, 2]]
    assert [list(trace.y) for trace in by_model["ARM"]] == [[0, 0.3], [5, 1]]
    assert by_model["ARM"][0].line.dash != by_model["MDM"][0].line.dash
    assert drawn.layout.yaxis2.autorange == "reversed"


def test_the_readable_map_has_a_row_a_step_and_one_for_the_arm() -> None:
    mdm = {(0, 0): lens([1, 0, 0]), (0, 1): lens([1, 1, 1]), (1, 1): lens([0, 0, 0])}
    drawn = drawing.readable_figure(mdm, {0: lens([1, 1, 0]), 1: lens([1, 0, 1])}, ["a", "b"], LOOK)
    assert [list(row) for row in drawn.data[0].text] == [["0", "never"], ["", "emb."], ["1", "never"]]
    assert list(drawn.layout.yaxis.ticktext) == ["step 0", "step 1", "ARM"]
    z = np.array(drawn.data[0].z, dtype=float)
    assert np.isnan(z[1, 0])
    assert z[1, 1] > z[0, 0] > z[2, 0] > z[0, 1] == 0


def test_accuracy_has_its_interval_and_the_arms_line() -> None:
    rows = [StepAccuracy(1, 20, 200), StepAccuracy(11, 195, 200)]
    drawn = drawing.accuracy_figure(rows, (90, 100), LOOK)
    mdm = next(trace for trace in drawn.data if trace.name == "MDM")
    assert list(mdm.y) == [0.1, 0.975]
    for i, row in enumerate(rows):
        low, high = drawing.wilson(row.correct, row.total)
        assert mdm.y[i] + mdm.error_y.array[i] == pytest.approx(high)
        assert mdm.y[i] - mdm.error_y.arrayminus[i] == pytest.approx(low)
    arm = next(trace for trace in drawn.data if trace.name.startswith("ARM"))
    assert set(arm.y) == {0.9}
    band = drawn.layout.shapes[0]
    assert (band.y0, band.y1) == pytest.approx(drawing.wilson(90, 100))


def test_layers_stand_with_the_last_on_top() -> None:
    profiles = np.array([[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]])  # [part, layer]
    drawn = drawing.layers_figure(profiles, ["step-00", "step-03", "step-10"], "mdm", 0.8, LOOK)
    assert np.array(drawn.data[0].z) == pytest.approx(profiles.T[::-1])
    assert list(drawn.layout.yaxis.ticktext) == ["layer 1", "layer 0"]
    assert list(drawn.layout.xaxis.ticktext) == ["0", "3", "10"]


def test_overlaps_of_different_parts_use_the_whole_range_of_shades() -> None:
    values, parts = np.array([[1, 0.25], [0.25, 1]]), ["step-00", "step-01"]
    assert drawing.overlap_figure(values, parts, parts, LOOK.mdm, LOOK).data[0].zmax == 0.25
    sites = drawing.overlap_figure(values, parts, ["site-00", "site-01"], LOOK.mdm, LOOK)
    assert sites.data[0].zmax == 1
    assert sites.layout.xaxis.title.text == "site" and sites.layout.yaxis.title.text == "step"
