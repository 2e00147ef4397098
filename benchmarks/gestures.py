"""The gestures of the circuits page in a real browser: open it, drag K, let it rest, click nodes.

Times are taken in the page, not by whoever drives the browser. The mouse is moved 60 times a second whether or not the
page has dealt with the move before.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, CDPSession, Page, async_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg

from benchmarks.painted import (
    EVENTS_A_SECOND,
    event_to_frame,
    frames_a_second,
    frames_of,
    p95,
    place_of,
    summary,
    there_and_back,
)
from benchmarks.table import Figure
from tools.browser import FLAGS, chromium_path

MOST = 5_000  # edges, of a circuit that the browser has whole
FIRST = 10
OPENINGS, DRAGS, RESTS, CLICKS, MOVES = 5, 5, 20, 25, 2_000
SECONDS = 2.0  # of a drag, one way
PATIENCE = 60_000  # ms

RECORD = """
window.painted = [];
window.merged = [];
window.addEventListener("circuit-painted", (event) => window.painted.push(event.detail));
window.addEventListener("pointermove", (event) => {
    window.merged.push([event.timeStamp, ...event.getCoalescedEvents().map((each) => each.timeStamp)]);
}, true);
"""
CLEAR = "() => { window.painted.length = window.merged.length = 0; }"
HANDLE = """(canvas) => {
    const {left, top} = canvas.getBoundingClientRect();
    return [left, top, Number(canvas.dataset.handleX), Number(canvas.dataset.handleY)];
}"""
IDLE = "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
# From the last input event to the frame from which on the address holds the K that was painted and no script runs.
RESTED = f"""() => new Promise((resolve) => {{
    let since = null;
    const check = () => {{
        const last = window.painted.at(-1);
        const done = last && new URLSearchParams(location.search).get("k") === `${{last.k}}` && {IDLE};
        since = done ? (since ?? performance.now()) : null;
        if (done && performance.now() - since > 200) resolve(since - last.event);
        else requestAnimationFrame(check);
    }};
    requestAnimationFrame(check);
}})"""
# The inspector's heading and the lens of both models, once they are in the page and a frame has shown them.
WATCH_LENS = """(name) => {
    const lens = () => [...document.querySelectorAll(".st-key-inspector table.component-lens")];
    const text = () => lens().map((table) => table.textContent).join();
    const before = text();
    window.shown = null;
    let up;
    window.addEventListener("pointerup", (event) => { up = event.timeStamp; }, {once: true, capture: true});
    const observer = new MutationObserver(() => {
        const heading = document.querySelector(".st-key-inspector h5")?.textContent ?? "";
        if (!heading.includes(`(${name})`) || lens().length !== 2 || text() === before) return;
        observer.disconnect();
        requestAnimationFrame(() => {
            const channel = new MessageChannel();
            channel.port1.onmessage = () => { window.shown = performance.now() - up; channel.port1.close(); };
            channel.port2.postMessage(null);
        });
    });
    observer.observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


class Gestures:
    """A page with the circuits of a comparison, and what it asked the server for since `asked` was last emptied."""

    def __init__(self, page: Page, cdp: CDPSession) -> None:
        self.page, self.cdp = page, cdp
        self.asked: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.asked.append(urlsplit(request.url).path))
        page.on("websocket", lambda socket: socket.on("framesent", lambda sent: self.asked.append(_kind(sent))))
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    async def open(self, address: str) -> float:
        """Milliseconds from the start of the navigation to both circuits painted."""
        await self.page.goto(address)
        await self.page.wait_for_function("window.painted.length > 0", timeout=PATIENCE)
        opened = float(await self.page.evaluate("window.painted[0].at"))
        await self.still()
        return opened

    async def still(self) -> None:
        await self.page.wait_for_function(IDLE, timeout=PATIENCE)
        await self.page.wait_for_timeout(700)
        await self.page.wait_for_function(IDLE, timeout=PATIENCE)

    async def handle(self) -> tuple[float, float]:
        """The handle of K, in pixels of the window."""
        left, top, x, y = await self.page.locator('canvas[data-part="curve"]').evaluate(HANDLE)
        return left + x, top + y

    async def ends(self) -> tuple[float, float, float]:
        """Where on the curve K = FIRST and K = MOST are (x, x), and the height of the handle."""
        known = {}
        for k in (FIRST, 10 * FIRST):
            await self.type_k(k)
            known[k], y = await self.handle()
        return known[FIRST], place_of(MOST, known), y

    async def type_k(self, k: int) -> None:
        field = self.page.locator('input[data-part="k"]')
        await field.fill(str(k))
        await field.press("Enter")
        await self.page.locator(f'[data-testid="circuit"][data-k="{k}"]').wait_for()

    async def move(self, xs: Sequence[float], y: float) -> float:
        """Move the mouse along `xs`, 60 positions a second; returns the moves a second that it became."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        moves = []
        for step, x in enumerate(xs):
            await asyncio.sleep(began + step / EVENTS_A_SECOND - loop.time())
            moves.append(asyncio.create_task(self.page.mouse.move(x, y)))
        await asyncio.gather(*moves)
        return len(xs) / (loop.time() - began)

    async def memory(self) -> float:
        """MB that the page's JavaScript holds, after garbage is collected."""
        for _ in range(3):
            await self.cdp.send("HeapProfiler.collectGarbage")
        usage = await self.cdp.send("Runtime.getHeapUsage")
        held = (usage.get(name, 0.0) for name in ("usedSize", "embedderHeapUsedSize", "backingStorageSize"))
        return float(sum(held)) / 1e6


def _kind(sent: str | bytes) -> str:
    """What a message to the server is: a rerun that the page's own timers set off ("automatic"), or another one."""
    message = BackMsg.FromString(sent.encode() if isinstance(sent, str) else sent)
    kind = str(message.WhichOneof("type"))
    return f"automatic {kind}" if message.rerun_script.is_auto_rerun else kind


def gestures(address: str, size: str) -> list[Figure]:
    """All figures of a browser at `address`, a comparison of circuits that is computed."""
    return asyncio.run(_all(address, size))


async def _all(address: str, size: str) -> list[Figure]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        figures = [await _opening(browser, address, size)]
        hand = await _opened(browser, address)
        for measure in (_drags, _rests, _clicks, _growth):
            figures += [row async for row in measure(hand, size)]
        await browser.close()
    if hand.errors:
        raise SystemExit(f"the page has errors: {hand.errors}")
    return figures


async def _opened(browser: Browser, address: str) -> Gestures:
    page = await browser.new_page(viewport={"width": 1440, "height": 900})
    await page.add_init_script(RECORD)
    hand = Gestures(page, await page.context.new_cdp_session(page))
    await hand.open(address)
    return hand


async def _opening(browser: Browser, address: str, size: str) -> Figure:
    """Each time in a browser that has nothing of the app yet."""
    spent = []
    for _ in range(OPENINGS):
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        await page.add_init_script(RECORD)
        spent.append(await Gestures(page, await page.context.new_cdp_session(page)).open(address) / 1000)
        await page.close()
    note = ", ".join(f"{seconds:.2f}" for seconds in spent)
    name = f"opening a cached comparison: navigation to both circuits painted, median, {size}"
    return Figure(name, statistics.median(spent), "s", 2.0, note)


async def _drags(hand: Gestures, size: str) -> AsyncIterator[Figure]:
    start, end, y = await hand.ends()
    spent: list[float] = []
    shown, sent, asked = [], [], Counter[str]()
    for _ in range(DRAGS):
        await hand.type_k(FIRST)
        await hand.still()
        await hand.page.mouse.move(start, y)
        await hand.page.evaluate(CLEAR)
        hand.asked.clear()
        await hand.page.mouse.down()
        sent.append(await hand.move(there_and_back(start, end, SECONDS), y))
        asked.update(hand.asked)
        details, merged = await hand.page.evaluate("[window.painted, window.merged]")
        await hand.page.mouse.up()
        frames = frames_of(details)
        farthest = max(frame.k for frame in frames)
        if farthest < MOST / 2:  # the browser may merge the move at the turn with those after it
            raise SystemExit(f"the drag reached only K = {farthest}")
        spent += event_to_frame(frames, merged)
        shown.append(frames_a_second(frames))
        await hand.still()
    what = f"drag K {FIRST} .. {MOST:,} .. {FIRST}"
    note = f"{summary(spent)}, {statistics.mean(sent):.0f} events a second"
    yield Figure(f"{what}: event to painted frame, p95, {size}", p95(spent), "ms", 50.0, note)
    yield Figure(f"{what}: event to painted frame, median, {size}", statistics.median(spent), "ms", 25.0)
    note = "smaller is better; frames a second: " + ", ".join(f"{rate:.0f}" for rate in shown)
    yield Figure(f"{what}: time of a frame, {size}", 1000 / min(shown), "ms", 50.0, note)
    kinds = "".join(f", {count} x {kind}" for kind, count in asked.items())
    yield Figure(f"{what}: requests to the server, {size}", asked.total(), "", 0.0, f"in {DRAGS} drags{kinds}")


async def _rests(hand: Gestures, size: str) -> AsyncIterator[Figure]:
    """Short drags to different K. Counted from the last move: the component's wait for another is part of it."""
    start, end, y = await hand.ends()
    spent = []
    for rest in range(RESTS):
        await hand.still()
        x, _ = await hand.handle()
        target = start + (end - start) * ((7 * rest + 3) % RESTS) / RESTS
        await hand.page.mouse.move(x, y)
        await hand.page.mouse.down()
        await hand.page.evaluate(CLEAR)
        await hand.move([x + (target - x) * step / 12 for step in range(1, 13)], y)
        spent.append(float(await hand.page.evaluate(RESTED)))
        await hand.page.mouse.up()
    name = f"K rests: address and server panels up to date, p95, {size}"
    yield Figure(name, p95(spent), "ms", 400.0, f"{summary(spent)}, from the last move")


async def _clicks(hand: Gestures, size: str) -> AsyncIterator[Figure]:
    """Different nodes, of which the server has not read a lens yet."""
    await hand.type_k(1_000)
    await hand.still()
    circuit = hand.page.locator('[data-testid="circuit"]')
    places: dict[str, Any] = await circuit.evaluate("(root) => root.circuitPlaces()")
    names = [name for name in places if name not in ("input", "logits")]
    lit, lens = [], []
    for click in range(CLICKS):
        name = names[(click * 41 + 5) % len(names)]
        canvas = hand.page.locator(f'canvas[data-part="graph-{("arm", "mdm")[click % 2]}"]')
        left, top = await canvas.evaluate(
            "(canvas) => [canvas.getBoundingClientRect()].flatMap((b) => [b.left, b.top])"
        )
        x, y = left + places[name][0], top + places[name][1]
        await hand.page.mouse.move(x, y)
        await hand.page.evaluate(CLEAR)
        await hand.page.evaluate(WATCH_LENS, name)
        await hand.page.mouse.click(x, y)
        await hand.page.wait_for_function("window.shown !== null", timeout=PATIENCE)
        frames = [frame for frame in frames_of(await hand.page.evaluate("window.painted")) if frame.node == name]
        lit.append(frames[0].at - frames[0].event)
        lens.append(float(await hand.page.evaluate("window.shown")))
        await hand.still()
    yield Figure(f"click: highlighted in both graphs, p95, {size}", p95(lit), "ms", 50.0, summary(lit))
    what = "click: lens of both models in the inspector"
    yield Figure(f"{what}, median, {size}", statistics.median(lens), "ms", 300.0)
    yield Figure(f"{what}, p95, {size}", p95(lens), "ms", 500.0, summary(lens))
    await hand.page.keyboard.press("Escape")
    await hand.still()


async def _growth(hand: Gestures, size: str) -> AsyncIterator[Figure]:
    """What the page holds after many moves, beyond what it held after the first drag."""
    start, end, y = await hand.ends()
    drag = there_and_back(start, end, SECONDS)
    held = []
    await hand.page.mouse.move(start, y)
    await hand.page.mouse.down()
    await hand.move(drag, y)
    for _ in range(5):
        await hand.page.evaluate(CLEAR)
        held.append(await hand.memory())
        for _ in range(round(MOVES / 4 / len(drag)) if len(held) < 5 else 0):
            await hand.move(drag, y)
    await hand.page.mouse.up()
    note = "MB along: " + ", ".join(f"{memory:.1f}" for memory in held)
    yield Figure(f"memory of the page after {MOVES:,} moves, growth, {size}", held[-1] - held[0], "MB", 20.0, note)
