"""A short recording of the real app as an animated picture: K slides, a head is clicked, its lens appears.

    python tools/recording.py [--out assets/recording.webp] [--task ioi] [--node a1.h3] [--made-up]

Starts the app on a free port with the cache and pairs of the environment (CIRCUITS_CACHE, CIRCUITS_PAIRS), in which the
task's two runs have to be; with `--made-up` it makes runs of its own in a temporary cache instead. Moves the mouse in
a Chromium, takes a screenshot for each frame of the picture, and marks where the mouse is. The kind of picture is that
of the file's name: .webp, .gif or .png (animated).
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.browser import FLAGS, chromium_path, running_app, wait_until_still  # noqa: E402
from tools.synthetic_runs import register_fake_pair  # noqa: E402

WINDOW = {"width": 1440, "height": 900}
WIDTH = 1000  # pixels of the picture
LARGEST = 3_000_000  # bytes that a README's recording may have
FIRST, LAST = 10, 2_000  # K
SLIDE_FRAMES, SLIDE_MS = 36, 110
APPROACH_FRAMES, APPROACH_MS = 8, 70
STAY_MS = 2_400  # on the lens, before the picture begins anew
MADE_UP = """
import sys
from engine.runs import lifecycle
from engine.runs.spec import RunSpec
from tools.synthetic_runs import by_kind, fake_run
for model in ("arm", "mdm"):
    lifecycle.run(RunSpec(task=sys.argv[1], model=model), compute=by_kind(fake_run))
"""
HANDLE = """(canvas) => {
    const {left, top} = canvas.getBoundingClientRect();
    return [left + Number(canvas.dataset.handleX), top + Number(canvas.dataset.handleY)];
}"""
Point = tuple[float, float]


@dataclass(frozen=True)
class Shot:
    """One frame of the picture and how many milliseconds it stays."""

    picture: Image.Image
    stays: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "recording.webp")
    parser.add_argument("--task", default="ioi")
    parser.add_argument("--node", default="a1.h3", help="the head that is clicked")
    parser.add_argument("--theme", choices=["light", "dark"], default="light")
    parser.add_argument("--made-up", action="store_true", help="runs of random numbers, in a temporary cache")
    chosen = parser.parse_args()
    with environment(chosen.task, chosen.made_up) as variables, running_app(variables) as address:
        shots = recorded(f"{address}circuits?task={chosen.task}&k={FIRST}", chosen.node, chosen.theme)
    size = save(shots, chosen.out)
    seconds = sum(shot.stays for shot in shots) / 1000
    print(f"{chosen.out}: {size / 1e6:.2f} MB, {len(shots)} frames, {seconds:.1f} s")
    if size > LARGEST:
        raise SystemExit(f"{chosen.out} has {size} bytes: more than the {LARGEST} that a recording may have.")


@contextmanager
def environment(task: str, made_up: bool) -> Iterator[Mapping[str, str]]:
    """Environment variables of an app that has the task's runs."""
    if not made_up:
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:
        pairs = register_fake_pair(Path(folder), steps=())
        variables = {"CIRCUITS_CACHE": folder, "CIRCUITS_PAIRS": str(pairs)}
        subprocess.run([sys.executable, "-c", MADE_UP, task], cwd=ROOT, env={**os.environ, **variables}, check=True)
        yield variables


def recorded(address: str, node: str, theme: str) -> list[Shot]:
    """The frames: K slides from FIRST to LAST, `node` is clicked, its lens appears."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        context = browser.new_context(viewport=WINDOW, color_scheme=theme)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(address)
        page.locator(f'[data-testid="circuit"][data-k="{FIRST}"]').wait_for()
        wait_until_still(page)
        close = page.locator('[data-testid="circuit"] [data-part="close"]')
        if close.is_visible():
            close.click()
        start, end = ends(page)
        shots = [*slid(page, start, end), *clicked(page, end, node)]
        browser.close()
    return shots


def ends(page: Page) -> tuple[Point, Point]:
    """Where the handle is at FIRST and at LAST, in pixels of the window; K is FIRST again afterwards."""
    places = {}
    for k in (LAST, FIRST):
        field = page.locator('input[data-part="k"]')
        field.fill(str(k))
        field.press("Enter")
        page.locator(f'[data-testid="circuit"][data-k="{k}"]').wait_for()
        wait_until_still(page)
        x, y = page.locator('canvas[data-part="curve"]').evaluate(HANDLE)
        places[k] = (x, y)
    return places[FIRST], places[LAST]


def slid(page: Page, start: Point, end: Point) -> Iterator[Shot]:
    page.mouse.move(*start)
    yield shot(page, start, 700)
    page.mouse.down()
    for at in along(start, end, SLIDE_FRAMES):
        page.mouse.move(*at)
        page.wait_for_timeout(60)
        yield shot(page, at, SLIDE_MS)
    page.mouse.up()
    wait_until_still(page)
    yield shot(page, end, 500)


def clicked(page: Page, start: Point, node: str) -> Iterator[Shot]:
    canvas = page.locator('canvas[data-part="graph-arm"]')
    box = canvas.bounding_box()
    places = page.locator('[data-testid="circuit"]').evaluate("(root) => root.circuitPlaces()")
    if box is None or node not in places:
        raise SystemExit(f"There is no node {node!r} in the graph: name another one with --node.")
    target = (box["x"] + places[node][0], box["y"] + places[node][1])
    for at in along(start, target, APPROACH_FRAMES):
        page.mouse.move(*at)
        page.wait_for_timeout(30)
        yield shot(page, at, APPROACH_MS)
    page.mouse.click(*target)
    page.locator(f'[data-testid="circuit"][data-node="{node}"]').wait_for()
    yield shot(page, target, 250)
    page.locator(".st-key-inspector h5", has_text=f"({node})").wait_for()
    wait_until_still(page)
    yield shot(page, target, STAY_MS)


def along(start: Point, end: Point, steps: int) -> list[Point]:
    """Points on the way, `start` left out; slow at both ends, as a hand is."""
    shares = [step * step * (3 - 2 * step) for step in (number / steps for number in range(1, steps + 1))]
    return [(start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part) for part in shares]


def shot(page: Page, mouse: Point, stays: int) -> Shot:
    """What the window shows now, with the mouse, made smaller."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    x, y = mouse
    arrow = [(x, y), (x, y + 18), (x + 4, y + 14), (x + 8, y + 21), (x + 11, y + 20), (x + 7, y + 13), (x + 13, y + 13)]
    ImageDraw.Draw(picture).polygon(arrow, fill="black", outline="white")
    height = round(picture.height * WIDTH / picture.width)
    return Shot(picture.resize((WIDTH, height), Image.Resampling.LANCZOS), stays)


def save(shots: Sequence[Shot], file: Path) -> int:
    """Write the animated picture, which begins anew for ever; returns its size in bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = (each.picture for each in shots)
    stays = [each.stays for each in shots]
    options = {"quality": 60, "method": 4} if file.suffix == ".webp" else {"optimize": True}
    first.save(file, save_all=True, append_images=rest, duration=stays, loop=0, **options)
    return file.stat().st_size


if __name__ == "__main__":
    main()
