"""The overview's chart on narrow and wide screens: its legend and the names of tasks don't overlap."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page

from engine.circuits.comparison import SplitHalf
from pages.figures.overview import TaskRow, overview_figure
from pages.figures.palette import LIGHT

ROW = TaskRow("Indirect object identification", 0.57, 0.03, 0.5, SplitHalf(0.7, 0.8, 0.6), (("Dream", 0.19),))


def box(of: Locator) -> tuple[float, float]:
    """Where it begins and ends, in pixels from the top."""
    at = of.bounding_box()
    assert at
    return at["y"], at["y"] + at["height"]


@pytest.mark.parametrize(("width", "rows"), [(300, 1), (388, 1), (1300, 4)])
def test_the_legend_ends_above_the_first_task_and_its_number(page: Page, width: int, rows: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.set_content(overview_figure([ROW] * rows, LIGHT).to_html(config={"displayModeBar": False}))
    legend = page.locator(".legend .bg")
    legend.wait_for()
    _, end = box(legend)
    (title, _), (number, _) = (box(page.locator(which).first) for which in (".annotation-text", ".textpoint"))
    assert end <= title < number
