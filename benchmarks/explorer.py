"""The explorer at the size of a 7B pair: server side and in a real browser.

    python -m benchmarks --only explorer

Synthetic runs (benchmarks/large.py) of both architectures are stored in a cache of their own, and the real app is
started on it. Server side is from the request to the end of the script, in a session without a browser; in the
browser it is from the key that moves the slider to the first frame in which both graphs show the new circuit. The
slider itself waits 200 ms for another key.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

from playwright.sync_api import Page, sync_playwright

from benchmarks.large import PAIRS
from benchmarks.session import Session, session
from benchmarks.table import Figure
from engine.circuits.graph import Graph
from pages.shared.state import k_options
from tools.browser import FLAGS, ROOT, chromium_path, running_app, wait_until_still

TASK = "ioi"
MOST = 5_000  # edges, of a circuit that has to be quick
SLIDER = "K, the strongest"
SERVER, BROWSER, COLD = 150.0, 600.0, 3.0  # bars: milliseconds, milliseconds, seconds
CURVE = """
import time
from engine.runs import read, stored
keys = [run.key for run in stored.list_runs()]
for a, b, *parts in [(*keys, "total", "total"), *((key, key, "half-a", "half-b") for key in keys)]:  # what a page asks
    read.overlap_curve(a, b, *parts)
began = time.perf_counter()
read.overlap_curve(*keys, "half-a", "half-b")
print(time.perf_counter() - began)
"""
WATCH = """k => {
    window.moved = window.shown = null;
    document.addEventListener('keydown', () => { window.moved ??= performance.now(); }, {once: true, capture: true});
    const sum = figure => [...figure.querySelectorAll('.legendtext')].slice(0, 2)
        .map(text => Number(text.textContent.split(/: | of /).at(-1).replaceAll(',', ''))).reduce((a, b) => a + b, 0);
    const look = () => {
        const graphs = [...document.querySelectorAll('.js-plotly-plot')].slice(0, 2);
        const done = window.moved !== null && graphs.length === 2 && graphs.every(one => sum(one) === k);
        if (done) window.shown = performance.now() - window.moved;
        else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}"""


def rows() -> list[Figure]:
    return [row for name in PAIRS for row in _of_pair(name)]


def _of_pair(name: str) -> Iterator[Figure]:
    shape = PAIRS[name]
    n_edges = Graph(shape.layers, shape.heads).n_edges
    size = f"{n_edges:,} edges"
    with tempfile.TemporaryDirectory() as folder:
        environment = {"CIRCUITS_CACHE": f"{folder}", "CIRCUITS_PAIRS": f"{folder}/pairs.toml"}
        began = time.perf_counter()
        python(environment, "-m", "benchmarks.large", name, folder, TASK)
        yield Figure(f"two runs made and stored, {size}", time.perf_counter() - began, "s")
        curve = float(python(environment, "-c", CURVE))
        yield Figure(f"overlap curve, not kept yet, {size}", 1000 * curve, "ms", SERVER)
        began = time.perf_counter()
        query = f"pair={name}&task={TASK}"
        with running_app(environment) as address, session(address, "circuits", query) as reader:
            reader.open()
            yield Figure(
                f"from starting the app to a cached comparison, {size}", time.perf_counter() - began, "s", COLD
            )
            yield from _server(reader, n_edges, size)
            yield from _browser(f"{address}circuits?{query}", n_edges, size)


def _server(reader: Session, n_edges: int, size: str) -> Iterator[Figure]:
    options = k_options(n_edges)
    few = [k for k in options if k <= MOST]
    random.Random(0).shuffle(few)
    spent = [1000 * reader.slide(SLIDER, str(k)) for k in 2 * few]
    yield Figure(f"slide K in 10 .. {MOST:,}, server, p95, {size}", p95(spent), "ms", SERVER, _summary(spent))
    many = [1000 * reader.slide(SLIDER, str(k)) for k in options[len(few) :: 4]]
    yield Figure(f"slide K above {MOST:,}, server, slowest, {size}", max(many), "ms")
    yield Figure(f"K = all, server, {size}", 1000 * reader.slide(SLIDER, str(n_edges)), "ms")
    if reader.errors:
        raise SystemExit(f"the app shows errors: {reader.errors}")


def _browser(address: str, n_edges: int, size: str) -> Iterator[Figure]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        began = time.perf_counter()
        page.goto(address)
        page.wait_for_selector(".js-plotly-plot .legendtext")
        yield Figure(f"first paint of both circuits, browser, {size}", 1000 * (time.perf_counter() - began), "ms")
        wait_until_still(page)
        options = k_options(n_edges)
        few = [k for k in options if k <= MOST]
        spent = list(_moved(page, options, [*few[::3], *few[1::4][::-1]]))
        yield Figure(f"slide K in 10 .. {MOST:,}, browser, p95, {size}", p95(spent), "ms", BROWSER, _summary(spent))
        everything = list(_moved(page, options, [options[-4], options[-1]]))
        yield Figure(f"K = all, browser, {size}", everything[-1], "ms")
        browser.close()


def _moved(page: Page, options: Sequence[int], wanted: Sequence[int]) -> Iterator[float]:
    """Milliseconds from the last key that moves the slider to each K to the frame that shows it in both graphs."""
    thumb = page.get_by_role("slider").first
    for k in wanted:
        now = options.index(int(str(thumb.get_attribute("aria-valuetext")).replace(",", "")))
        away = options.index(k) - now
        thumb.focus()
        for step in range(abs(away)):
            if step == abs(away) - 1:
                page.evaluate(WATCH, k)
            page.keyboard.press("ArrowRight" if away > 0 else "ArrowLeft")
        if away:
            page.wait_for_function("window.shown !== null", timeout=60_000)
            yield float(page.evaluate("window.shown"))
        wait_until_still(page)


def python(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def _summary(values: Sequence[float]) -> str:
    return f"median {statistics.median(values):.0f} ms of {len(values)}"
