"""One app over a seeded cache, one Chromium, for all tests of this folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright

from tests.fakes import register_fake_pair
from tools.browser import FLAGS, ROOT, chromium_path, running_app

TIMEOUT = 30_000  # ms; a machine that does other things too is slow, not wrong

SEED = """
from engine.runs import lifecycle
from engine.runs.spec import RunSpec
from tests.fakes import fake_compute
for task in ("countdown", "ioi", "greater_than"):  # the last one is there to be deleted
    for model in ("arm", "mdm"):
        lifecycle.run(RunSpec(task=task, model=model), compute=fake_compute)
"""


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a process that knows the fake pair and its runs, which another process has made."""
    folder = tmp_path_factory.mktemp("app")
    variables = {"CIRCUITS_CACHE": str(folder), "CIRCUITS_PAIRS": str(_pair(folder))}
    subprocess.run([sys.executable, "-c", SEED], cwd=ROOT, env={**os.environ, **variables}, check=True)
    return variables


@pytest.fixture(scope="session")
def address(environment: dict[str, str]) -> Iterator[str]:
    """The app's address."""
    with running_app(environment) as address:
        yield address


@pytest.fixture
def runs(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The test itself can read the runs that the app shows."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def window(browser: Browser) -> BrowserContext:
    """Where all tests open their pages: Chromium fetches and compiles Streamlit's scripts once, not for every page."""
    # Streamlit's moving skeletons cost Chromium's compositor as much as the page itself.
    window = browser.new_context(viewport={"width": 1440, "height": 1300}, reduced_motion="reduce")
    window.set_default_timeout(TIMEOUT)
    return window


@pytest.fixture
def page(window: BrowserContext) -> Iterator[Page]:
    """A page that knows nothing of those before it."""
    page = window.new_page()
    yield page
    with suppress(Error):  # a test that opened nothing has no storage
        page.evaluate("localStorage.clear()")
    page.close()
    window.clear_cookies()


def _pair(folder: Path) -> Path:
    return register_fake_pair(folder, steps=())
