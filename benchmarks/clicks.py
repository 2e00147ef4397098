"""From a click to its panel: milliseconds in a real browser, page by page.

    python benchmarks/clicks.py [--clicks 9]

Starts the app with the cache of the environment (CIRCUITS_DB), in which the embedded pair's COUNTDOWN runs have to be,
and clicks points of figures. Measured from the release of the mouse button to the first animation frame in which the
panel says what was clicked. Both run on the machine at hand, so leave it alone meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.app import FLAGS, chromium_path, running_app, wait_until_still  # noqa: E402

TASK = "task=countdown&k=200"
PLACES = """([key, trace]) => {
    const figure = document.querySelector('.st-key-' + key + ' .js-plotly-plot');
    const found = figure._fullData.find(one => one.name === trace);
    const {xaxis, yaxis} = figure._fullLayout, box = figure.getBoundingClientRect();
    return Array.from(found.x).map((x, i) => ({
        x: box.left + xaxis._offset + xaxis.d2p(x), y: box.top + yaxis._offset + yaxis.d2p(found.y[i]),
        name: [].concat((found.customdata || [])[i] ?? i)[0]}));
}"""
WATCH = """said => {
    window.clicked = window.shown = null;
    document.addEventListener('mouseup', () => { window.clicked = performance.now(); }, {once: true, capture: true});
    const block = document.querySelector('[data-testid=stMainBlockContainer]');
    const look = () => {
        if (window.clicked === null || !block.innerText.includes(said)) requestAnimationFrame(look);
        else window.shown = performance.now() - window.clicked;
    };
    requestAnimationFrame(look);
}"""


@dataclass(frozen=True)
class Case:
    """Points of a trace of the figure under `key`; `said` is what the panel then says, with the point's {name}."""

    name: str
    address: str
    key: str
    trace: str
    said: str


CASES = (Case("circuits: a node", f"circuits?{TASK}", "graph-arm", "nodes", "({name})"),)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=9)
    chosen = parser.parse_args()
    print(f"{'click':32} {'median':>8} {'slowest':>8}  (milliseconds, {chosen.clicks} clicks)")
    with running_app() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        for case in CASES:
            page = browser.new_page(viewport={"width": 1440, "height": 1800})
            page.goto(address + case.address)
            wait_until_still(page)
            times = list(clicked(page, case, chosen.clicks))
            print(f"{case.name:32} {statistics.median(times):8.0f} {max(times):8.0f}")
            page.close()
        browser.close()


def clicked(page: Page, case: Case, count: int) -> Iterator[float]:
    """Milliseconds from each of `count` clicks, on points that lie apart, to its panel."""
    places = page.evaluate(PLACES, [case.key, case.trace])
    step = max(1, len(places) // (count + 1))
    for place in places[1 : 1 + count * step : step]:
        page.mouse.move(place["x"] + 30, place["y"] + 15)
        page.mouse.move(place["x"], place["y"])
        page.wait_for_timeout(500)  # Plotly looks for the point under the mouse some time after it has moved
        page.evaluate(WATCH, case.said.format(name=place["name"]))
        page.mouse.click(place["x"], place["y"])
        page.wait_for_function("window.shown !== null", timeout=10_000)
        yield float(page.evaluate("window.shown"))
        wait_until_still(page)


if __name__ == "__main__":
    main()
