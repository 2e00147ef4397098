"""The denoising page as a person uses it: choose a sampler, move the step, let it play, click a cell of a map."""

from __future__ import annotations

import csv
import re

from playwright.sync_api import Page, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from pages.figures.heat import SELECT_TRACE
from tests.browser.test_circuits import _open, _until
from tests.fakes import HOSTILE
from tools.browser import wait_until_still

PAGE = "denoising?task=countdown"
PLACE = """([chart, name, at]) => {
    const figure = document.querySelector(`.st-key-${chart} .js-plotly-plot`);
    figure.scrollIntoView({block: 'center', behavior: 'instant'});
    const cells = figure._fullData.find(trace => trace.name === name);
    const {xaxis, yaxis} = figure._fullLayout, box = figure.getBoundingClientRect();
    return [box.left + xaxis._offset + xaxis.d2p(cells.x[at]), box.top + yaxis._offset + yaxis.d2p(cells.y[at])];
}"""
POSITIONS = """([chart, name]) => Array.from(document.querySelector(`.st-key-${chart} .js-plotly-plot`)
    ._fullData.find(trace => trace.name === name).customdata)"""
SHOWN = (
    "chart => document.querySelector(`.st-key-${chart} .js-plotly-plot`)._fullData.map(trace => Array.from(trace.y))"
)
TEXT = """chart => [...document.querySelectorAll(`.st-key-${chart} .js-plotly-plot .heatmap-label`)]
    .map(text => text.textContent)"""


def test_a_clicked_cell_shows_its_position_in_both_models_and_the_address_brings_it_back(
    page: Page, address: str
) -> None:
    _open(page, address + PAGE + "&at=2")
    for chart, position in (("lens-map-mdm", 5), ("lens-map-arm", 1), ("lens-map-mdm", 5)):
        _click(page, chart, position)
        expect(page.get_by_text(f"Position {position}, right answer")).to_be_visible()
        _until(page, lambda position=position: f"position={position}" in page.url)  # type: ignore[misc]
        wait_until_still(page)
    lines = page.evaluate(SHOWN, "position-lens")
    assert len(lines) == 4  # probability and rank, ARM and MDM

    other = page.context.browser.new_page(viewport={"width": 1440, "height": 1300})  # type: ignore[union-attr]
    _open(other, page.url)
    assert other.evaluate(SHOWN, "position-lens") == lines
    other.close()


def test_moving_the_step_changes_its_circuit_and_its_lens_and_nothing_else(page: Page, address: str) -> None:
    starts = _script_starts(page)
    _open(page, address + PAGE + "&at=1")
    charts = ("lens-map-mdm", "steps", "trajectory", "lens-map-arm")
    before = {chart: page.evaluate(TEXT, chart) for chart in charts}
    starts.clear()
    slider = page.locator(".st-key-at").get_by_role("slider")
    slider.focus()
    slider.press("ArrowRight")
    expect(page.get_by_role("heading", name="The circuit of step 2")).to_be_visible()
    _until(page, lambda: "at=2" in page.url)
    wait_until_still(page)
    after = {chart: page.evaluate(TEXT, chart) for chart in charts}
    assert before["lens-map-mdm"] != after.pop("lens-map-mdm")
    assert {chart: before[chart] for chart in after} == after
    assert starts and all(starts)


def test_play_goes_on_by_itself_without_rerunning_the_page_and_stops_at_the_end(page: Page, address: str) -> None:
    starts = _script_starts(page)
    _open(page, address + PAGE + "&at=7")
    assert starts == [False]
    starts.clear()
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("The circuit of step [89]"))).to_be_visible()
    expect(page.get_by_role("heading", name="The circuit of step 10")).to_be_visible()
    expect(page.get_by_text("Through the layers at step 10")).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    wait_until_still(page)
    assert len(starts) >= 5
    assert all(starts[:-1])
    assert starts[-1] is False  # the one that stops the clock
    ended = len(starts)
    page.wait_for_timeout(4000)
    assert len(starts) == ended
    assert "at=10" in page.url


def test_play_can_be_paused_where_it_is(page: Page, address: str) -> None:
    _open(page, address + PAGE + "&at=0")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("heading", name=re.compile("The circuit of step [2-9]"))).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    wait_until_still(page)
    shown = page.locator("h3", has_text="Through the layers at step").inner_text()
    page.wait_for_timeout(4000)
    assert page.locator("h3", has_text="Through the layers at step").inner_text() == shown


def test_another_sampler_draws_another_trajectory(page: Page, address: str) -> None:
    _open(page, address + PAGE)
    before = page.evaluate(TEXT, "trajectory")
    box = page.get_by_role("combobox", name="Sampler")
    box.focus()
    box.press_sequentially("diffullama")
    box.press("Enter")
    expect(page.get_by_text("DiffuLLaMA's rule")).to_be_visible()
    _until(page, lambda: "sampler=diffullama" in page.url)
    wait_until_still(page)
    assert page.evaluate(TEXT, "trajectory") != before


def test_a_hostile_token_is_text_in_the_trajectory(page: Page, address: str) -> None:
    _open(page, address + PAGE)  # the first prediction of a fake trajectory is the hostile token
    assert HOSTILE in page.evaluate(TEXT, "trajectory")
    tags = page.evaluate("[...document.querySelectorAll('b')].filter(tag => tag.textContent === 'x').length")
    assert tags == 0


def test_trajectories_can_be_downloaded(page: Page, address: str) -> None:
    _open(page, address + PAGE + "&example=1")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Trajectories of this example").click()
    rows = list(csv.DictReader(waiting.value.path().open()))
    assert {row["sampler"] for row in rows} >= {"confidence", "diffullama"}
    assert len(rows) == 8 * 11 * 11
    assert waiting.value.suggested_filename.startswith("trajectories-example1-embedded-mdm-countdown-")


def _click(page: Page, chart: str, position: int) -> None:
    positions = page.evaluate(POSITIONS, [chart, SELECT_TRACE])
    hover = page.locator(f".st-key-{chart} .hovertext", has_text=f"position {position}")
    place = [chart, SELECT_TRACE, positions.index(str(position))]

    def over() -> bool:
        x, y = page.evaluate(PLACE, place)
        page.mouse.move(x + 15, y + 5)
        page.mouse.move(x, y)
        page.wait_for_timeout(200)  # Plotly looks for the point under the mouse some time after it has moved
        return hover.count() > 0

    _until(page, over)
    page.mouse.click(*page.evaluate(PLACE, place))


def _script_starts(page: Page) -> list[bool]:
    """Of every run of the script from now on whether it is one of fragments alone, as the server announces it.

    To be called before the page is opened.
    """
    starts: list[bool] = []

    def note(payload: str | bytes) -> None:
        message = ForwardMsg()
        message.ParseFromString(payload if isinstance(payload, bytes) else payload.encode())
        if message.WhichOneof("type") == "new_session":
            starts.append(bool(message.metadata.run.fragment_ids))

    page.on("websocket", lambda socket: socket.on("framereceived", note))
    return starts
