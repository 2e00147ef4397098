"""The circuits page as a person uses it: slide, click, copy the address."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from engine.circuits.graph import Graph
from pages.figures.circuit import NODE_TRACE
from tests.fakes import HOSTILE
from tools.browser import wait_until_still

GRAPH = Graph(6, 8)
FIGURE = """([index, name]) => {
    const figure = document.querySelectorAll('.js-plotly-plot')[index];
    const nodes = figure._fullData.find(trace => trace.name === name);
    const edges = figure._fullLayout.shapes.map(shape => shape.path.split('C').length - 1);
    return {x: Array.from(nodes.x), y: Array.from(nodes.y), edges};
}"""
PLACE = """([index, name, node]) => {
    const figure = document.querySelectorAll('.js-plotly-plot')[index];
    const nodes = figure._fullData.find(trace => trace.name === name);
    const {xaxis, yaxis} = figure._fullLayout, box = figure.getBoundingClientRect();
    return [box.left + xaxis._offset + xaxis.d2p(nodes.x[node]), box.top + yaxis._offset + yaxis.d2p(nodes.y[node])];
}"""


def test_sliding_k_changes_the_overlap_and_both_graphs_but_moves_no_node(page: Page, address: str) -> None:
    _open(page, address + "circuits")
    before, overlap = [_figure(page, side) for side in (0, 1)], _overlap(page)
    _slide(page, 3)
    _until(page, lambda: _overlap(page) != overlap)
    wait_until_still(page)
    after = [_figure(page, side) for side in (0, 1)]
    assert "k=" in page.url
    for was, is_ in zip(before, after, strict=True):
        assert sum(is_["edges"]) > sum(was["edges"])
        assert (is_["x"], is_["y"]) == (was["x"], was["y"])


def test_a_clicked_node_shows_its_tokens_in_both_models_and_the_address_brings_them_back(
    page: Page, address: str
) -> None:
    _open(page, address + "circuits?k=100")
    expect(page.get_by_text("Click a node in either graph")).to_be_visible()
    _click(page, 0, "a2.h3")
    expect(page.get_by_role("heading", name="Head 3 of layer 2 (a2.h3)")).to_be_visible()
    wait_until_still(page)
    shown, overlap = _lens_labels(page), _overlap(page)
    assert [len(labels) for labels in shown] == [16, 16]
    assert shown[0] != shown[1]

    copied = page.url
    assert "node=a2.h3" in copied
    other = page.context.browser.new_page(viewport={"width": 1440, "height": 1300})  # type: ignore[union-attr]
    _open(other, copied)
    assert _lens_labels(other) == shown
    assert _overlap(other) == overlap
    other.close()


def test_nodes_can_be_clicked_in_turn_in_both_graphs_and_let_go(page: Page, address: str) -> None:
    _open(page, address + "circuits?k=100")
    for side, name in ((0, "a2.h3"), (1, "m4"), (0, "a2.h3")):
        _click(page, side, name)
        _until(page, lambda name=name: f"node={name}" in page.url)  # type: ignore[misc]
        wait_until_still(page)
        _until(page, lambda name=name: _ringed(page) == [name, name])  # type: ignore[misc]
    _click(page, 0, "a2.h3")
    _until(page, lambda: "node=" not in page.url)
    expect(page.get_by_text("Click a node in either graph")).to_be_visible()


def test_a_node_can_be_chosen_from_the_keyboard(page: Page, address: str) -> None:
    _open(page, address + "circuits")
    box = page.get_by_role("combobox", name="Node")
    box.focus()
    box.press_sequentially("m3")
    box.press("Enter")
    expect(page.get_by_role("heading", name="MLP of layer 3 (m3)")).to_be_visible()
    _until(page, lambda: "node=m3" in page.url)


def test_a_hostile_token_is_text_everywhere(page: Page, address: str) -> None:
    _open(page, address + "circuits?node=input&k=100")  # the first row of a fake lens promotes the hostile token
    expect(page.get_by_role("heading", name="Token embedding (input)")).to_be_visible()
    wait_until_still(page)
    assert any(HOSTILE in label for labels in _lens_labels(page) for label in labels)
    tags = page.evaluate("[...document.querySelectorAll('b')].filter(tag => tag.textContent === 'x').length")
    assert tags == 0


def test_other_pages_keep_the_choice(page: Page, address: str) -> None:
    _open(page, address + "circuits?k=100&node=m2")
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    page.get_by_role("link", name="Circuits", exact=True).click()
    expect(page.get_by_role("heading", name="MLP of layer 2 (m2)")).to_be_visible()
    wait_until_still(page)
    assert "k=100" in page.url
    assert "node=m2" in page.url


def test_the_overview_leads_to_the_circuits_of_a_task(page: Page, address: str) -> None:
    _open(page, address + "?k=50")
    page.get_by_role("link", name="SUDOKU").click()
    expect(page.get_by_text("Not computed yet with these settings")).to_be_visible()
    assert "task=sudoku" in page.url


def test_a_circuit_can_be_downloaded(page: Page, address: str) -> None:
    _open(page, address + "circuits?k=20")
    page.get_by_role("button", name="Download", exact=True).click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV").first.click()
    rows = waiting.value.path().read_text().splitlines()
    assert len(rows) == 21
    assert waiting.value.suggested_filename.startswith("embedded-arm-ioi-total-20-")


FITS = """() => [...document.querySelectorAll('.legend')].map(legend => {
    const right = legend.querySelector('.bg').getBoundingClientRect().right;  // what is beyond is cut
    const texts = [...legend.querySelectorAll('.legendtext')].map(text => text.getBoundingClientRect().right);
    return {texts: texts.length, fits: texts.every(text => text <= right)};
})"""


def test_pictures_name_what_they_show_and_their_legends_are_whole(page: Page, address: str) -> None:
    _open(page, address + "circuits?k=20&task=countdown&sign=positive")
    for figure, name in ((0, "embedded-arm-countdown-total-20-positive-"), (2, "overlap-embedded-countdown-k20-")):
        drawn = page.locator(".js-plotly-plot").nth(figure)
        drawn.hover()
        with page.expect_download() as waiting:
            drawn.locator("[data-title*='Download plot']").click(force=True)
        assert waiting.value.suggested_filename.startswith(name)
        alone = page.context.browser.new_page()  # type: ignore[union-attr]
        alone.set_content(waiting.value.path().read_text())
        words = alone.locator(".gtitle").text_content() or ""
        assert "embedded · countdown · K = 20" in words and "ARM run" in words and "MDM run" in words
        assert "positive" in words or figure == 2
        (legend,) = alone.evaluate(FITS)
        assert legend["fits"] and legend["texts"] >= 2
        size = alone.evaluate(
            "(({width, height}) => [width, height])(document.querySelector('svg').getBoundingClientRect())"
        )
        box = alone.locator(".gtitle").bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= size[0] + 8
        assert box["y"] + box["height"] <= size[1] + 8
        alone.close()


def test_a_picture_to_keep_is_what_is_shown(page: Page, address: str, tmp_path: Path) -> None:
    _open(page, address + "circuits?k=20&task=countdown&sign=positive&node=m2")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Picture (HTML)").last.click()
    assert waiting.value.suggested_filename.startswith("embedded-mdm-countdown-total-20-positive-")
    waiting.value.save_as(tmp_path / "picture.html")
    alone = page.context.browser.new_page()  # type: ignore[union-attr]
    alone.goto((tmp_path / "picture.html").as_uri())
    alone.wait_for_selector(".gtitle")
    assert "circuit of the MDM" in (alone.locator(".gtitle").text_content() or "")
    assert alone.locator(".annotation-text").text_content() == "m2"
    own, kept = (shown.evaluate(FIGURE, [side, NODE_TRACE]) for shown, side in ((page, 1), (alone, 0)))
    assert kept == own
    alone.close()


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


def _figure(page: Page, side: int) -> dict[str, list[float]]:
    drawn: dict[str, list[float]] = page.evaluate(FIGURE, [side, NODE_TRACE])
    return drawn


def _overlap(page: Page) -> str:
    return page.get_by_test_id("stMetricValue").first.inner_text()


def _slide(page: Page, steps: int) -> None:
    slider = page.get_by_role("slider").first
    slider.focus()
    for _ in range(steps):
        slider.press("ArrowRight")


def _click(page: Page, side: int, name: str) -> None:
    page.evaluate("window.scrollTo(0, 0)")
    x, y = page.evaluate(PLACE, [side, NODE_TRACE, GRAPH.node_names.index(name)])
    hover = page.locator(".js-plotly-plot").nth(side).locator(".hovertext", has_text=name)

    def is_there() -> bool:
        page.mouse.move(x + 40, y + 20)
        page.mouse.move(x, y)
        page.wait_for_timeout(200)  # Plotly looks for the point under the mouse some time after it has moved
        return hover.count() > 0

    _until(page, is_there)
    page.mouse.click(x, y)


def _ringed(page: Page) -> list[str]:
    """The names at the rings of both graphs."""
    return [
        page.locator(".js-plotly-plot").nth(side).locator(".annotation-text").text_content() or "" for side in (0, 1)
    ]


def _lens_labels(page: Page) -> list[list[str]]:
    """The tokens beside the bars of both lenses: the figures that have bars lying on their side."""
    labels: list[list[str]] = page.evaluate(
        """[...document.querySelectorAll('.js-plotly-plot')]
            .filter(figure => figure._fullData.some(trace => trace.orientation === 'h' && trace.type === 'bar'))
            .map(figure => [...figure.querySelectorAll('.ytick text')].map(text => text.textContent))"""
    )
    return labels


def _until(page: Page, condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < limit, "it did not happen"
        page.wait_for_timeout(100)  # unlike time.sleep, lets the page's address follow
