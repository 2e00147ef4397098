"""Screenshots of the real app, light and dark, wide and narrow; and the README's picture.

    python tools/screenshots.py [--out build/screenshots] [--readme]

Starts the app on a free port with the cache and pairs of the environment (CIRCUITS_CACHE, CIRCUITS_PAIRS), opens its
pages in a Chromium and saves what they look like. `--readme` writes assets/screenshot.png as well.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.browser import FLAGS, chromium_path, running_app, wait_until_still  # noqa: E402

PAGES = {
    "overview": "",
    "circuits": "circuits?task=ioi&k=100&node=a1.h3",
    "circuits-empty-node": "circuits?task=countdown&k=100",
    "activations": "activations?task=countdown&k=200&layer=2&region=answer",
    "neurons": "neurons?task=ioi&k=200&layer=4&neuron=318&pins=4:318,4:403",
    "denoising": "denoising?task=sudoku&k=200",
    "prompts": "prompts",
    "runs": "runs",
}
README = "circuits?task=ioi&k=100"
LARGEST = 500_000  # bytes of the README's picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "screenshots")
    parser.add_argument("--readme", action="store_true")
    parser.add_argument("--only", choices=[*PAGES, "readme"], action="append")
    parser.add_argument("--widths", type=int, nargs="+", default=[1440, 900])
    parser.add_argument("--themes", nargs="+", default=["light", "dark"])
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with running_app() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        for name in chosen.only or PAGES:
            for theme in chosen.themes:
                for width in chosen.widths:
                    if name in PAGES:
                        page = opened(browser, address + PAGES[name], theme, width)
                        page.screenshot(path=chosen.out / f"{name}-{theme}-{width}.png")
                        page.context.close()
        if chosen.readme:
            take_readme_picture(browser, address, ROOT / "assets" / "screenshot.png")
        browser.close()


def opened(browser: Browser, address: str, theme: str, width: int) -> Page:
    """The page when it has stopped changing, in a window as high as its content."""
    context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(address)
    wait_until_still(page)
    height = page.evaluate("document.querySelector('[data-testid=stMainBlockContainer]').scrollHeight")
    page.set_viewport_size({"width": width, "height": min(6000, int(height) + 80)})
    wait_until_still(page)
    return page


def take_readme_picture(browser: Browser, address: str, file: Path) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 1330}, color_scheme="light")
    page = context.new_page()
    page.goto(address + README)
    wait_until_still(page)
    page.screenshot(path=file)
    size = file.stat().st_size
    if size > LARGEST:
        raise SystemExit(f"{file} has {size} bytes: more than the {LARGEST} that a README's picture may have.")


if __name__ == "__main__":
    main()
