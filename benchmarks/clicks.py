"""From a click to its panel: milliseconds in a real browser, page by page.

    python benchmarks/clicks.py [--clicks 9]

Starts the app with the cache of the environment (CIRCUITS_CACHE), in which the embedded pair's COUNTDOWN runs have to
be, and clicks points of figures; for nodes of the circuits page there is benchmarks/gestures.py. Measured from the
release of the mouse button to the first animation frame in which the panel shows what was clicked. Both run on the
machine at hand, so leave it alone meanwhile.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.inspection import bins  # noqa: E402
from pages.figures.activations import TARGETS  # noqa: E402
from pages.figures.heat import SELECT_TRACE  # noqa: E402
from pages.figures.neurons import POINTS_TRACE  # noqa: E402
from tools.browser import FLAGS, chromium_path, running_app, wait_until_still  # noqa: E402

PLACES = """([index, name]) => {
    const wanted = one => one.name === name || one.meta === name;
    const figures = [...document.querySelectorAll('.js-plotly-plot')].filter(one => one._fullData?.some(wanted));
    const figure = figures[index], traces = figure._fullData.filter(wanted);
    figure.scrollIntoView({block: 'center'});
    const {xaxis, yaxis} = figure._fullLayout, box = figure.getBoundingClientRect();
    const across = trace => trace.type === 'bar' && trace.orientation === 'h';
    const upright = trace => trace.type === 'bar' && trace.orientation !== 'h';
    return traces.flatMap(trace => Array.from(trace.customdata).map((name, i) => ({
        x: box.left + xaxis._offset + (across(trace) ? 0.4 * xaxis._length : xaxis.d2p(trace.x[i])),
        y: box.top + yaxis._offset + (upright(trace) ? 0.4 * yaxis._length : yaxis.d2p(trace.y[i])),
        name: [].concat(name)[0],
    })));
}"""
WATCH = """message => {
    window.clicked = window.shown = null;
    document.addEventListener('mouseup', () => { window.clicked = performance.now(); }, {once: true, capture: true});
    const block = document.querySelector('[data-testid=stMainBlockContainer]');
    const check = () => {
        if (window.clicked === null || !block.innerText.includes(message)) requestAnimationFrame(check);
        else window.shown = performance.now() - window.clicked;
    };
    requestAnimationFrame(check);
}"""
IDLE = """() => document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'
    && performance.now() - window.clicked"""


APART = 14  # pixels between points, so that the right one is hit


@dataclass(frozen=True)
class Case:
    """Points of the traces called `trace` (by name or meta) in the page's figure number `figure` that has such.

    `message` is what the panel shows of a point called {name}; `only` keeps the points whose names begin with it.
    """

    name: str
    address: str
    figure: int
    trace: str
    message: str
    only: str = ""


CASES = (
    Case(
        "activations: a layer", "activations?task=countdown&k=200", 0, TARGETS, "Layer {name}: the neurons that matter"
    ),
    Case("activations: a bin", "activations?task=countdown&k=200", 1, TARGETS, "the neurons with activations of {bin}"),
    Case("neurons: a neuron", "neurons?task=countdown&k=200&layer=2", 0, POINTS_TRACE, "Neuron {name} of layer"),
    Case("denoising: a position", "denoising?task=countdown&k=200", 1, SELECT_TRACE, "Position {name}, right answer"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=9)
    chosen = parser.parse_args()
    print(f"{'click':24} {'panel, median':>14} {'slowest':>8} {'all done, median':>17}  (milliseconds)")
    with running_app() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        for case in CASES:
            page = browser.new_page(viewport={"width": 1440, "height": 1800})
            page.goto(address + case.address)
            wait_until_still(page)
            shown, done = zip(*clicked(page, case, chosen.clicks), strict=True)
            times = f"{statistics.median(shown):14.0f} {max(shown):8.0f} {statistics.median(done):17.0f}"
            print(f"{case.name:24} {times}", flush=True)
            page.close()
        browser.close()


def clicked(page: Page, case: Case, count: int) -> Iterator[tuple[float, float]]:
    """Milliseconds from each of `count` clicks to its panel, and to the end of the script that it set off."""
    names = [place["name"] for place in apart(page, case)][1:]  # the first may be chosen already
    for name in names[:: max(1, len(names) // count)][:count]:
        place = hover(page, case, name)
        page.evaluate(WATCH, message_of(case, name))
        page.mouse.click(place["x"], place["y"])
        page.wait_for_function("window.shown !== null", timeout=10_000)
        shown = float(page.evaluate("window.shown"))
        done = float(page.wait_for_function(IDLE).json_value())
        yield shown, done
        wait_until_still(page)


def hover(page: Page, case: Case, name: object) -> dict[str, Any]:
    """Move the mouse over the point called `name` until Plotly has found it, and say where that is."""
    for _ in range(40):
        place = next(point for point in apart(page, case) if point["name"] == name)  # a panel may have moved the figure
        page.mouse.move(place["x"] + 30, place["y"] + 15)
        page.mouse.move(place["x"], place["y"])
        page.wait_for_timeout(250)
        if page.locator(".hovertext").count():
            return place
    raise SystemExit(f"{case.name}: the figure does not answer the mouse at {name}.")


def apart(page: Page, case: Case) -> list[dict[str, Any]]:
    """Where the points are that can be hit without hitting another."""
    points = page.evaluate(PLACES, [case.figure, case.trace])
    places = [point for point in points if str(point["name"]).startswith(case.only)]
    return [point for point in places if sum(math.dist(at(point), at(other)) < APART for other in places) == 1]


def at(place: dict[str, Any]) -> tuple[float, float]:
    return place["x"], place["y"]


def message_of(case: Case, name: object) -> str:
    """What the panel shows when the point called `name` was clicked."""
    return case.message.format(name=name, bin=bins.label(name) if isinstance(name, int) and name < bins.BINS else "")


if __name__ == "__main__":
    main()
