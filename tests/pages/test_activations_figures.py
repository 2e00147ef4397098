"""Figures of the activations page: what stands where, what can be clicked, what both models share."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from engine.circuits.intervals import BandContrast, Bands, mean_contrast
from engine.inspection import bins
from engine.runs.rows import LayerHistogram
from pages.figures import activation_maps as maps
from pages.figures import activations as drawing
from pages.figures import palette
from pages.figures.heat import SELECT_TRACE

PALETTE = palette.LIGHT
ARM, MDM = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])


def histogram(layer: int, values: np.ndarray, region: str = "prompt") -> LayerHistogram:
    counted = tuple(bins.counts(values).tolist())
    return LayerHistogram(layer, region, counted, values.size, float(values.mean()), float(values.std()), 0.5, 0.3)


def trace(figure: go.Figure, name: str) -> go.Bar:
    return next(drawn_trace for drawn_trace in figure.data if drawn_trace.name == name)


def drawn(shares: bool = False, chosen: int | None = None) -> tuple[go.Figure, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    arm, mdm = rng.normal(0, 1, 500), rng.normal(0, 3, 1500)
    rows = histogram(0, arm), histogram(0, mdm)
    figure = drawing.histogram_figure(*rows, drawing.shown_bins(rows), chosen, shares, PALETTE)
    return figure, arm, mdm


def test_a_mirrored_profile_has_the_arm_on_the_left_and_the_mdm_on_the_right() -> None:
    figure = drawing.profile_figure(ARM, MDM, 1, 2, True, PALETTE)
    assert trace(figure, "ARM").x.tolist() == (-ARM).tolist()
    assert trace(figure, "MDM").x.tolist() == MDM.tolist()
    low, high = figure.layout.xaxis.range
    assert low == -high
    assert all("-" not in tick for tick in figure.layout.xaxis.ticktext)


def test_a_grouped_profile_has_both_on_one_axis_and_none_over_the_other() -> None:
    figure = drawing.profile_figure(ARM, MDM, 1, 2, False, PALETTE)
    arm, mdm = trace(figure, "ARM"), trace(figure, "MDM")
    assert arm.x.tolist() == ARM.tolist()
    assert figure.layout.xaxis.range[0] == 0
    assert mdm.offset + mdm.width <= arm.offset


@pytest.mark.parametrize("mirrored", [True, False])
def test_every_layer_can_be_clicked_over_the_whole_width_and_tells_both_shares(mirrored: bool) -> None:
    figure = drawing.profile_figure(ARM, MDM, 1, 2, mirrored, PALETTE)
    target = trace(figure, drawing.TARGETS)
    low, high = figure.layout.xaxis.range
    assert list(target.customdata) == [0, 1, 2]
    assert target.base == low
    assert target.x[0] == pytest.approx(high - low)
    assert target.text[1] == "layer 1: ARM 30.0%, MDM 30.0%"
    assert [shown.name for shown in figure.data if shown.hoverinfo != "skip"] == [drawing.TARGETS]


@pytest.mark.parametrize("early", [1, 3])
def test_the_early_layers_and_the_chosen_one_are_marked(early: int) -> None:
    shapes = drawing.profile_figure(ARM, MDM, early, 2, True, PALETTE).layout.shapes
    spans = [(shape.y0, shape.y1) for shape in shapes if shape.type == "rect"]
    assert spans == [(-0.5, early - 0.5), (1.5, 2.5)]


def test_a_histogram_has_numpys_counts_in_common_bins() -> None:
    figure, arm, mdm = drawn()
    first = int(trace(figure, drawing.TARGETS).customdata[0])
    for name, values in (("ARM", arm), ("MDM", mdm)):
        line = trace(figure, name)
        for bin_index, height in zip(line.x, line.y, strict=True):
            low, high = bins.EDGES[bin_index], bins.EDGES[bin_index + 1]
            counted = int(((values >= low) & (values < high)).sum())
            assert (0 if np.isnan(height) else height) == counted
    assert trace(figure, "ARM").x.tolist() == trace(figure, "MDM").x.tolist()
    assert first == int(np.flatnonzero(bins.counts(mdm))[0])
    assert figure.layout.yaxis.type == "log"


def test_shares_are_of_each_models_own_activations() -> None:
    figure = drawn(shares=True)[0]
    for name in ("ARM", "MDM"):
        assert np.nansum(trace(figure, name).y) == pytest.approx(1)


def test_every_bin_can_be_clicked_and_tells_its_range_and_counts() -> None:
    figure, arm, _ = drawn(chosen=21)
    target = trace(figure, drawing.TARGETS)
    at = list(target.customdata).index(21)
    inside = int(((arm >= 0.01) & (arm < bins.EDGES[22])).sum())
    assert target.text[at].startswith(f"{bins.label(21)}<br>ARM: {inside:,} ({inside / 500:.2%})<br>MDM: ")
    assert np.log10(target.y[at]) == pytest.approx(figure.layout.yaxis.range[1])
    (frame,) = figure.layout.shapes
    assert (frame.x0, frame.x1) == (20.5, 21.5)


def test_ticks_stand_at_the_edges_of_bins() -> None:
    axis = drawn()[0].layout.xaxis
    for place, label in zip(axis.tickvals, axis.ticktext, strict=True):
        if label != "0":
            assert bins.EDGES[round(place + 0.5)] == pytest.approx(float(label))


def test_empty_histograms_are_drawn_too() -> None:
    nothing = LayerHistogram(0, "answer", (0,) * bins.BINS, 0, 0.0, 0.0, 0.0, 0.0)
    assert drawing.shown_bins([nothing]) == (0, bins.BINS - 1)
    drawing.histogram_figure(nothing, nothing, (0, bins.BINS - 1), None, True, PALETTE)


def test_statistics_show_four_numbers_of_both_models() -> None:
    rows = [histogram(layer, np.random.default_rng(layer).normal(layer, 1, 99)) for layer in range(3)]
    figure = maps.statistics_figure(rows, rows[::-1], PALETTE)
    assert len(figure.data) == 8
    means = [shown for shown in figure.data if shown.xaxis == "x3"]
    assert [list(shown.x) for shown in means] == [[0, 1, 2], [2, 1, 0]]
    assert list(means[0].y) == [row.mean for row in rows]


@pytest.mark.parametrize("kind", ["residual", "heads"])
def test_both_models_norms_share_one_colour_scale(kind: str) -> None:
    arm, mdm = (maps.Norms(m, np.random.default_rng(i).uniform(1, 900, (4, 5))) for i, m in enumerate(("arm", "mdm")))
    if kind == "residual":
        figure = maps.residual_figure(arm, mdm, np.arange(-3, 2), PALETTE)
        expected = np.log10(mdm.mean)
    else:
        figure, expected = maps.heads_figure(arm, mdm, PALETTE), mdm.mean
    assert [shown.coloraxis for shown in figure.data if shown.type == "heatmap"] == ["coloraxis", "coloraxis"]
    assert np.allclose(figure.data[1].z, expected)
    assert np.allclose(figure.data[1].customdata, mdm.mean)
    assert [title.text for title in figure.layout.annotations] == ["ARM", "MDM"]


def test_every_head_can_be_clicked_in_both_models_and_the_chosen_one_is_framed() -> None:
    arm, mdm = (maps.Norms(m, np.random.default_rng(i).uniform(1, 9, (4, 5))) for i, m in enumerate(("arm", "mdm")))
    figure = maps.heads_figure(arm, mdm, PALETTE, (2, 3))
    targets = [shown for shown in figure.data if shown.name == SELECT_TRACE]
    assert [shown.xaxis for shown in targets] == ["x", "x2"]
    for shown, norms in zip(targets, (arm, mdm), strict=True):
        assert len(shown.customdata) == 20
        at = list(shown.customdata).index("a2.h3")
        assert (shown.y[at], shown.x[at]) == (2, 3)
        assert shown.text[at].endswith(f"a2.h3: norm {norms.mean[2, 3]:.3g}")
    frames = [shown for shown in figure.data if shown.name == "frame"]
    assert {(min(f.x[:4]) < 3 < max(f.x[:4]), min(f.y[:4]) < 2 < max(f.y[:4])) for f in frames} == {(True, True)}
    assert not any(len(f.x) for f in maps.heads_figure(arm, mdm, PALETTE).data if f.name == "frame")


def test_missing_and_zero_norms_are_gaps() -> None:
    some = maps.Norms("arm", np.array([[np.nan, 0.0, 10.0]]))
    figure = maps.residual_figure(some, some, np.arange(3), PALETTE)
    assert np.isnan(figure.data[0].z).tolist() == [[True, True, False]]
    none = maps.Norms("arm", np.full((1, 3), np.nan))
    maps.residual_figure(none, none, np.arange(3), PALETTE)


def test_a_band_runs_between_the_ends_of_the_interval() -> None:
    rng = np.random.default_rng(0)
    contrast = mean_contrast(rng.normal(2, 1, (64, 3)), rng.normal(1, 1, (64, 3)))
    figure = maps.lens_figure(contrast, "entropy", False, PALETTE)
    band = trace(figure, "ARM - MDM, 95 % interval")
    line = trace(figure, "ARM - MDM")
    assert list(band.y) == [*contrast.difference.high, *contrast.difference.low[::-1]]
    assert list(line.y) == list(contrast.difference.value)
    assert line.customdata[0] == f"{contrast.difference.low[0]:.3f} to {contrast.difference.high[0]:.3f}"
    assert band.xaxis == line.xaxis == "x2"


def test_without_an_interval_there_is_no_band() -> None:
    bands = Bands(np.arange(3.0), None, None)
    figure = maps.lens_figure(BandContrast(bands, bands, bands), "entropy", True, PALETTE)
    assert len(figure.data) == 3
    assert not any(shown.fill for shown in figure.data)
