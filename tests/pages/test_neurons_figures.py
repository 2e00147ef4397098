"""Figures and coloured text of single neurons: every point where its numbers say, every token escaped."""

from __future__ import annotations

import re

import numpy as np
import plotly.graph_objects as go
import pytest

from engine.inspection import bins
from pages.figures import neurons
from pages.figures.neurons import Points
from pages.figures.palette import DARK, LIGHT
from tests.fakes import HOSTILE


def points(n: int = 40) -> Points:
    rng = np.random.default_rng(3)
    attribution = {model: rng.normal(0, 1, n).astype(np.float32) for model in ("arm", "mdm")}
    strongest = {model: np.abs(values) > 1 for model, values in attribution.items()}
    promoted = dict.fromkeys(("arm", "mdm"), [(HOSTILE, " Mary", "\n", "fourth")] * n)
    return Points(4, attribution, neurons.hover_of_promoted(promoted), strongest)


def clickable(figure: go.Figure) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.meta == neurons.POINTS_TRACE]


def named(figure: go.Figure, name: str) -> go.Scatter:
    return next(trace for trace in figure.data if trace.name == name)


def test_every_neuron_stands_once_where_its_attributions_say() -> None:
    given = points()
    seen = []
    for trace in clickable(neurons.scatter_figure(given, LIGHT)):
        for neuron, x, y in zip(trace.customdata, trace.x, trace.y, strict=True):
            assert x == given.attribution["arm"][neuron]
            assert y == given.attribution["mdm"][neuron]
            seen.append(neuron)
    assert sorted(seen) == list(range(40))


def test_the_strongest_are_told_apart_by_symbol_and_colour() -> None:
    given = points()
    traces = clickable(neurons.scatter_figure(given, LIGHT))
    assert len({trace.marker.color for trace in traces}) == 4
    assert len({(trace.marker.symbol, trace.marker.size) for trace in traces}) == 4
    arm, mdm = given.strongest["arm"], given.strongest["mdm"]
    wanted = [~arm & ~mdm, arm & ~mdm, mdm & ~arm, arm & mdm]
    assert [list(trace.customdata) for trace in traces] == [np.flatnonzero(group).tolist() for group in wanted]
    assert [int(re.search(r"\((\d+)\)", trace.name)[1]) for trace in traces] == [int(g.sum()) for g in wanted]  # type: ignore[index]


def test_axes_are_the_same_and_hold_every_point_and_the_diagonal() -> None:
    given = points()
    figure = neurons.scatter_figure(given, DARK)
    x, y = figure.layout.xaxis.range, figure.layout.yaxis.range
    assert x == y
    values = np.concatenate(list(given.attribution.values()))
    assert x[0] < values.min() < values.max() < x[1]
    diagonal = named(figure, "same in both")
    assert list(diagonal.x) == list(diagonal.y) == list(x)


def test_hover_says_what_it_promotes_as_text() -> None:
    trace = clickable(neurons.scatter_figure(points(), LIGHT))[0]
    assert trace.text[0].count("&lt;b&gt;x&lt;/b&gt;") == 2
    assert "<b>x" not in trace.text[0]
    assert "␣Mary" in trace.text[0] and "⏎" in trace.text[0]
    assert "fourth" not in trace.text[0]
    assert "m4.%{customdata}" in trace.hovertemplate


def test_chosen_and_pinned_neurons_are_ringed() -> None:
    given = points()
    figure = neurons.scatter_figure(given, LIGHT, 7, [7, 9])
    assert list(named(figure, "chosen").x) == [given.attribution["arm"][7]]
    assert list(named(figure, "pinned").y) == [given.attribution["mdm"][9]]
    assert figure.layout.annotations[0].text == "m4.7"
    bare = neurons.scatter_figure(given, LIGHT)
    assert not len(named(bare, "chosen").x) and not bare.layout.annotations


def test_many_points_are_drawn_by_the_graphics_card() -> None:
    assert {trace.type for trace in clickable(neurons.scatter_figure(points(5000), LIGHT))} == {"scatter"}
    assert {trace.type for trace in clickable(neurons.scatter_figure(points(5001), LIGHT))} == {"scattergl"}


def test_a_layer_that_does_nothing_is_drawn() -> None:
    given = points()
    zero = {model: np.zeros(40, np.float32) for model in ("arm", "mdm")}
    low, high = neurons.scatter_figure(Points(0, zero, given.hover, given.strongest), LIGHT).layout.xaxis.range
    assert low < 0 < high


def test_the_histogram_tells_counts_and_bins() -> None:
    values = np.concatenate([np.zeros(9), np.full(100, 0.5), np.full(1, -3.0)])
    counts = {"arm": bins.counts(values).tolist(), "mdm": [0] * bins.BINS}
    figure = neurons.histogram_figure(counts, LIGHT)
    arm, mdm = figure.data
    told = {label: count for label, count in arm.customdata if count}
    assert told == {bins.label(20): 9, bins.label(int(np.argmax(counts["arm"]))): 100, "-3.2 to -1.8": 1}
    assert figure.layout.yaxis.type == "log"
    assert 10 ** figure.layout.yaxis.range[0] < 1 and 10 ** figure.layout.yaxis.range[1] > 100
    assert max(mdm.y) < 10 ** figure.layout.yaxis.range[0]  # nothing counted lies below the axis
    assert arm.line.dash != mdm.line.dash and arm.line.color != mdm.line.color


def test_ticks_of_the_histogram_stand_at_edges() -> None:
    axis = neurons.histogram_figure({"arm": [1] * bins.BINS}, LIGHT).layout.xaxis
    ticks = dict(zip(axis.ticktext, axis.tickvals, strict=True))
    assert ticks["0"] == 20
    for text in ("-100", "-1", "0.1", "10"):
        assert bins.EDGES[int(ticks[text] + 0.5)] == pytest.approx(float(text))
    assert len(axis.tickvals) < 12


def test_an_empty_histogram_is_drawn() -> None:
    assert neurons.histogram_figure({"arm": [0] * bins.BINS, "mdm": [0] * bins.BINS}, LIGHT).data


def test_coloured_tokens_carry_value_and_shade() -> None:
    body = neurons.coloured_tokens([HOSTILE, " a", "b"], [2.0, -1.0, 0.0], 4.0, 2, {1})
    assert HOSTILE not in body
    assert "&lt;b&gt;x&lt;/b&gt;" in body and "␣a" in body
    cells = re.findall(r'<span style="([^"]*)" title="([^"]*)">', body)
    (first, hover), (second, where), (third, _) = [cell for cell in cells if "position" in cell[1]]
    assert f"rgba(0,158,115,{neurons.STRONGEST_SHADE / 2:.3f})" in first and hover == "+2 at position 0"
    assert f"rgba(204,121,167,{neurons.STRONGEST_SHADE / 4:.3f})" in second and "dotted" in second
    assert "outline" in second and where == "-1 at position 1, where the logits are read"
    assert "0.000)" in third and "outline" not in third + first
    assert body.index("␣a") < body.index("the answer begins here") < body.index("position 2")


def test_shades_end_at_the_strongest() -> None:
    assert neurons.shade(9.0, 3.0) == neurons.shade(3.0, 3.0)
    assert neurons.shade(1.0, 0.0) == neurons.shade(float("nan"), 1.0) == ""


def test_bars_are_as_long_as_their_values() -> None:
    body = neurons.token_bars([HOSTILE, "a"], [4.0, -1.0], 4.0, "red")
    assert re.findall(r"width:(\d+)%;background:red", body) == ["100", "25"]
    assert HOSTILE not in body
    assert "+4.000" in body and "-1.000" in body


def test_a_passage_is_cut_around_its_position() -> None:
    tokens = [f"t{index}" for index in range(100)]
    body = neurons.passage(tokens, 50, "color:red", around=2)
    assert re.sub("<[^>]*>", "", body) == "… t48 t49 t50 t51 t52 …"
    assert re.search(r'<span style="[^"]*color:red[^"]*" title="position 50">t50</span>', body)
    assert re.sub("<[^>]*>", "", neurons.passage(["<i>", "b"], 0, "")) == "&lt;i&gt; b"
    assert neurons.passage(["a", "b"], 7, "", around=9) == "a b"
