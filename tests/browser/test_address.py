"""Links as a person opens them, and Back: what is not here is said, what is here is shown and the address says it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.workbench import Workbench
from tools.browser import wait_until_still

DEFAULTS = {
    "circuits": "pair=embedded&task=ioi&k=200&step=final",
    "activations": "pair=embedded&task=ioi&k=200&step=final&view=mirrored&layer=0",
    "neurons": "pair=embedded&task=ioi&k=200&step=final&sort=either",
    "denoising": "pair=embedded&task=ioi&k=200&step=final&sampler=confidence",
}


def test_a_link_to_a_pair_that_is_not_here_says_so_and_goes_on_with_one_that_is(page: Page, address: str) -> None:
    _open(page, address + "circuits?pair=nonsense&k=123")
    expect(_notes(page)).to_contain_text("There is no pair called 'nonsense'")
    expect(_component(page)).to_have_count(0)
    assert page.url.endswith("circuits?pair=nonsense&k=123")
    page.get_by_role("button", name="Fake pair").click()
    expect(_k(page)).to_have_value("123")
    expect(_notes(page)).to_have_count(0)
    expect(page).to_have_url(address + "circuits?pair=embedded&k=123")


def test_a_task_that_is_gone_stays_gone_on_the_next_page_until_another_is_chosen(page: Page, address: str) -> None:
    _open(page, address + "circuits?task=own-0123456789ab&k=77")
    expect(_notes(page)).to_contain_text("own-0123456789ab")
    _go(page, "Activations")
    expect(_notes(page)).to_contain_text("own-0123456789ab")
    page.get_by_role("button", name="COUNTDOWN").click()
    expect(page.get_by_text("at K = 77").first).to_be_attached()
    expect(page).to_have_url(address + "activations?task=countdown&k=77")
    page.reload()
    wait_until_still(page)
    expect(_k(page)).to_have_value("77")
    expect(_notes(page)).to_have_count(0)


def test_texts_that_no_widget_can_take_become_sentences(page: Page, address: str) -> None:
    _open(page, address + "circuits?k=1e999&sign=&node=a99.h3&step=123&foo=1")
    for words in ("K “1e999”", "“sign=”", "“a99.h3”", "“123”", "“foo”"):
        expect(_notes(page)).to_contain_text(words)
    expect(_k(page)).to_have_value("200")
    assert not any(key in page.url for key in ("k=", "sign=", "node="))
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
    expect(page.get_by_role("heading", name="Activations", level=1)).to_be_visible()
    expect(page).to_have_url(address + "activations?k=123")
    wait_until_still(page)
    expect(_k(page)).to_have_value("123")
    page.go_back()
    Workbench(page).has_k(123)
    expect(page).to_have_url(address + "circuits?k=123")


@pytest.mark.parametrize("k", [7, 123])
def test_any_k_is_in_field_and_address(page: Page, address: str, k: int) -> None:
    _open(page, f"{address}activations?k={k}")
    expect(_k(page)).to_have_value(str(k))
    expect(_notes(page)).to_have_count(0)
    assert page.url.endswith(f"?k={k}")
    _k(page).fill("1234")
    _k(page).press("Enter")
    expect(page).to_have_url(address + "activations?k=1234")


def test_pickers_show_titles_and_the_address_keeps_keys(page: Page, address: str) -> None:
    _open(page, address + "activations")
    page.get_by_role("combobox", name="Pair").click()
    expect(page.get_by_role("option", name="Fake pair")).to_be_visible()
    expect(page.get_by_role("option").filter(has_text="(not here)").first).to_be_visible()
    page.keyboard.press("Escape")
    _choose(page, "Task", "COUNTDOWN")
    expect(page).to_have_url(address + "activations?task=countdown")


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_link_with_defaults_in_it_is_one_step_of_back(page: Page, address: str, name: str) -> None:
    link = f"{address}{name}?{DEFAULTS[name]}"
    _open(page, address)
    before = _entries(page)
    _open(page, link)
    assert page.url == link
    assert _entries(page) == before + 1
    page.go_back()
    expect(page).to_have_url(address)


def test_a_link_of_the_overview_is_one_step_of_back(page: Page, address: str) -> None:
    _open(page, address)
    before = _entries(page)
    page.get_by_role("link", name="COUNTDOWN").first.click()
    expect(page.get_by_role("heading", name="Circuits", level=1)).to_be_visible()
    wait_until_still(page)
    assert _entries(page) == before + 1
    page.go_back()
    expect(page).to_have_url(address)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Does a diffusion model keep")


def test_back_returns_through_what_was_chosen(page: Page, address: str) -> None:
    _open(page, address + "activations")
    _choose(page, "Task", "COUNTDOWN")
    expect(page).to_have_url(address + "activations?task=countdown")
    _choose(page, "Layer", "2")
    expect(page).to_have_url(address + "activations?task=countdown&layer=2")
    page.go_back()
    expect(_box(page, "Layer")).to_have_value("0")
    expect(_box(page, "Task")).to_have_value("COUNTDOWN")
    expect(page).to_have_url(address + "activations?task=countdown")
    wait_until_still(page)
    page.go_back()
    expect(_box(page, "Task")).to_have_value("Indirect object identification")
    expect(page).to_have_url(address + "activations")
    wait_until_still(page)
    page.go_forward()
    expect(_box(page, "Task")).to_have_value("COUNTDOWN")


def test_what_was_chosen_goes_along_and_comes_back(page: Page, address: str) -> None:
    _open(page, address + "circuits?k=123&node=a1.h1")
    before = _entries(page)
    _go(page, "Activations")
    expect(page).to_have_url(address + "activations?k=123&node=a1.h1")
    expect(_k(page)).to_have_value("123")
    _go(page, "Circuits")
    expect(_k(page)).to_have_value("123")
    assert _entries(page) == before + 2
    for where in ("activations", "circuits"):
        page.go_back()
        expect(page).to_have_url(f"{address}{where}?k=123&node=a1.h1")
        wait_until_still(page)
        expect(_k(page)).to_have_value("123")


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_head_is_small_and_stays_in_sight(page: Page, address: str, name: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    _open(page, f"{address}{name}?task=countdown")
    head = page.locator(".st-key-head")
    box = head.bounding_box()
    assert box is not None and box["height"] <= 120
    figure = _component(page) if name == "circuits" else page.locator(".js-plotly-plot").first
    drawn = figure.bounding_box()
    assert drawn is not None and drawn["y"] <= 300
    page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, 800)")
    page.wait_for_timeout(300)
    scrolled = head.bounding_box()
    assert scrolled is not None and 0 <= scrolled["y"] <= box["y"]
    page.set_viewport_size({"width": 420, "height": 900})
    page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, 800)")
    page.wait_for_timeout(300)
    narrow = head.bounding_box()
    assert narrow is not None and narrow["y"] + narrow["height"] < 0


def _open(page: Page, address: str) -> None:
    page.goto(address)
    wait_until_still(page)


def _go(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).first.click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
    wait_until_still(page)


def _choose(page: Page, picker: str, option: str) -> None:
    _box(page, picker).click()
    page.get_by_role("option", name=option, exact=True).click()
    wait_until_still(page)


def _entries(page: Page) -> int:
    """Of the browser's history."""
    return int(page.evaluate("history.length"))


def _notes(page: Page) -> Locator:
    return page.get_by_test_id("stAlert").filter(has_text="The link")


def _box(page: Page, name: str) -> Locator:
    return page.get_by_role("combobox", name=name, exact=True)


def _k(page: Page) -> Locator:
    """The field of K: in the head, or in the circuit component."""
    return page.get_by_role("spinbutton", name="K", exact=True)


def _component(page: Page) -> Locator:
    return page.get_by_test_id("circuit")
