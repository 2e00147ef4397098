"""Charts put values where their axes say, within the picture, and escape what they write."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from engine.exchange import svg_charts as charts
from engine.exchange.svg_charts import Axis, Line, Point, Points, Scale, line_chart, log_ticks, scatter_chart, ticks

HOSTILE = "</svg><script>x</script> & 'quoted' \"too\""
LINE = [Point(10, 0.0, -0.1, 0.1), Point(100, 0.5, 0.4, 0.6), Point(1000, 1.0, 0.9, 1.1)]


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 (made by the test)


def coordinates(element: ElementTree.Element) -> list[tuple[float, float]]:
    return [tuple(map(float, pair.split(","))) for pair in element.attrib["points"].split()]  # type: ignore[misc]


def test_points_lie_where_the_axes_say() -> None:
    svg = parsed(line_chart("t", [Line("a", LINE, charts.ARM)], Axis("K", logarithmic=True), Axis("f")))
    drawn = coordinates(next(e for e in svg.iter("polyline")))
    (x0, y0), (x1, y1), (x2, y2) = drawn
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and x0 == charts.LEFT and x2 == charts.WIDTH - charts.RIGHT
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2) and y0 > y1 > y2
    labels = {e.text: float(e.attrib["x"]) for e in svg.iter("text")}
    assert labels["100"] == pytest.approx(x1, abs=0.2)
    band = coordinates(next(e for e in svg.iter("polygon")))
    assert len(band) == 6 and band[0][1] < y0 < band[-1][1]


def test_everything_lies_within_the_picture() -> None:
    names = [f"a line with a rather long name {i}" for i in range(len(charts.SYMBOLS))]
    lines = [Line(name, LINE, charts.MDM, "dot", symbol) for name, symbol in zip(names, charts.SYMBOLS, strict=True)]
    svg = parsed(line_chart("t", lines, Axis("K", logarithmic=True), Axis("f", low=0, high=1)))
    width, height = map(float, svg.attrib["viewBox"].split()[2:])
    for element in svg.iter("text"):
        long, anchor = charts.CHARACTER * len(element.text or ""), element.attrib["text-anchor"]
        start = float(element.attrib["x"]) - {"start": 0, "middle": long / 2, "end": long}[anchor]
        assert 0 <= float(element.attrib["y"]) <= height
        assert "transform" in element.attrib or (start >= -1 and start + long <= width + 1)
    shown = [e for e in svg.iter("text") if e.text in names]
    assert len(shown) == len(names)
    boxes = [(float(e.attrib["x"]), float(e.attrib["y"]), charts.CHARACTER * len(e.text or "")) for e in shown]
    for i, (x, y, w) in enumerate(boxes):
        assert not any(y == v and x < u + z and u < x + w for u, v, z in boxes[i + 1 :])


def test_texts_are_escaped_and_the_title_is_read_out() -> None:
    for svg in (
        line_chart(HOSTILE, [Line(HOSTILE, LINE, charts.ARM)], Axis(HOSTILE), Axis(HOSTILE)),
        scatter_chart(HOSTILE, [Points(HOSTILE, [(0, 0, HOSTILE), (1, 2, "b")], charts.ARM)], Axis("x"), Axis("y")),
    ):
        root = parsed(svg)
        assert root.attrib["role"] == "img" and root.attrib["aria-label"] == HOSTILE
        assert next(root.iter("title")).text == HOSTILE
        assert {e.tag for e in root.iter()} <= {
            "svg", "title", "rect", "line", "text", "polyline", "polygon", "circle", "path",
        }  # fmt: skip
        assert "http" not in svg


def test_names_of_points_overlap_no_others() -> None:
    points = [(math.cos(i), math.sin(i), f"a{i}.h{i}") for i in range(40)]
    svg = parsed(scatter_chart("t", [Points("heads", points, charts.ARM)], Axis("x"), Axis("y"), diagonal=True))
    names = [e for e in svg.iter("text") if re.fullmatch(r"a\d+\.h\d+", e.text or "")]
    assert 8 < len(names) <= 40
    boxes = []
    for e in names:
        width = charts.CHARACTER * len(e.text or "")
        left = float(e.attrib["x"]) - {"start": 0, "middle": width / 2, "end": width}[e.attrib["text-anchor"]]
        boxes.append((left, float(e.attrib["y"]) - 10, left + width, float(e.attrib["y"]) + 3))
    for i, (l0, t0, r0, b0) in enumerate(boxes):
        assert not any(l0 < r1 and l1 < r0 and t0 < b1 and t1 < b0 for l1, t1, r1, b1 in boxes[i + 1 :])


def test_the_diagonal_joins_equal_values() -> None:
    points = [Points("a", [(-2, 1, ""), (3, 4, "")], charts.ARM)]
    svg = parsed(scatter_chart("t", points, Axis("x"), Axis("y"), diagonal=True))
    dashed = next(e for e in svg.iter("line") if "stroke-dasharray" in e.attrib)
    assert float(dashed.attrib["x1"]) == charts.LEFT and float(dashed.attrib["y1"]) == charts.HEIGHT - charts.BOTTOM
    assert float(dashed.attrib["x2"]) == charts.WIDTH - charts.RIGHT and float(dashed.attrib["y2"]) == charts.TOP


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-16.3, 0.2), (0.001, 0.0017), (-3, 1234567), (5, 5.1)])
def test_ticks_are_round_and_few(low: float, high: float) -> None:
    values = ticks(low, high)
    assert 2 <= len(values) <= 8 and all(low - 1e-9 <= v <= high + 1e-9 for v in values)
    steps = {round(b - a, 9) for a, b in pairwise(values)}
    assert len(steps) == 1
    mantissa = steps.pop() / 10 ** math.floor(math.log10((values[1] - values[0]) * (1 + 1e-9)))
    assert min(abs(mantissa - factor) for factor in (1, 2, 5, 10)) < 1e-6


def test_logarithmic_ticks() -> None:
    assert log_ticks(1, 3628) == [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]
    assert log_ticks(1, 1e6) == [10.0**e for e in range(7)]


def test_scales_and_charts_of_little() -> None:
    assert Scale(1, 100, 0, 10, logarithmic=True)(10) == pytest.approx(5)
    for lines in ([], [Line("a", [], charts.ARM)], [Line("a", [Point(3, 3)], charts.ARM, symbol="cross")]):
        parsed(line_chart("t", lines, Axis("x", logarithmic=True), Axis("y")))
    parsed(scatter_chart("t", [], Axis("x"), Axis("y"), diagonal=True))
