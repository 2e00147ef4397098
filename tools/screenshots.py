"""Screenshots of the real app, light and dark, wide and narrow.

    python tools/screenshots.py [--out build/screenshots]

Starts the app on a free port with the cache and pairs of the environment (CIRCUITS_CACHE, CIRCUITS_PAIRS), opens its
pages in a Chromium and saves what they look like.
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
    "evidence": "evidence?task=ioi&k=200&node=a1.h3",
    "activations": "activations?task=countdown&k=200&layer=2&region=answer",
    "neurons": "neurons?task=ioi&k=200&layer=4&neuron=318&pins=4:318,4:403",
    "denoising": "denoising?task=sudoku&k=200",
    "prompts": "prompts",
    "runs": "runs",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "screenshots")
    parser.add_argument("--only", choices=[*PAGES], action="append")
    parser.add_argument("--widths", type=int, nargs="+", default=[1440, 900, 420])
    parser.add_argument("--themes", nargs="+", default=["light", "dark"])
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with running_app() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        for name in chosen.only or PAGES:
            for theme in chosen.themes:
                for width in chosen.widths:
                    page = opened(browser, address + PAGES[name], theme, width)
                    page.screenshot(path=chosen.out / f"{name}-{theme}-{width}.png")
                    page.context.close()
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


if __name__ == "__main__":
    main()
