"""A bundle from another machine, as a person takes it: uploaded, looked at with no model, handed on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.workbench import Workbench
from tests.fakes import register_fake_pair
from tools.browser import ROOT, running_app, wait_until_still

ELSEWHERE = """
import sys
from pathlib import Path
from engine.exchange import bundle
from engine.runs import lifecycle
from engine.runs.spec import RunSpec
from tests.fakes import fake_compute
for model in ("arm", "mdm"):
    lifecycle.run(RunSpec(pair="mine", task="countdown", model=model, dtype="bfloat16"), compute=fake_compute)
bundle.write(Path(sys.argv[1]), "mine")
"""
MEGABYTE = 2**20  # what the app takes of other uploads


def test_a_bundle_is_uploaded_looked_at_and_handed_on(page: Page, tmp_path: Path) -> None:
    file, pair = tmp_path / "mine.circuits.zip", register_fake_pair(tmp_path / "models", "mine")
    there = {**os.environ, "CIRCUITS_CACHE": str(tmp_path / "there"), "CIRCUITS_PAIRS": str(pair)}
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(file)], cwd=ROOT, env=there, check=True)
    assert file.stat().st_size > MEGABYTE
    with running_app({"CIRCUITS_CACHE": str(tmp_path / "here")}) as address:
        page.goto(address + "runs")
        wait_until_still(page)
        page.get_by_text("Import a bundle").click()
        page.locator("input[type=file][accept*=zip]").set_input_files(file)
        expect(page.get_by_text("2 runs of the pair mine added (10 artifacts")).to_be_visible()

        page.get_by_role("link", name="Overview").click()
        expect(page.get_by_role("heading", name="Fake pair")).to_be_visible()
        expect(page.get_by_text("Its weights are not here: nothing more of it can be computed.")).to_be_visible()
        wait_until_still(page)  # a link that is drawn again while it is clicked forgets its pair
        page.get_by_role("link", name="COUNTDOWN").first.click()
        Workbench(page).has_k(200)
        expect(page.get_by_text("bfloat16 on cpu").first).to_be_visible()

        page.goto(address + "runs")
        wait_until_still(page)
        page.get_by_role("button", name="Bundle").click()
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download 2 runs").click()
        assert waiting.value.suggested_filename == "mine.circuits.zip"
        assert Path(waiting.value.path()).stat().st_size > MEGABYTE
