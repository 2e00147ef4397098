"""The denoising page's figures: trajectories, lens maps, overlaps of steps, accuracy."""

from __future__ import annotations

import numpy as np
import pytest

from engine.circuits.intervals import wilson
from engine.runs.answer_lens import AnswerLens
from engine.runs.rows import StepAccuracy, TrajectoryStep
from pages.figures import answer_lens, palette
from pages.figures import denoising as drawing
from pages.figures.heat import SELECT_TRACE
from pages.figures.trajectory import trajectory_figure

PALETTE = palette.LIGHT
HOSTILE = "<b>x</b>"


def trajectory(correct: bool = True) -> list[TrajectoryStep]:
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


def test_a_trajectory_tells_revealed_hidden_and_visible_cells_apart() -> None:
    drawn = trajectory_figure(trajectory(), ["p", "q", "r"], PALETTE)
    revealed, hidden, before = (cells(drawn, name) for name in ("revealed", "hidden", "visible"))
    where = [{(int(r), int(c)) for r, c in np.argwhere(~np.isnan(z))} for z in (revealed, hidden, before)]
    assert where[0] == {(0, 2), (2, 0), (2, 1)}
    assert where[1] == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert where[2] == {(1, 2), (2, 2), (3, 0), (3, 1), (3, 2)}
    assert revealed[2, 0] == pytest.approx(0.2) and hidden[0, 1] == 0.5
    box = next(trace for trace in drawn.data if trace.name == "box")
    assert len(box.x) == 6 * len(where[0])
    text = {t.name: t.text for t in drawn.data if t.type == "heatmap"}
    assert text["revealed"][0][2] == "<b>c</b>" and text["hidden"][1][0] == "<i>x</i>" and text["visible"][1][2] == "c"
    assert text["hidden"][0][1] == "<i>&lt;b&gt;x&lt;/b&gt;</i>"


def test_a_click_in_a_trajectory_chooses_its_position_whose_column_is_marked() -> None:
    drawn = trajectory_figure(trajectory(), ["p", "q", "r"], PALETTE, 1)
    clicks = next(trace for trace in drawn.data if trace.name == SELECT_TRACE)
    assert len(clicks.x) == 4 * 3
    assert [str(x) for x in clicks.x] == list(clicks.customdata)
    at = list(zip(clicks.y, clicks.x, strict=True)).index((0, 1))
    assert clicks.text[at].startswith("<b>&lt;b&gt;x&lt;/b&gt;</b><br>step 0, position 1")
    (mark,) = [shape for shape in drawn.layout.shapes if shape.name == "chosen"]
    assert (mark.x0, mark.x1, mark.y0, mark.y1) == (0.5, 1.5, -0.5, 3.5)
    without = trajectory_figure(trajectory(), ["p", "q", "r"], PALETTE)
    assert "chosen" not in [shape.name for shape in without.layout.shapes]


def test_a_trajectory_ends_with_its_answer_and_whether_it_is_right() -> None:
    for correct, label in ((True, "<b>solved</b>"), (False, "<b>not solved</b>")):
        drawn = trajectory_figure(trajectory(correct), ["p", "q", "r"], PALETTE)
        assert drawn.layout.yaxis.ticktext[-1] == label
        last = next(trace for trace in drawn.data if trace.name == "visible")
        assert list(last.text[-1]) == ["<b>p</b>", "<b>q</b>", "<b>c</b>"]
        assert "the right answer has r" in last.customdata[-1][2]
        assert "as in the right answer" in last.customdata[-1][0]


def lens(rank: list[int]) -> AnswerLens:
    n = len(rank)
    return AnswerLens((HOSTILE,) * n, np.linspace(0.5, 1, n), np.linspace(0, 0.3, n), np.array(rank))


def test_the_lens_map_has_the_last_layer_on_top_and_answers_clicks_only_at_masked_positions() -> None:
    drawn = answer_lens.lens_figure({1: lens([5, 3, 0]), 2: lens([1, 1, 1])}, ["a", "b", "c"], 2, "mdm", PALETTE)
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
    drawn = answer_lens.position_figure({"arm": lens([4, 0]), "mdm": lens([9, 1])}, PALETTE)
    by_model = {name: [t for t in drawn.data if t.name == name] for name in ("ARM", "MDM")}
    assert [list(trace.y) for trace in by_model["MDM"]] == [[0, 0.3], [10, 2]]
    assert [list(trace.y) for trace in by_model["ARM"]] == [[0, 0.3], [5, 1]]
    assert by_model["ARM"][0].line.dash != by_model["MDM"][0].line.dash
    assert drawn.layout.yaxis2.autorange == "reversed"


def test_the_readable_map_has_a_row_a_step_and_one_for_the_arm() -> None:
    mdm = {(0, 0): lens([1, 0, 0]), (0, 1): lens([1, 1, 1]), (1, 1): lens([0, 0, 0])}
    drawn = answer_lens.readable_figure(mdm, {0: lens([1, 1, 0]), 1: lens([1, 0, 1])}, ["a", "b"], PALETTE)
    assert [list(row) for row in drawn.data[0].text] == [["0", "never"], ["", "emb."], ["1", "never"]]
    assert list(drawn.layout.yaxis.ticktext) == ["step 0", "step 1", "ARM"]
    z = np.array(drawn.data[0].z, dtype=float)
    assert np.isnan(z[1, 0])
    assert z[1, 1] > z[0, 0] > z[2, 0] > z[0, 1] == 0


def test_accuracy_has_its_interval_and_the_arms_line() -> None:
    rows = [StepAccuracy(1, 20, 200), StepAccuracy(11, 195, 200)]
    drawn = drawing.accuracy_figure(rows, (90, 100), PALETTE)
    mdm = next(trace for trace in drawn.data if trace.name == "MDM")
    assert list(mdm.y) == [0.1, 0.975]
    for i, row in enumerate(rows):
        low, high = wilson(row.correct / row.total, row.total)
        assert mdm.y[i] + mdm.error_y.array[i] == pytest.approx(high)
        assert mdm.y[i] - mdm.error_y.arrayminus[i] == pytest.approx(low)
    arm = next(trace for trace in drawn.data if trace.name.startswith("ARM"))
    assert set(arm.y) == {0.9}
    band = drawn.layout.shapes[0]
    assert (band.y0, band.y1) == pytest.approx(wilson(0.9, 100))


def test_layers_stand_with_the_last_on_top() -> None:
    profiles = np.array([[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]])  # [part, layer]
    drawn = drawing.layers_figure(profiles, ["step-00", "step-03", "step-10"], "mdm", 0.8, PALETTE)
    assert np.array(drawn.data[0].z) == pytest.approx(profiles.T[::-1])
    assert list(drawn.layout.yaxis.ticktext) == ["layer 1", "layer 0"]
    assert list(drawn.layout.xaxis.ticktext) == ["0", "3", "10"]


def test_overlaps_of_different_parts_use_the_whole_range_of_shades() -> None:
    values, parts = np.array([[1, 0.25], [0.25, 1]]), ["step-00", "step-01"]
    assert drawing.overlap_figure(values, parts, parts, PALETTE.mdm, PALETTE).data[0].zmax == 0.25
    sites = drawing.overlap_figure(values, parts, ["site-00", "site-01"], PALETTE.mdm, PALETTE)
    assert sites.data[0].zmax == 1
    assert sites.layout.xaxis.title.text == "site" and sites.layout.yaxis.title.text == "step"
