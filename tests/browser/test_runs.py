"""The list of runs as a person uses it."""

from __future__ import annotations

from playwright.sync_api import Page, expect

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


def _open(page: Page, address: str) -> None:
    page.goto(address)
    wait_until_still(page)
