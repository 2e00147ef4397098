"""The denoising page as a person uses it: choose a sampler, move the step, let it play, click a cell or a node."""

from __future__ import annotations

import csv
import re
from itertools import pairwise

from playwright.sync_api import Page, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from pages.figures.heat import SELECT_TRACE
from tests.browser.test_activations import _open, _until
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
PAINTED = "[data-testid=circuit][data-painted]"
CAPTION = "[data-part=caption-mdm]"
TEXT = """chart => [...document.querySelectorAll(`.st-key-${chart} .js-plotly-plot .heatmap-label`)]
    .map(text => text.textContent)"""


def test_a_clicked_cell_shows_its_position_in_both_models_and_the_address_brings_it_back(
    page: Page, address: str
) -> None:
    _open(page, address + PAGE + "&at=2")
    clicks = (("trajectory", 3), ("trajectory", 8), ("lens-map-mdm", 5), ("lens-map-arm", 1), ("lens-map-mdm", 5))
    for chart, position in clicks:
        if chart == "lens-map-mdm":
            _show_maps(page)
        _click(page, chart, position)
        expect(page.get_by_text(f"Step 2, position {position}, right answer")).to_be_visible()
        _until(page, lambda position=position: f"position={position}" in page.url)  # type: ignore[misc]
        wait_until_still(page)
    lines = page.evaluate(SHOWN, "position-lens")
    assert len(lines) == 4  # probability and rank, ARM and MDM

    other = page.context.browser.new_page(viewport={"width": 1440, "height": 1300})  # type: ignore[union-attr]
    _open(other, page.url)
    assert other.evaluate(SHOWN, "position-lens") == lines
    other.close()


def test_a_clicked_cells_position_is_beside_the_trajectory_which_begins_at_the_top(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    _open(page, address + PAGE + "&at=2")
    trajectory, lines = (page.locator(f".st-key-{chart} .js-plotly-plot") for chart in ("trajectory", "position-lens"))
    _click(page, "trajectory", 4)
    expect(page.get_by_text("Step 2, position 4, right answer")).to_be_visible()
    wait_until_still(page)
    box, beside = trajectory.bounding_box(), lines.bounding_box()
    assert box and beside
    assert box["y"] <= 300
    assert beside["x"] >= box["x"] + box["width"] and beside["y"] + beside["height"] <= 900


def test_in_a_narrow_window_everything_is_below_each_other_and_nothing_is_cut_off(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 420, "height": 900})
    _open(page, address + PAGE + "&at=2")
    for width in (420, 900):
        page.set_viewport_size({"width": width, "height": 900})
        wait_until_still(page)
        blocks = (".st-key-trajectory", ".st-key-position-lens", "[data-testid=circuit]", ".st-key-inspector")
        boxes = [page.locator(block).first.bounding_box() for block in blocks]
        assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
        assert all(a["y"] + a["height"] <= b["y"] for a, b in pairwise(boxes))  # type: ignore[index]


def test_moving_the_step_changes_its_circuit_and_its_lens_and_nothing_else(page: Page, address: str) -> None:
    starts = _script_starts(page)
    _open(page, address + PAGE + "&at=1")
    _show_maps(page)
    charts = ("lens-map-mdm", "steps", "lens-map-arm", "readable")
    before = {chart: page.evaluate(TEXT, chart) for chart in charts}
    place = _watch_circuit(page)
    starts.clear()
    slider = page.locator(".st-key-at").get_by_role("slider")
    slider.focus()
    slider.press("ArrowRight")
    expect(page.get_by_role("heading", name="The circuit of step 2")).to_be_visible()
    expect(page.locator(CAPTION)).to_contain_text("MDM, step-02")
    _until(page, lambda: "at=2" in page.url)
    wait_until_still(page)
    after = {chart: page.evaluate(TEXT, chart) for chart in charts}
    assert before["lens-map-mdm"] != after.pop("lens-map-mdm")
    assert {chart: before[chart] for chart in after} == after
    assert starts == [True]
    assert _watched(page) == place


def test_play_swaps_the_circuits_with_the_nodes_in_place_and_stops_at_the_end(page: Page, address: str) -> None:
    starts = _script_starts(page)
    _open(page, address + PAGE + "&at=7&k=100")
    assert starts == [False]
    page.locator(PAINTED).wait_for()
    page.locator("[data-zoom='1.5']").click()
    place, before = _watch_circuit(page), page.locator(CAPTION).inner_text()
    starts.clear()
    page.get_by_role("button", name="Play", exact=True).first.click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.locator(CAPTION)).to_contain_text("MDM, step-08")
    assert page.locator(CAPTION).inner_text() != before
    assert _watched(page) == place
    expect(page.get_by_role("heading", name="The circuit of step 10")).to_be_visible()
    expect(page.get_by_text("Step 10, position")).to_be_visible()
    expect(page.locator(CAPTION)).to_contain_text("MDM, step-10")
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    wait_until_still(page)
    assert _watched(page) == place
    assert len(starts) >= 4
    assert all(starts[:-1])
    assert starts[-1] is False  # the one that stops the clock
    ended = len(starts)
    page.wait_for_timeout(4000)
    assert len(starts) == ended
    assert "at=10" in page.url


def test_play_can_be_paused_where_it_is(page: Page, address: str) -> None:
    _open(page, address + PAGE + "&at=0")
    page.get_by_role("button", name="Play", exact=True).first.click()
    expect(page.get_by_role("heading", name=re.compile("The circuit of step [2-9]"))).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    wait_until_still(page)
    title = page.get_by_role("heading", name="The circuit of step")
    shown = title.inner_text()
    page.wait_for_timeout(4000)
    assert title.inner_text() == shown


def test_k_and_a_node_are_chosen_in_the_circuit_and_lead_to_the_circuits_page(page: Page, address: str) -> None:
    starts = _script_starts(page)
    _open(page, address + PAGE + "&at=2&k=100")
    page.locator(PAINTED).wait_for()
    starts.clear()
    number = page.locator("[data-part=k]")
    number.fill("50")
    number.press("Enter")
    expect(page.get_by_text("the 50 strongest edges of every two parts")).to_be_visible()
    expect(page.get_by_text("Overlap of step-02 at K = 50")).to_be_visible()
    circuit = page.locator("[data-testid=circuit]")
    x, y = circuit.evaluate("circuit => circuit.circuitPlaces()['a2.h3']")
    page.locator("[data-part=graph-mdm]").click(position={"x": x, "y": y})
    expect(page.get_by_role("heading", name="Head 3 of layer 2 (a2.h3)")).to_be_visible()
    _until(page, lambda: "node=a2.h3" in page.url and "k=50" in page.url)
    assert all(starts)
    page.get_by_role("link", name="Open a2.h3 at this site and step").click()
    _until(page, lambda: "circuits?" in page.url)
    expect(page.locator(CAPTION)).to_contain_text("MDM, step-02")
    for choice in ("denoising=step-02", "site=site-02", "node=a2.h3", "k=50"):
        assert choice in page.url


def test_another_sampler_draws_another_trajectory(page: Page, address: str) -> None:
    _open(page, address + PAGE)
    before = page.evaluate(TEXT, "trajectory")
    box = page.get_by_role("combobox", name="Sampler")
    box.focus()
    box.press_sequentially("diffullama")
    box.press("Enter")
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


def _show_maps(page: Page) -> None:
    page.get_by_role("tab", name="Lens at every position").click()
    page.locator(".st-key-lens-map-mdm .js-plotly-plot").wait_for()
    wait_until_still(page)


def _watch_circuit(page: Page) -> list[float]:
    """Mark the component, so that another in its place would be noticed; where a node of it is."""
    page.locator(PAINTED).wait_for()
    place: list[float] = page.locator("[data-testid=circuit]").evaluate(
        "circuit => { circuit.watched = true; return circuit.circuitPlaces()['a2.h3']; }"
    )
    return place


def _watched(page: Page) -> list[float] | None:
    """Where the node is now; None where the component is another."""
    place: list[float] | None = page.locator("[data-testid=circuit]").evaluate(
        "circuit => circuit.watched ? circuit.circuitPlaces()['a2.h3'] : null"
    )
    return place


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
