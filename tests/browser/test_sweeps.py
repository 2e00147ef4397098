"""The heat map of a sweep in a browser: hover texts and clicks on any place of a cell, a file to download."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest
from playwright.sync_api import Page, expect

from engine import settings
from engine.sweeps.saved import save
from engine.sweeps.sweep_file import Sweep
from engine.sweeps.table import SIZES, rows
from tools.browser import wait_until_still

GRID = Sweep("grid", tasks=("countdown", "ioi"), seeds=(0, 1))


@pytest.fixture
def overview(page: Page, address: str, runs: None) -> Iterator[Page]:
    save(GRID)
    page.goto(address)
    wait_until_still(page)
    yield page
    (settings.sweeps_dir() / "grid.toml").unlink()


@pytest.mark.parametrize(("across", "seed"), [(0.2, ""), (0.45, ""), (0.95, "&seed=1")])
def test_a_click_anywhere_on_a_cell_opens_its_comparison(overview: Page, across: float, seed: str) -> None:
    cells = overview.get_by_test_id("stPlotlyChart").last.locator(".heatmaplayer")
    cells.scroll_into_view_if_needed()
    plot = overview.get_by_test_id("stPlotlyChart").last.locator(".nsewdrag").bounding_box()
    assert plot
    x, y = plot["x"] + across * plot["width"], plot["y"] + 0.7 * plot["height"]
    overview.mouse.move(x, y)
    expect(overview.locator(".hovertext").last).to_contain_text("Indirect object identification, Fake pair")
    overview.mouse.click(x, y)
    expect(overview).to_have_url(re.compile(rf"/circuits\?pair=embedded&task=ioi(&k=200{seed}|{seed}&k=200)$"))


def test_the_table_that_is_downloaded_has_intervals(overview: Page, tmp_path: Path) -> None:
    with overview.expect_download() as download:
        overview.get_by_role("button", name="Table as Parquet").click()
    assert download.value.suggested_filename == "grid.parquet"
    download.value.save_as(tmp_path / "table.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "table.parquet")
    assert table.equals(rows(GRID, SIZES)) and len(table) == 2 * len(SIZES)
    assert table["overlap_low"].null_count == 0
