"""The neurons page as a person uses it: click a point, tick a row, search, pin, copy the address."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from pages.figures.neurons import POINTS_TRACE
from tests.fakes import HOSTILE
from tools.browser import wait_until_still

PLACE = """([meta, neuron]) => {
    const figure = document.querySelector('.js-plotly-plot');
    const {xaxis, yaxis} = figure._fullLayout, box = figure.getBoundingClientRect();
    for (const trace of figure._fullData.filter(trace => trace.meta === meta)) {
        const at = Array.from(trace.customdata).indexOf(neuron);
        if (at >= 0) return [
            box.left + xaxis._offset + xaxis.d2p(trace.x[at]), box.top + yaxis._offset + yaxis.d2p(trace.y[at])
        ];
    }
}"""
POSITIONS = """meta => document.querySelector('.js-plotly-plot')._fullData.filter(trace => trace.meta === meta)
    .flatMap(trace => Array.from(trace.customdata).map((neuron, at) => [neuron, trace.x[at], trace.y[at]]))"""


def test_a_clicked_point_shows_its_neuron_in_both_models_and_the_address_brings_it_back(
    page: Page, address: str
) -> None:
    _open(page, address + "neurons?layer=2")  # whose points lie well apart
    expect(page.get_by_text("Click a dot, tick a row")).to_be_visible()
    neuron = _alone(page)[0]
    _click(page, neuron)
    expect(_heading(page, 2, neuron)).to_be_visible()
    _until(page, lambda: f"neuron={neuron}" in page.url)
    wait_until_still(page)
    shown = _attributions(page)
    assert len(shown) == 2
    assert shown[0] != shown[1]
    assert _ringed(page) == f"m2.{neuron}"

    copied = page.url
    other = page.context.browser.new_page(viewport={"width": 1440, "height": 1300})  # type: ignore[union-attr]
    _open(other, copied)
    expect(_heading(other, 2, neuron)).to_be_visible()
    assert _attributions(other) == shown
    other.close()


def test_points_can_be_clicked_in_turn_and_let_go(page: Page, address: str) -> None:
    _open(page, address + "neurons?layer=2")
    first, second = _alone(page)[:2]
    for neuron in (first, second, first):
        _click(page, neuron)
        expect(_heading(page, 2, neuron)).to_be_visible()
        wait_until_still(page)
    _click(page, first)
    expect(page.get_by_text("Click a dot, tick a row")).to_be_visible()
    _until(page, lambda: "neuron=" not in page.url)


def test_a_token_finds_the_neurons_that_promote_it(page: Page, address: str) -> None:
    _open(page, address + "neurons?layer=3")
    box = page.get_by_role("textbox", name="Search")
    box.fill("' Mary'")
    box.press("Enter")
    expect(page.get_by_text("neurons promote '␣Mary'")).to_be_visible()
    wait_until_still(page)
    choice = page.get_by_role("combobox", name="Choose one of them")
    choice.click()
    option = page.get_by_role("option").nth(2)
    layer, neuron = option.inner_text().split()[0].removeprefix("m").split(".")
    option.click()
    expect(_heading(page, int(layer), int(neuron))).to_be_visible()
    _until(page, lambda: f"layer={layer}" in page.url and f"neuron={neuron}" in page.url)
    wait_until_still(page)
    promoted = _token_tables(page)[:2]
    assert any(row.split()[0] == "Mary" for rows in promoted for row in rows)


def test_a_row_of_the_results_chooses_its_neuron(page: Page, address: str) -> None:
    _open(page, address + "neurons?layer=3&search=Mary")
    _tick(page, page.get_by_test_id("stDataFrame").first)
    _until(page, lambda: "neuron=" in page.url)
    expect(page.get_by_test_id("stButton").filter(has_text="Pin")).to_be_visible()


def test_a_row_of_the_table_chooses_and_lets_go(page: Page, address: str) -> None:
    _open(page, address + "neurons?layer=2")
    table = page.get_by_test_id("stDataFrame").first
    _tick(page, table)
    _until(page, lambda: "neuron=" in page.url)
    wait_until_still(page)
    assert _ringed(page).startswith("m2.")
    _tick(page, table)
    _until(page, lambda: "neuron=" not in page.url)
    expect(page.get_by_text("Click a dot, tick a row")).to_be_visible()


def test_a_neuron_can_be_typed_and_found_by_its_place(page: Page, address: str) -> None:
    _open(page, address + "neurons?layer=3")
    box = page.get_by_role("spinbutton", name="Neuron")
    box.fill("7")
    box.press("Enter")
    expect(_heading(page, 3, 7)).to_be_visible()
    search = page.get_by_role("textbox", name="Search")
    search.fill("m5.11")
    search.press("Enter")
    expect(_heading(page, 5, 11)).to_be_visible()
    _until(page, lambda: "layer=5" in page.url and "neuron=11" in page.url)


def test_pins_are_in_the_address_and_can_be_taken_off(page: Page, address: str) -> None:
    _open(page, address + "neurons?layer=3&neuron=7")
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.get_by_role("button", name="Unpin m3.7")).to_be_visible()
    page.get_by_role("spinbutton", name="Neuron").fill("9")
    page.get_by_role("spinbutton", name="Neuron").press("Enter")
    expect(_heading(page, 3, 9)).to_be_visible()
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.get_by_role("button", name="Unpin m3.9")).to_be_visible()
    _until(page, lambda: "pins=3%3A7%2C3%3A9" in page.url or "pins=3:7,3:9" in page.url)

    other = page.context.browser.new_page(viewport={"width": 1440, "height": 1300})  # type: ignore[union-attr]
    _open(other, page.url)
    expect(other.get_by_role("button", name="Unpin m3.7")).to_be_visible()
    other.get_by_role("button", name="Unpin m3.7").click()
    expect(other.get_by_role("button", name="Unpin m3.7")).to_have_count(0)
    expect(other.get_by_role("button", name="Unpin m3.9")).to_be_visible()
    with other.expect_download() as waiting:
        other.get_by_role("button", name="CSV").last.click()
    assert len(waiting.value.path().read_text().splitlines()) == 2
    other.close()


def test_a_hostile_token_is_text_in_the_panel(page: Page, address: str) -> None:
    _open(page, address + "neurons?layer=3&neuron=7&search=" + HOSTILE.replace("/", "%2F"))
    expect(page.get_by_text(f"neurons promote {HOSTILE}")).to_be_visible()
    page.get_by_role("tab", name="Tokens").click()
    expect(page.get_by_test_id("stHtml").filter(visible=True).first).to_contain_text(HOSTILE)
    tags = page.evaluate("[...document.querySelectorAll('b')].filter(tag => tag.textContent === 'x').length")
    assert tags == 0


def test_a_neuron_stands_beside_the_figure_or_directly_below_it(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 420, "height": 900})
    _open(page, address + "neurons?layer=2&neuron=7")
    for width in (420, 900, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        wait_until_still(page)
        figure, panel = page.locator(".js-plotly-plot").first.bounding_box(), _heading(page, 2, 7).bounding_box()
        assert figure and panel
        if width == 1440:
            assert panel["x"] >= figure["x"] + figure["width"]
            assert abs(panel["y"] - figure["y"]) < 60
        else:
            assert 0 < panel["y"] - (figure["y"] + figure["height"]) < 160
        above = page.get_by_role("textbox", name="Pinned neurons").bounding_box()
        assert above and figure["y"] - (above["y"] + above["height"]) < 40, (
            "nothing stands between the row and the figure"
        )
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= width


def test_a_tab_of_the_panel_stays_open_for_another_neuron(page: Page, address: str) -> None:
    _open(page, address + "neurons?layer=3&neuron=7")
    page.get_by_role("tab", name="Histogram").click()
    box = page.get_by_role("spinbutton", name="Neuron")
    box.fill("9")
    box.press("Enter")
    expect(_heading(page, 3, 9)).to_be_visible()
    wait_until_still(page)
    expect(page.get_by_role("tab", name="Histogram")).to_have_attribute("aria-selected", "true")
    assert page.locator(".js-plotly-plot").nth(1).is_visible()


def _open(page: Page, address: str) -> None:
    page.goto(address)
    wait_until_still(page)


def _heading(page: Page, layer: int, neuron: int) -> Locator:
    return page.get_by_role("heading", name=f"Neuron {neuron} of layer {layer} (m{layer}.{neuron})")


def _alone(page: Page) -> list[int]:
    """The neurons whose points lie farthest from any other, so that a click on one is a click on it."""
    points = page.evaluate(POSITIONS, POINTS_TRACE)

    def gap(point: list[float]) -> float:
        return min((point[1] - x) ** 2 + (point[2] - y) ** 2 for neuron, x, y in points if neuron != point[0])

    return [int(point[0]) for point in sorted(points, key=gap, reverse=True)]


def _hovered(page: Page, neuron: int) -> tuple[float, float]:
    page.evaluate("window.scrollTo(0, 0)")
    x, y = page.evaluate(PLACE, [POINTS_TRACE, neuron])
    hover = page.locator(".js-plotly-plot").first.locator(".hovertext", has_text=f".{neuron}")

    def is_under_mouse() -> bool:
        page.mouse.move(x + 40, y + 20)
        page.mouse.move(x, y)
        page.wait_for_timeout(200)  # Plotly looks for the point under the mouse some time after it has moved
        return hover.count() > 0

    _until(page, is_under_mouse)
    return x, y


def _click(page: Page, neuron: int) -> None:
    page.mouse.click(*_hovered(page, neuron))


def _tick(page: Page, table: Locator) -> None:
    """Click the box of a table's first row; the table itself is a canvas."""
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box
    page.mouse.click(box["x"] + 17, box["y"] + 53)


def _attributions(page: Page) -> list[str]:
    """The lines that tell a neuron's attribution, the ARM's and the MDM's."""
    return [line.inner_text() for line in page.get_by_text("even examples").all()]


def _token_tables(page: Page) -> list[list[str]]:
    """The rows of the panel's lists of tokens: promoted by the ARM's and the MDM's, suppressed, nearest."""
    tables = page.get_by_test_id("stHtml").locator("table")
    return [table.locator("tr").all_inner_texts() for table in tables.all()]


def _ringed(page: Page) -> str:
    return page.locator(".js-plotly-plot").first.locator(".annotation-text").first.text_content() or ""


def _until(page: Page, condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < limit, "it did not happen"
        page.wait_for_timeout(100)
