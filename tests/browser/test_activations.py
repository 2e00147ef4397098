"""The activations page as a person uses it: click a layer, click a bin, follow a neuron."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page, expect

from engine.inspection import bins
from pages.figures.activations import TARGETS
from tools.browser import wait_until_still

PROFILE, HISTOGRAM, HEADS = 0, 1, 4  # figures of the page, in order
PLACE = """([index, name, value]) => {
    const figure = document.querySelectorAll('.js-plotly-plot')[index];
    const bars = figure._fullData.find(trace => trace.name === name);
    const {xaxis, yaxis} = figure._fullLayout, box = figure.getBoundingClientRect();
    const lying = bars.orientation === 'h';
    const x = lying ? xaxis._length * 0.97 : xaxis.d2p(value);  // far from the bars that are seen
    const y = lying ? yaxis.d2p(value) : yaxis._length * 0.06;
    return [box.left + xaxis._offset + x, box.top + yaxis._offset + y];
}"""

CELL = """([index, name]) => {
    const figure = document.querySelectorAll('.js-plotly-plot')[index], box = figure.getBoundingClientRect();
    const cells = figure._fullData.find(trace => trace.name === 'cells'), at = cells.customdata.indexOf(name);
    const {xaxis, yaxis} = figure._fullLayout;
    return [
        box.left + xaxis._offset + xaxis.d2p(cells.x[at]), box.top + yaxis._offset + yaxis.d2p(cells.y[at])
    ];
}"""


def test_a_clicked_layer_shows_its_neurons_and_the_address_brings_them_back(page: Page, address: str) -> None:
    _open(page, address + "activations")
    expect(page.get_by_role("heading", name="Layer 0: the neurons that matter most")).to_be_visible()
    for layer in (4, 2, 4):
        _click(page, PROFILE, layer)
        expect(page.get_by_role("heading", name=f"Layer {layer}: the neurons that matter most")).to_be_visible()
        _until(page, lambda layer=layer: f"layer={layer}" in page.url)  # type: ignore[misc]
        wait_until_still(page)
        expect(page.get_by_role("heading", name=f"MLP activations, layer {layer}")).to_be_visible()
    links = _links(page)
    assert len(links) == 20
    other = page.context.browser.new_page(viewport={"width": 1440, "height": 1300})  # type: ignore[union-attr]
    _open(other, page.url)
    expect(other.get_by_role("heading", name="Layer 4: the neurons that matter most")).to_be_visible()
    assert _links(other) == links
    other.close()


def test_a_clicked_bin_shows_who_is_in_it_until_it_is_clicked_again(page: Page, address: str) -> None:
    _open(page, address + "activations?layer=3")
    of_layer = _links(page)
    for bin_index in (22, 18):
        _click(page, HISTOGRAM, bin_index)
        title = f"Layer 3: the neurons with activations of {bins.label(bin_index)}"
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
        wait_until_still(page)
        assert _links(page) != of_layer
    assert "bin=" in page.url
    _click(page, HISTOGRAM, 18)
    expect(page.get_by_role("heading", name="Layer 3: the neurons that matter most")).to_be_visible()
    wait_until_still(page)
    assert _links(page) == of_layer
    assert "bin=" not in page.url


def test_a_neuron_leads_to_its_own_page(page: Page, address: str) -> None:
    _open(page, address + "activations?layer=2&k=100")
    link = page.get_by_test_id("stPageLink-NavLink").first
    number = link.inner_text().strip()
    told = parse_qs(urlsplit(str(link.get_attribute("href"))).query)
    assert told == {"pair": ["embedded"], "task": ["ioi"], "k": ["100"], "layer": ["2"], "neuron": [number]}
    link.click()
    page.wait_for_url("**/neurons?**")
    wait_until_still(page)
    for part in ("layer=2", f"neuron={number}", "k=100"):
        assert part in page.url
    expect(page.get_by_role("heading", name=f"Neuron {number} of layer 2")).to_be_visible()


def test_choices_go_along_from_page_to_page(page: Page, address: str) -> None:
    _open(page, address + "circuits?seed=7&k=100")
    for name, heading in (("Activations", "Activations"), ("Circuits", "Circuits")):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", name=heading, exact=True, level=1)).to_be_visible()
        wait_until_still(page)
        assert "seed=7" in page.url
        expect(page.get_by_text("Not computed yet with these settings")).to_be_visible()
    page.goto(address + "circuits?k=100")
    wait_until_still(page)
    page.get_by_role("link", name="Activations", exact=True).click()
    expect(page.get_by_text("of the 100 strongest edges")).to_be_visible()
    assert "k=100" in page.url


def test_the_early_boundary_slides_and_the_ratio_follows(page: Page, address: str) -> None:
    _open(page, address + "activations")
    expect(page.get_by_text("(first 2 of 6 layers)")).to_be_visible()
    slider = page.get_by_role("slider", name="Early layers")
    slider.focus()
    slider.press("ArrowRight")
    expect(page.get_by_text("(first 3 of 6 layers)")).to_be_visible()
    _until(page, lambda: "early=3" in page.url)


def test_choices_of_what_is_drawn_are_in_the_address(page: Page, address: str) -> None:
    _open(page, address + "activations")
    for name, part in (("readout", "region=readout"), ("grouped", "view=grouped"), ("shares", "heights=shares")):
        page.get_by_role("radio", name=name).click()
        _until(page, lambda part=part: part in page.url)  # type: ignore[misc]
    wait_until_still(page)
    assert page.get_by_text("at every readout token").is_visible()


def test_numbers_can_be_downloaded(page: Page, address: str) -> None:
    _open(page, address + "activations")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Histograms").click()
    rows = waiting.value.path().read_text().splitlines()
    assert len(rows) == 1 + 2 * 6 * 3


def test_histogram_and_neurons_stand_beside_the_layers_or_below_them(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 420, "height": 900})
    _open(page, address + "activations?layer=2")
    for width in (420, 900, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        wait_until_still(page)
        profile, histogram = (page.locator(".js-plotly-plot").nth(at).bounding_box() for at in (PROFILE, HISTOGRAM))
        neurons = page.get_by_role("heading", name="Layer 2: the neurons that matter most").bounding_box()
        assert profile and histogram and neurons
        right, below = histogram["x"] + histogram["width"], histogram["y"] + histogram["height"]
        if width == 1440:
            assert profile["y"] == histogram["y"]
            assert abs(neurons["y"] - profile["y"]) < 30
            assert profile["x"] + profile["width"] <= histogram["x"] < right <= neurons["x"]
        elif width == 900:
            assert profile["y"] == histogram["y"] and profile["x"] + profile["width"] <= histogram["x"]
            assert below < neurons["y"]
        else:
            assert profile["y"] + profile["height"] < histogram["y"] < below < neurons["y"]
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= width


def test_a_clicked_head_shows_its_norms_beside_the_map(page: Page, address: str) -> None:
    _open(page, address + "activations")
    figure = page.locator(".js-plotly-plot").nth(HEADS)
    figure.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    for name in ("a4.h6", "a1.h2", "a4.h6"):
        x, y = page.evaluate(CELL, [HEADS, name])
        hover = figure.locator(".hovertext", has_text=name)

        def is_under_mouse(x: float = x, y: float = y, hover: Locator = hover) -> bool:
            page.mouse.move(x + 60, y + 8)
            page.mouse.move(x, y)
            page.wait_for_timeout(200)
            return hover.count() > 0

        _until(page, is_under_mouse)
        page.mouse.click(x, y)
        heading = page.get_by_role("heading", name=f"Head {name[-1]} of layer {name[1]} ({name})")
        expect(heading).to_be_visible()
        wait_until_still(page)
        beside, drawn = heading.bounding_box(), figure.bounding_box()
        assert beside and drawn
        assert beside["x"] >= drawn["x"] + drawn["width"] and abs(beside["y"] - drawn["y"]) < 60
        _until(page, lambda name=name: f"node={name}" in page.url)  # type: ignore[misc]
    other = page.context.browser.new_page(viewport={"width": 1440, "height": 1300})  # type: ignore[union-attr]
    _open(other, page.url)
    expect(other.get_by_role("heading", name="Head 6 of layer 4 (a4.h6)")).to_be_visible()
    other.close()
    page.get_by_role("link", name="What a4.h6 attends to and writes").click()
    page.wait_for_url("**/circuits?**node=a4.h6**")


def test_other_tokens_change_what_lies_below_too(page: Page, address: str) -> None:
    _open(page, address + "activations")
    page.get_by_role("radio", name="readout").click()
    expect(page.get_by_text("at readout tokens, in the same colours")).to_be_visible()
    expect(page.get_by_role("button", name="Head norms (readout)")).to_be_visible()


def _open(page: Page, address: str) -> None:
    page.goto(address)
    wait_until_still(page)


def _links(page: Page) -> list[str]:
    return page.get_by_test_id("stPageLink-NavLink").all_inner_texts()


def _aim(page: Page, figure: int, value: int) -> None:
    """Bring the mouse over a layer or bin, until Plotly says what is there."""
    page.locator(".js-plotly-plot").nth(figure).scroll_into_view_if_needed()
    page.wait_for_timeout(100)
    x, y = page.evaluate(PLACE, [figure, TARGETS, value])
    hover = page.locator(".js-plotly-plot").nth(figure).locator(".hovertext")
    wanted = f"layer {value}:" if figure == PROFILE else bins.label(value)

    def is_under_mouse() -> bool:
        page.mouse.move(x - 30, y + 3)
        page.mouse.move(x, y)
        page.wait_for_timeout(200)  # Plotly looks for what is under the mouse some time after it has moved
        return hover.count() > 0 and wanted in (hover.first.text_content() or "")

    _until(page, is_under_mouse)


def _click(page: Page, figure: int, value: int) -> None:
    _aim(page, figure, value)
    page.mouse.down()
    page.mouse.up()


def _until(page: Page, condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < limit, "it did not happen"
        page.wait_for_timeout(100)  # unlike time.sleep, lets the page's address follow
