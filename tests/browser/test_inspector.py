"""The inspector as a person uses it: begin with a listed component, change tabs, come back by the address."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.fakes import HOSTILE
from tools.browser import wait_until_still

CUT_OFF = """() => [...document.querySelectorAll('.st-key-inspector, .st-key-inspector *:not(input)')]
    .filter(element => element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 1
        && ['hidden', 'auto', 'scroll', 'clip'].includes(getComputedStyle(element).overflowX))
    .map(element => `${element.tagName} ${element.className}: ${element.textContent.slice(0, 60)}`)"""
BEYOND = """() => { const right = document.querySelector('.st-key-inspector').getBoundingClientRect().right;
    return [...document.querySelectorAll('.st-key-inspector table, .st-key-inspector .js-plotly-plot')]
        .filter(element => element.getBoundingClientRect().right > right + 1).length; }"""


def test_a_component_of_the_list_is_one_click_away_and_its_tab_stays(page: Page, address: str) -> None:
    _open(page, address + "circuits?k=100")
    inspector = page.locator(".st-key-inspector")
    first = inspector.get_by_role("button", name=re.compile(r"^a\d+\.h\d+ · ARM|^m\d+ · ARM")).first
    name = first.inner_text().split(" ")[0]
    first.click()
    expect(inspector.get_by_role("heading", name=f"({name})")).to_be_visible()
    expect(inspector.locator(".component-lens")).to_have_count(2)
    expect(page).to_have_url(re.compile(f"node={re.escape(name)}"))
    inspector.get_by_role("radio", name="Edges").click()
    expect(inspector.get_by_role("table", name="Strongest outgoing edges")).to_be_visible()
    expect(page).to_have_url(re.compile("tab=Edges"))
    wait_until_still(page)
    copied, shown = page.url, inspector.inner_text()
    inspector.get_by_role("button", name="Let go").click()
    expect(inspector.get_by_text("They differ most in")).to_be_visible()

    other = page.context.browser.new_page(viewport={"width": 1440, "height": 900})  # type: ignore[union-attr]
    _open(other, copied)
    assert other.locator(".st-key-inspector").inner_text() == shown
    other.close()


def test_a_hostile_token_is_text_in_the_lens(page: Page, address: str) -> None:
    _open(page, address + "circuits?node=input&k=100")  # the first row of a fake lens promotes the hostile token
    expect(page.locator(".component-lens").first.get_by_text(HOSTILE).first).to_be_visible()
    tags = page.evaluate("[...document.querySelectorAll('b')].filter(tag => tag.textContent === 'x').length")
    assert tags == 0


@pytest.mark.parametrize(
    ("node", "tab"), [("", ""), ("a2.h3", "Lens"), ("a2.h3", "Attention"), ("m3", "Neurons"), ("a2.h3", "Edges")]
)
def test_nothing_is_cut_off_beside_the_graphs_or_below_them(page: Page, address: str, node: str, tab: str) -> None:
    page.set_viewport_size({"width": 420, "height": 900})
    _open(page, address + f"circuits?k=500&node={node}&tab={tab}" if node else address + "circuits?k=500")
    for width in (420, 900, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        wait_until_still(page)
        expect(page.locator(".st-key-inspector")).to_be_visible()
        assert page.evaluate(CUT_OFF) == [], width
        assert page.evaluate(BEYOND) == 0, width


def test_the_lens_is_in_sight_beside_the_graphs(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    _open(page, address + "circuits?node=a2.h3&k=100")
    column = page.locator(".st-key-inspector").bounding_box()
    lens = page.locator(".component-lens").last.bounding_box()
    assert column and lens and column["x"] > 720
    assert lens["y"] + lens["height"] < 900, "down to the last token suppressed"


def _open(page: Page, address: str) -> None:
    page.goto(address)
    wait_until_still(page)
