"""The real app on a free port of this machine, and the Chromium that looks at it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Every window has two suggestion lists of its address bar ready, pages of their own that cost as much as one of ours.
# This list replaces Playwright's, so what matters of that is in it as well.
NO_FEATURES = (
    "WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "AimEnabled", "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose", "HttpsUpgrades", "LensOverlay", "MediaRouter", "NetworkTimeServiceQuerying",
    "OptimizationHints", "PaintHolding", "PreconnectToSearch",
)  # fmt: skip
FLAGS = [
    f"--disable-features={','.join(NO_FEATURES)}",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
STARTS_WITHIN = 120.0  # seconds
STILL_FOR = 300  # ms in which nothing has changed; a page that waits for its server or draws changes more often
IS_STILL = """stillFor => {
    if (!window.watchesChanges) {
        const options = { subtree: true, childList: true, attributes: true, characterData: true };
        new MutationObserver(() => { window.changedAt = performance.now(); }).observe(document, options);
        window.watchesChanges = true;
        window.changedAt = performance.now();
    }
    const running = document.querySelector('[data-testid=stApp]')?.dataset.testScriptState !== 'notRunning';
    if (running || document.querySelector('[data-testid=stSkeleton]')) window.changedAt = performance.now();
    return performance.now() - window.changedAt >= stillFor;
}"""


def chromium_path() -> str:
    """The system's Chromium; a test without it has to fail, not to be skipped."""
    for name in BROWSERS:
        program = shutil.which(name)
        if program:
            return program
    raise RuntimeError(f"no Chromium found (looked for {', '.join(BROWSERS)}): install it from the system's packages")


@contextmanager
def running_app(environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """`streamlit run app.py` with more environment variables; its address, ending in a slash."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    process = subprocess.Popen(
        [*command, "--server.address", "127.0.0.1"],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}/"
    try:
        _wait_for(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def wait_until_still(page: Page) -> None:
    """Until the script has run, every figure is drawn, and the page has not changed for a moment since."""
    page.get_by_test_id("stApp").wait_for()
    page.wait_for_selector("[data-testid=stMainBlockContainer] h1", timeout=30_000)
    page.evaluate("window.changedAt = performance.now()")
    page.wait_for_function(IS_STILL, arg=STILL_FOR, polling=50, timeout=60_000)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    while time.monotonic() - began < STARTS_WITHIN:
        if process.poll() is not None:
            raise RuntimeError(f"the app ended with exit code {process.returncode}")
        try:
            urllib.request.urlopen(address + "_stcore/health", timeout=2).close()  # noqa: S310 (our own http address)
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the app did not answer within {STARTS_WITHIN} s")
