"""The picture of a loss curve: a line per task on a logarithmic axis, legible, with no foreign markup."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from engine.training.loss_chart import BOTTOM, HEIGHT, RIGHT, TOP, WIDTH, loss_svg

SVG = "{http://www.w3.org/2000/svg}"
LOSSES = {"ioi": 1.0, "greater_than": 40.0, "countdown": 300.0, "sudoku": 0.0}


def points(svg: str) -> list[list[tuple[float, float]]]:
    lines = ET.fromstring(svg).findall(f"{SVG}polyline")  # noqa: S314 - our own text
    return [[tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()] for line in lines]


def test_the_chart_has_a_line_per_task_on_a_log_axis() -> None:
    svg = loss_svg({"IOI": [(100, 10.0), (200, 1.0), (300, 0.1)], "<b>": [(100, 0.0), (300, 5.0)]}, "Loss & more")
    falling, hostile = points(svg)
    drops = [b[1] - a[1] for a, b in pairwise(falling)]
    assert drops[0] == pytest.approx(drops[1], abs=0.2)
    assert drops[0] > 10
    assert hostile[0][1] > falling[-1][1]  # a loss of 0 is drawn at the bottom
    texts = [node.text for node in ET.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314 - our own text
    assert {"IOI", "<b>", "Loss & more", "10", "1", "0.1", "300"} <= set(texts)


def test_every_line_stays_inside_the_plot() -> None:
    lines = {task: [(step, loss / step) for step in range(100, 1700, 100)] for task, loss in LOSSES.items()}
    drawn = points(loss_svg(lines, "MDM: training loss"))
    assert len(drawn) == len(LOSSES)
    assert all(0 < x < WIDTH and TOP <= y <= HEIGHT - BOTTOM for line in drawn for x, y in line)


def test_a_single_point_is_drawn() -> None:
    assert points(loss_svg({"IOI": [(100, 1.0)]}, "Loss")) == [[(WIDTH - RIGHT, HEIGHT - BOTTOM)]]
