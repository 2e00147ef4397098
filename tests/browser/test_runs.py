"""The list of runs as a person uses it."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.held_leases import holding
from tools.browser import wait_until_still


def test_a_run_can_be_deleted(page: Page, address: str) -> None:
    _open(page, address + "runs")
    table = page.get_by_test_id("stDataFrame").first.bounding_box()
    assert table
    page.mouse.click(table["x"] + 17, table["y"] + 53)  # the first row's box; the table itself is a canvas
    page.get_by_role("button", name="Delete 1 run").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("button", name="Delete 1 run")).to_have_count(0)
    _open(page, address + "circuits?task=greater_than")
    expect(page.get_by_text("Not computed yet with these settings: the MDM on")).to_be_visible()


def test_what_another_process_computes_comes_and_goes_without_a_click(
    page: Page, address: str, environment: dict[str, str]
) -> None:
    _open(page, address + "runs")
    header = page.get_by_role("heading", name="Computed elsewhere")
    expect(page.get_by_role("heading", name="In the cache")).to_be_visible()
    expect(header).to_have_count(0)
    files, what = Path(environment["CIRCUITS_CACHE"]) / "artifacts", "circuit of the <b>MDM</b>, seed 1"
    with holding(files, {"a" * 20: what}, "GPU 1") as other:
        expect(header).to_be_visible()
        table = page.get_by_role("table", name="Artifacts that are computed elsewhere")
        expect(table.get_by_role("cell", name=what)).to_be_visible()
        expect(table.get_by_role("cell", name=f"GPU 1, process {other.pid}")).to_be_visible()
        page.evaluate("window.drawnOnce = true")
    expect(header).to_have_count(0, timeout=120_000)  # it was killed
    expect(table).to_have_count(0)
    assert page.evaluate("window.drawnOnce")  # the page was not loaded again


def _open(page: Page, address: str) -> None:
    page.goto(address)
    wait_until_still(page)
