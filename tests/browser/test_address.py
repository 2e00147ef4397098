"""Links as a person opens them: what is not here is said, what is here is shown and the address says it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as Late

from tests.browser.workbench import Workbench
from tools.browser import wait_until_still


def test_a_link_to_a_pair_that_is_not_here_says_so_and_goes_on_with_one_that_is(page: Page, address: str) -> None:
    _open(page, address + "circuits?pair=nonsense&k=123")
    expect(_notes(page)).to_contain_text("There is no pair called 'nonsense'")
    expect(page.locator(".js-plotly-plot")).to_have_count(0)
    assert page.url.endswith("circuits?pair=nonsense&k=123")
    page.get_by_role("button", name="Fake pair").click()
    Workbench(page).has_k(123)
    expect(_notes(page)).to_have_count(0)
    expect(page).to_have_url(address + "circuits?k=123")


def test_a_task_that_is_gone_stays_gone_on_the_next_page_until_another_is_chosen(page: Page, address: str) -> None:
    _open(page, address + "circuits?task=own-0123456789ab&k=77")
    expect(_notes(page)).to_contain_text("own-0123456789ab")
    page.get_by_role("link", name="Activations").first.click()
    expect(page.get_by_role("heading", name="Activations")).to_be_visible()
    expect(_notes(page)).to_contain_text("own-0123456789ab")
    page.get_by_role("button", name="COUNTDOWN").click()
    expect(page.get_by_text("at K = 77").first).to_be_attached()
    expect(page).to_have_url(address + "activations?task=countdown&k=77")
    page.reload()
    wait_until_still(page)
    expect(_field(page)).to_have_value("77")
    expect(_notes(page)).to_have_count(0)


def test_texts_that_no_widget_can_take_become_sentences(page: Page, address: str) -> None:
    _open(page, address + "circuits?k=1e999&sign=&node=a99.h3&step=123&foo=1")
    for words in ("K “1e999”", "“sign=”", "“a99.h3”", "“123”", "“foo”"):
        expect(_notes(page)).to_contain_text(words)
    Workbench(page).has_k(200)
    assert not any(key in page.url for key in ("k=", "sign=", "node="))
    page.go_back()
    wait_until_still(page)
    Workbench(page).has_k(200)
    page.get_by_role("button", name="Hide this").click()
    expect(_notes(page)).to_have_count(0)


@pytest.mark.parametrize("k", [7, 123])
def test_any_k_is_in_field_curve_and_address(page: Page, address: str, k: int) -> None:
    bench = Workbench(page)
    bench.open(f"{address}circuits?k={k}")
    bench.has_k(k)
    expect(bench.part("k")).to_have_value(str(k))
    expect(_notes(page)).to_have_count(0)
    assert page.url.endswith(f"?k={k}")
    bench.part("curve").press("End")
    bench.has_k(3628)
    expect(bench.part("k")).to_have_value("3628")
    expect(page).to_have_url(address + "circuits?k=3628")
    bench.part("k").fill("1234")
    bench.part("k").press("Enter")
    bench.has_k(1234)
    expect(page).to_have_url(address + "circuits?k=1234")


def test_k_goes_along_and_comes_back(page: Page, address: str) -> None:
    _open(page, address + "circuits?k=123")
    page.get_by_role("link", name="Activations").first.click()
    expect(page.get_by_role("heading", name="Activations")).to_be_visible()
    expect(page).to_have_url(address + "activations?k=123")
    wait_until_still(page)
    expect(_field(page)).to_have_value("123")
    for _ in range(3):  # an address that the app completes is visited twice
        page.go_back()
        with suppress(Late):  # else a slow answer is taken for none, and one press more leaves the page
            page.wait_for_url("**/circuits*", timeout=5_000)
        wait_until_still(page)
        if "/circuits" in page.url:
            break
    Workbench(page).has_k(123)
    expect(page).to_have_url(address + "circuits?k=123")


def _open(page: Page, address: str) -> None:
    page.goto(address)
    wait_until_still(page)


def _notes(page: Page) -> Locator:
    return page.get_by_test_id("stAlert").filter(has_text="The link")


def _field(page: Page) -> Locator:
    return page.locator(".st-key-k input")
