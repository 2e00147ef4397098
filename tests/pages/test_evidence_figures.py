"""Figures of evidence: what stands where, what is told apart without colour, what is text."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from engine.circuits.intervals import Estimate
from pages.figures.evidence_scatter import Knocked, audit_figure, knockouts_figure
from pages.figures.faithfulness import Line, Mark, Removal, along_figure, curves_figure, removal_figure
from pages.figures.palette import DARK, LIGHT, transparent
from pages.figures.transfer import matrix_figure

OWN = Line("own circuit", "own", [10, 100, 1000], [0.1, 0.5, 1.0], [0.0, 0.4, None], [0.2, 0.6, None])
RANDOM = Line("random edges", "random", [10, 100], [0.0, 0.1], [None, None], [None, None])


def trace(drawn: go.Figure, name: str) -> go.Scatter:
    return next(entry for entry in drawn.data if entry.name == name)


def styles(drawn: go.Figure) -> list[tuple[str, str]]:
    return [(t.line.dash, t.marker.symbol) for t in drawn.data if t.mode == "lines+markers"]


@pytest.mark.parametrize("palette", [LIGHT, DARK])
@pytest.mark.parametrize("model", ["arm", "mdm"])
def test_lines_over_k_have_bands_and_marks_where_they_belong(palette: object, model: str) -> None:
    marks = [Mark(200, "K = 200", strong=False), Mark(80, "f = 0.85", strong=True)]
    drawn = curves_figure([OWN, RANDOM], marks, model, "f", 1.0, palette)  # type: ignore[arg-type]
    assert drawn.layout.xaxis.type == "log"
    band = trace(drawn, "own circuit, range")
    assert list(band.x) == [10, 100, 100, 10] and list(band.y) == [0.0, 0.4, 0.6, 0.2]
    assert not [entry for entry in drawn.data if entry.name == "random edges, range"]
    assert list(trace(drawn, "own circuit").customdata) == [" (0.000 to 0.200)", " (0.400 to 0.600)", ""]
    assert [(shape.x0, shape.x1) for shape in drawn.layout.shapes if shape.x0 == shape.x1] == [(200, 200), (80, 80)]
    assert [note.x for note in drawn.layout.annotations] == pytest.approx([np.log10(200), np.log10(80)])
    assert len(set(styles(drawn))) == 2


def test_every_circuit_has_a_dash_and_a_symbol_of_its_own() -> None:
    names = ("own", "signed", "random", "complement", "other")
    lines = [Line(name, name, [1, 2], [0.0, 1.0], [None] * 2, [None] * 2) for name in names]  # type: ignore[arg-type]
    drawn = curves_figure(lines, [], "mdm", "right", 0.9, LIGHT)
    assert len(set(styles(drawn))) == len(names) and drawn.layout.yaxis.tickformat == ".0%"


def test_checkpoints_stand_in_their_order_and_a_gap_stays_one() -> None:
    drawn = along_figure(["0", "100", "1,000"], [("ARM's circuit", "other", [1.0, None, 0.5])], LIGHT)
    line = trace(drawn, "ARM's circuit")
    assert list(line.x) == [0, 1, 2] and line.y[1] is None
    assert list(drawn.layout.xaxis.ticktext) == ["0", "100", "1,000"]


def test_removals_show_the_range_of_random_components() -> None:
    removal = Removal("arm", [(0, 1.0), (4, 0.5)], [(0, 1.0, 1.0, 1.0), (4, 0.9, 0.8, 1.0)])
    drawn = removal_figure([removal, Removal("mdm", [], [])], LIGHT)
    assert list(trace(drawn, "ARM: random, range").y) == [1.0, 0.8, 1.0, 1.0]
    assert list(trace(drawn, "ARM: strongest").y) == [1.0, 0.5] and not list(trace(drawn, "MDM: strongest").x)


def test_a_click_on_a_component_brings_its_name_and_the_chosen_one_is_named() -> None:
    points = [Knocked("a1.h2", True, -3.0, -1.0), Knocked("m0", False, 0.5, 0.25)]
    drawn = knockouts_figure(points, "m0", LIGHT)
    assert list(trace(drawn, "head").customdata) == ["a1.h2"] and list(trace(drawn, "MLP").x) == [0.5]
    assert list(trace(drawn, "chosen").text) == ["m0"]
    assert trace(drawn, "head").marker.symbol != trace(drawn, "MLP").marker.symbol
    assert drawn.layout.xaxis.range == drawn.layout.yaxis.range
    assert "chosen" not in [entry.name for entry in knockouts_figure(points, "input", LIGHT).data]
    assert knockouts_figure([], None, LIGHT).layout.xaxis.range == (-1.0, 1.0)


def test_estimates_are_across_and_exact_scores_up() -> None:
    drawn = audit_figure([1.0, 2.0], [3.0, 4.0], ["a->b", "b->c"], [True, False], LIGHT.arm, LIGHT)
    strongest = trace(drawn, "strongest edges")
    assert (list(strongest.x), list(strongest.y), list(strongest.customdata)) == ([3.0], [1.0], ["a->b"])
    assert list(trace(drawn, "drawn evenly over ranks").x) == [4.0]


def test_a_matrix_says_intervals_and_escapes_names() -> None:
    cells = [[Estimate(0.5, 0.25, 0.75), None], [Estimate(-0.001, None, None), Estimate(1.0, 1.0, 1.0)]]
    drawn = matrix_figure(["<b>x</b>", "y"], ["in the ARM", "in the MDM"], cells, [["", ""], ["", ""]], LIGHT)
    text = np.array(drawn.data[0].text)
    assert text[0, 0] == "<b>0.50</b><br>0.25 to 0.75" and text[0, 1] == "" and text[1, 0] == "<b>0.00</b>"
    broken = matrix_figure(["x"], ["ARM\nwith <i>"], [[None]], [[""]], LIGHT)
    assert list(broken.layout.xaxis.ticktext) == ["ARM<br>with &lt;i&gt;"]
    assert np.isnan(drawn.data[0].z[0][1]) and list(drawn.layout.yaxis.ticktext) == ["&lt;b&gt;x&lt;/b&gt;", "y"]


def test_a_colour_lets_through_what_is_behind_it() -> None:
    assert transparent("#0072B2", 0.18) == "rgba(0,114,178,0.18)"
